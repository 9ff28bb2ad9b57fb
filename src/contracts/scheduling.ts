// The scheduling cycle's contracts: filters remove candidates, scorers rate them, a picker chooses.

import type { EndpointState, FleetSnapshot } from './endpoint.js';
import type { Random } from './random.js';
import type { NoMatchReason, PromptMatch } from './request.js';

/** A set of endpoint slots, without allocation per operation. */
export class CandidateSet {
  /** Signed, because V8 keeps those as small integers. */
  readonly #words: Int32Array;

  constructor(capacity: number) {
    this.#words = new Int32Array(Math.ceil(capacity / 32));
  }

  clear(): void {
    this.#words.fill(0);
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
    this.#words.set(other.#words);
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

/** What plugins may know of the request being routed. */
export interface SchedulingContext {
  readonly requestId: string;
  /** Model as requested, and the pool and adapter it resolves to. */
  readonly model: string;
  readonly pool: string;
  readonly adapter: string;
  /** Lower-case names. A call, because most policies never look and making them costs. */
  readonly headers: () => Readonly<Record<string, string>>;
  readonly priority: number;
  readonly promptTokens: number;
  /** Full blocks of the prompt; 0 when nothing was matched. */
  readonly totalBlocks: number;
  readonly blockSize: number;
  /** By endpoint slot; null when there is nothing to go by. */
  readonly match: PromptMatch | null;
  readonly noMatchReason: NoMatchReason | null;
  readonly fleet: FleetSnapshot;
  readonly nowMs: number;
}

/** State of one candidate; throws when the slot is free, because candidates are always taken. */
export function candidateState(context: SchedulingContext, slot: number): EndpointState {
  const state = context.fleet.bySlot[slot];
  if (state === null || state === undefined) throw new Error(`slot ${slot} is not an endpoint`);
  return state;
}

export interface Filter {
  /** Removes candidates that must not be chosen. */
  filter(context: SchedulingContext, candidates: CandidateSet): void;
}

export interface Scorer {
  /** Writes a score in [0, 1] for every candidate into `scores[slot]`. */
  score(context: SchedulingContext, candidates: CandidateSet, scores: Float64Array): void;
}

export interface Picker {
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

/** What a plugin may use of its host. */
export interface PluginHost {
  readonly random: Random;
  /** Length of every per-slot array. */
  readonly endpointCapacity: number;
  /** Age beyond which scraped figures are stale; beaten by fresh ones, used when all are stale. */
  readonly metricsStaleAfterMs: number;
}
