// The scheduling cycle's contracts: filters remove candidates, scorers rate them, a picker chooses.

import type { Endpoint, EndpointState, FleetSnapshot } from './endpoint.js';
import type { Random } from './random.js';
import type { HeaderPair, NoMatchReason, PromptMatch } from './request.js';

/** A set of endpoint slots, without allocation per operation. */
export class CandidateSet {
  /** Signed, because V8 keeps those as small integers. */
  readonly #words: Int32Array;

  constructor(capacity: number) {
    this.#words = new Int32Array(Math.ceil(capacity / 32));
  }

  clear(): void {
    // Sets are a few words: a call of the typed array's own costs more than they do.
    for (let word = 0; word < this.#words.length; word += 1) this.#words[word] = 0;
  }

  add(slot: number): void {
    const word = slot >>> 5;
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (slot & 31));
  }

  remove(slot: number): void {
    const word = slot >>> 5;
    this.#words[word] = (this.#words[word] ?? 0) & ~(1 << (slot & 31));
  }

  has(slot: number): boolean {
    return ((this.#words[slot >>> 5] ?? 0) & (1 << (slot & 31))) !== 0;
  }

  copyFrom(other: CandidateSet): void {
    for (let word = 0; word < this.#words.length; word += 1) {
      this.#words[word] = other.#words[word] ?? 0;
    }
  }

  count(): number {
    let count = 0;
    for (let slot = this.next(0); slot >= 0; slot = this.next(slot + 1)) count += 1;
    return count;
  }

  /** Smallest member ≥ `from`, −1 when there is none. Iterate: `s = next(0)`, `s = next(s + 1)`. */
  next(from: number): number {
    const words = this.#words;
    let word = from >>> 5;
    if (word >= words.length) return -1;
    let bits = (words[word] as number) & (-1 << (from & 31));
    while (bits === 0) {
      word += 1;
      if (word >= words.length) return -1;
      bits = words[word] as number;
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits);
  }
}

/** What the policy's producers tell of the request, before it is scheduled. */
export interface RequestSignals {
  /** Session the client named, empty when it named none. */
  sessionId: string;
  /** Session of a coding agent, by the headers agents send; empty when there is none. */
  agentIdentity: string;
  /** Tokens of its answer to be counted as in flight until it ends. */
  outputTokens: number;
}

/** Signals of a request nobody has told anything about. */
export function requestSignals(): RequestSignals {
  return { sessionId: '', agentIdentity: '', outputTokens: 0 };
}

/** What plugins may know of the request being routed. */
export interface SchedulingContext {
  readonly requestId: string;
  /** Model as requested, and the pool and adapter it resolves to. */
  readonly model: string;
  readonly pool: string;
  readonly adapter: string;
  /** Lower-case names. A call, because most policies never look and making them costs. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Orders nothing yet; higher is worth more: its objective's, else the negated `priority` of its body, else 0. */
  readonly priority: number;
  readonly promptTokens: number;
  /** Full blocks of the prompt; 0 when nothing was matched. */
  readonly totalBlocks: number;
  readonly blockSize: number;
  /** By endpoint slot; null when there is nothing to go by. */
  readonly match: PromptMatch | null;
  readonly noMatchReason: NoMatchReason | null;
  /** Keys of the prompt's images, audio and video, without repetition. */
  readonly media: readonly string[];
  readonly signals: RequestSignals;
  /** Endpoints that a gateway in front restricts it to; null for none. The others are left out. */
  readonly subset: CandidateSet | null;
  readonly fleet: FleetSnapshot;
  readonly nowMs: number;
}

/** State of one candidate; throws when the slot is free, because candidates are always taken. */
export function candidateState(context: SchedulingContext, slot: number): EndpointState {
  const state = context.fleet.bySlot[slot];
  if (state === null || state === undefined) throw new Error(`slot ${slot} is not an endpoint`);
  return state;
}

/** A request header that a plugin looks at; of `cookie` only the cookie of that name. */
export interface HeaderRead {
  /** Lower case. */
  readonly header: string;
  readonly cookie?: string;
}

/** Told that the request is sent on to `slot`, because the endpoint before gave no answer. */
export type MovedOn = (slot: number) => void;

/**
 * What a plugin may do beyond its own step. Who has no hook costs nothing there. State that later
 * decisions go by is changed in `picked` and by what it returns alone: `produce`, `choose`, `filter`,
 * `score` and `pick` also run for requests that are only explained, and must leave no trace (a number
 * drawn from the host's `random` and scratch that the next decision overwrites are none).
 */
export interface PluginHooks {
  /** All headers the plugin may look at: a decision keeps their values, so that it can be replayed. */
  readonly reads?: readonly HeaderRead[];
  /**
   * Called once for the decision that is sent on, with the slot tried first. A plugin that goes by who
   * got a request returns what is to be called if another gets it; of the context that may use what
   * does not change: not `signals`, which are the next request's by then.
   */
  picked?(context: SchedulingContext, slot: number): MovedOn | undefined;
  /** Headers for the client, should the endpoint at `slot` be the one that answers. */
  responseHeaders?(context: SchedulingContext, slot: number): readonly HeaderPair[];
}

export interface Filter extends PluginHooks {
  /**
   * Set by a filter that chooses among endpoints that could all serve the request. Where such filters
   * leave fewer than may be tried, those they removed come after the picked ones, in the order of the
   * rest of the policy: tried only when the others give no answer.
   */
  readonly prefers?: true;
  /**
   * Set by a filter that goes by nothing but what an endpoint is: whether it keeps one. The native
   * pick, which replaces a policy that misses its limit, goes by it too.
   */
  readonly keeps?: (endpoint: Endpoint) => boolean;
  /** Removes candidates that must not be chosen. */
  filter(context: SchedulingContext, candidates: CandidateSet): void;
}

export interface Scorer extends PluginHooks {
  /**
   * Writes a score in [0, 1] for every candidate into `scores[slot]`. Of the calls for one request the
   * last is for those it is decided among; one before that is for those that are tried after them.
   */
  score(context: SchedulingContext, candidates: CandidateSet, scores: Float64Array): void;
}

export interface Picker extends PluginHooks {
  /** Most endpoints it is to name; without it as many as there is room for. */
  readonly endpointsMax?: number;
  /**
   * Writes the chosen slots, best first, into `picked` and returns how many (0 when there is no
   * candidate). The first is the decision; the others are tried if it cannot be reached.
   */
  pick(
    context: SchedulingContext,
    candidates: CandidateSet,
    totals: Float64Array,
    picked: Uint32Array,
  ): number;
}

export interface Producer extends PluginHooks {
  /** Writes `context.signals`; left out by producers whose work other parts of the router do. */
  produce?(context: SchedulingContext): void;
}

export interface ProfileHandler extends Pick<PluginHooks, 'reads'> {
  /** Name of the profile that is to schedule the request; one nobody has is the client's error. */
  choose(context: SchedulingContext): string;
}

/** State that several plugins of one policy use: made by who asks first, found by the others. */
export class SharedState {
  readonly #made = new Map<string, object>();

  /** What was made under `key`, or what `make` makes. Throws when it is of another class. */
  of<State extends object>(
    key: string,
    kind: abstract new (...input: never) => State,
    make: () => State,
  ): State {
    const found = this.#made.get(key);
    if (found instanceof kind) return found;
    if (found !== undefined) throw new Error(`\`${key}\` is not a ${kind.name}`);
    const made = make();
    this.#made.set(key, made);
    return made;
  }
}

/** What a plugin may use of its host: the same for all plugins of one policy, but for the name. */
export interface PluginHost {
  /**
   * What the plugin is called to tell it from others of its type; empty without a name. What a plugin
   * remembers is in `shared` under its name, so that several profiles can have one plugin.
   */
  readonly name: string;
  readonly random: Random;
  /** Length of every per-slot array. */
  readonly endpointCapacity: number;
  /** Age beyond which scraped figures are stale; beaten by fresh ones, used when all are stale. */
  readonly metricsStaleAfterMs: number;
  readonly shared: SharedState;
}
