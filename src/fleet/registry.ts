// The fleet as the request path sees it: endpoint slots, their states, and the load this router
// has in flight. A slot belongs to one endpoint while it lives; the snapshot is replaced whole when
// membership changes, states are updated in place, and load taken is given back exactly once to
// the instance it was taken from.

import { assert } from '#contracts/assert.js';
import type {
  AttemptOutcome,
  Endpoint,
  EndpointState,
  Fleet,
  FleetSnapshot,
  InFlightLoad,
  InFlightToken,
  PublisherState,
  RequestLoad,
} from '#contracts/endpoint.js';
import { ENDPOINTS_MAX } from '#contracts/limits.js';
import type { EngineMetrics } from './metrics-text.js';

const NO_ADAPTERS: ReadonlySet<string> = new Set();

/** An endpoint before it has a slot. */
export type EndpointDraft = Omit<Endpoint, 'slot'>;

/** What one replacement changed. */
export interface MembershipChange {
  readonly added: readonly number[];
  readonly removed: readonly number[];
  /** Names that found no free slot. */
  readonly refused: readonly string[];
}

/** Owns the slots. Only the fleet manager writes; everybody may read the snapshot. */
export class FleetRegistry implements Fleet {
  readonly #capacity: number;
  readonly #onReport: (slot: number, outcome: AttemptOutcome) => void;
  /** Freed slots go to the back, so that late reports about an old endpoint rarely meet a new one. */
  readonly #freeSlots: number[];
  #snapshot: FleetSnapshot;
  /** States of the snapshot by the URL of their address, in slot order. */
  #byUrl: ReadonlyMap<string, readonly EndpointState[]> = new Map();

  constructor(options: {
    readonly capacity: number;
    readonly onReport: (slot: number, outcome: AttemptOutcome) => void;
  }) {
    assert(options.capacity > 0 && options.capacity <= ENDPOINTS_MAX, 'endpoint capacity in range');
    this.#capacity = options.capacity;
    this.#onReport = options.onReport;
    this.#freeSlots = Array.from({ length: options.capacity }, (_, slot) => slot);
    this.#snapshot = { epoch: 0, bySlot: new Array<null>(options.capacity).fill(null) };
  }

  snapshot(): FleetSnapshot {
    return this.#snapshot;
  }

  /** Counts a request in. The slot must be taken: decisions name endpoints of the snapshot only. */
  acquire(slot: number, { uncachedPromptTokens, outputTokens }: RequestLoad): InFlightToken {
    const state = this.#snapshot.bySlot[slot];
    assert(state !== null && state !== undefined, () => `slot ${slot} is an endpoint`);
    assert(uncachedPromptTokens >= 0 && outputTokens >= 0, 'tokens of a request are not negative');
    state.inFlight.requests += 1;
    state.inFlight.uncachedPromptTokens += uncachedPromptTokens;
    state.inFlight.outputTokens += outputTokens;
    return new CountedLoad(state.inFlight, uncachedPromptTokens, outputTokens);
  }

  /** Passes an outcome on to passive health; the endpoint may be gone by now. */
  report(slot: number, outcome: AttemptOutcome): void {
    if (this.state(slot) !== null) this.#onReport(slot, outcome);
  }

  state(slot: number): EndpointState | null {
    return this.#snapshot.bySlot[slot] ?? null;
  }

  /**
   * Makes `drafts` the endpoints of one address. Endpoints keep slot and load by name; those not
   * named any more are removed at once. Returns null when nothing changed.
   */
  replaceAddress(url: string, drafts: readonly EndpointDraft[]): MembershipChange | null {
    const bySlot = [...this.#snapshot.bySlot];
    const wanted = new Map(drafts.map((draft) => [draft.name, draft]));
    const removed: number[] = [];
    let changed = false;
    for (const state of this.#ofAddress(url)) {
      const { slot, name } = state.endpoint;
      const draft = wanted.get(name);
      wanted.delete(name);
      if (draft === undefined) {
        bySlot[slot] = null;
        removed.push(slot);
        changed = true;
      } else if (!sameEndpoint(state.endpoint, draft)) {
        bySlot[slot] = { ...state, endpoint: { slot, ...draft } };
        changed = true;
      }
    }
    const added: number[] = [];
    const refused: string[] = [];
    // Before the new ones look for a slot: a full fleet may still swap one endpoint for another.
    this.#freeSlots.push(...removed);
    for (const draft of wanted.values()) {
      const slot = this.#freeSlots.shift();
      if (slot === undefined) refused.push(draft.name);
      else {
        bySlot[slot] = newState({ slot, ...draft });
        added.push(slot);
      }
    }
    if (changed || added.length > 0) {
      this.#snapshot = { epoch: this.#snapshot.epoch + 1, bySlot };
      this.#byUrl = statesByUrl(bySlot);
    }
    return changed || added.length > 0 || refused.length > 0 ? { added, removed, refused } : null;
  }

  /** Stops new requests to an address while its running ones finish. */
  setDraining(url: string, draining: boolean): void {
    for (const state of this.#ofAddress(url)) state.draining = draining;
  }

  setPublisherState(slot: number, publisher: PublisherState): void {
    const state = this.state(slot);
    if (state !== null) state.publisher = publisher;
  }

  /** Writes scraped load: per rank, or summed up where the address has a single one. */
  recordLoad(url: string, metrics: EngineMetrics, nowMs: number): void {
    if (metrics.ranks.length === 0) return;
    for (const state of this.#ofAddress(url)) {
      const { dpRank } = state.endpoint;
      const ranks =
        dpRank === null ? metrics.ranks : metrics.ranks.filter((entry) => entry.rank === dpRank);
      if (ranks.length === 0) continue;
      const { reported } = state;
      reported.waitingRequests = ranks.reduce((sum, entry) => sum + entry.waitingRequests, 0);
      reported.runningRequests = ranks.reduce((sum, entry) => sum + entry.runningRequests, 0);
      reported.kvCacheUsage = ranks.reduce((most, entry) => Math.max(most, entry.kvCacheUsage), 0);
      reported.maxAdapters = metrics.adapters?.most ?? 0;
      reported.runningAdapters = metrics.adapters?.running ?? NO_ADAPTERS;
      reported.waitingAdapters = metrics.adapters?.waiting ?? NO_ADAPTERS;
      state.scrapedAtMs = nowMs;
    }
  }

  /** Slots of one address, in rank order. */
  slotsOf(url: string): readonly number[] {
    return this.#ofAddress(url).map((state) => state.endpoint.slot);
  }

  /** States of all endpoints, by slot. */
  states(): readonly EndpointState[] {
    return this.#snapshot.bySlot.filter((state) => state !== null);
  }

  get capacity(): number {
    return this.#capacity;
  }

  #ofAddress(url: string): readonly EndpointState[] {
    return this.#byUrl.get(url) ?? [];
  }
}

function statesByUrl(
  bySlot: readonly (EndpointState | null)[],
): ReadonlyMap<string, readonly EndpointState[]> {
  const byUrl = new Map<string, EndpointState[]>();
  for (const state of bySlot) {
    if (state === null) continue;
    const { url } = state.endpoint;
    const states = byUrl.get(url);
    if (states === undefined) byUrl.set(url, [state]);
    else states.push(state);
  }
  return byUrl;
}

/** Load of one request, bound to the instance it was counted at. */
class CountedLoad implements InFlightToken {
  readonly #load: InFlightLoad;
  #promptTokens: number;
  readonly #outputTokens: number;
  #released = false;

  constructor(load: InFlightLoad, promptTokens: number, outputTokens: number) {
    this.#load = load;
    this.#promptTokens = promptTokens;
    this.#outputTokens = outputTokens;
  }

  releasePromptTokens(): void {
    this.#load.uncachedPromptTokens -= this.#promptTokens;
    this.#promptTokens = 0;
    assert(this.#load.uncachedPromptTokens >= 0, 'prompt tokens in flight are not negative');
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.releasePromptTokens();
    this.#load.requests -= 1;
    this.#load.outputTokens -= this.#outputTokens;
    assert(this.#load.requests >= 0, 'requests in flight are not negative');
    assert(this.#load.outputTokens >= 0, 'output tokens in flight are not negative');
  }
}

function newState(endpoint: Endpoint): EndpointState {
  return {
    endpoint,
    reported: {
      waitingRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      maxAdapters: 0,
      runningAdapters: NO_ADAPTERS,
      waitingAdapters: NO_ADAPTERS,
    },
    inFlight: { requests: 0, uncachedPromptTokens: 0, outputTokens: 0 },
    scrapedAtMs: Number.NEGATIVE_INFINITY,
    healthy: false,
    draining: false,
    publisher: 'cold',
  };
}

/**
 * Compares by content, all but the engine's own model entries: vLLM stamps those with the time and
 * a random id on every answer.
 */
function sameEndpoint(endpoint: Endpoint, draft: EndpointDraft): boolean {
  const content = (value: Endpoint): string =>
    JSON.stringify(value, (key, field: unknown) => (key === 'raw' ? undefined : field));
  return content(endpoint) === content({ slot: endpoint.slot, ...draft });
}
