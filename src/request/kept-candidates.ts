// The endpoints of a kept decision: one row of figures each in one array that is used again and
// again. What never changes while an endpoint lives is read off the endpoint itself, and sets of
// adapters are replaced by a scrape, never changed, so that those need no copy.

import { TIER_COUNT } from '#contracts/block.js';
import type { DecisionCandidate } from '#contracts/decision.js';
import type {
  Endpoint,
  EndpointState,
  FleetSnapshot,
  PublisherState,
  ReportedLoad,
} from '#contracts/endpoint.js';
import type { Profile } from '#contracts/plugin.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { exclusionName } from './filter.js';
import type { ScheduleCycle } from './schedule.js';

/** Columns kept per endpoint; one per scorer follows. */
const COLUMN = {
  total: 0,
  usable: 1,
  raw: 2,
  speculative: 3,
  tiers: 4,
  inFlight: 8,
  waiting: 9,
  running: 10,
  kvCacheUsage: 11,
  metricsAgeMs: 12,
  excludedBy: 13,
  inFlightPromptTokens: 14,
  inFlightOutputTokens: 15,
  maxAdapters: 16,
  healthy: 17,
  draining: 18,
  terms: 19,
} as const;

type Adapters = Pick<ReportedLoad, 'runningAdapters' | 'waitingAdapters'>;

const NO_ADAPTERS: ReadonlySet<string> = new Set();

/** Rows of the decision kept last. */
export class KeptCandidates {
  #columns = new Float64Array(0);
  /** By row: adapters that were running, and that were waited for, and the event stream's state. */
  #running: ReadonlySet<string>[] = [];
  #waiting: ReadonlySet<string>[] = [];
  #publishers: PublisherState[] = [];

  /** Keeps every endpoint of the cycle that has just run. */
  keep(context: SchedulingContext, cycle: ScheduleCycle): void {
    const { bySlot } = context.fleet;
    const width = COLUMN.terms + cycle.profile.scorers.length;
    let row = 0;
    for (let slot = 0; slot < bySlot.length; slot += 1) {
      const state = bySlot[slot];
      if (state === null || state === undefined) continue;
      if ((row + 1) * width > this.#columns.length) this.#grow(bySlot, width);
      keepRow(this.#columns, row * width, state, context, cycle);
      this.#running[row] = state.reported.runningAdapters;
      this.#waiting[row] = state.reported.waitingAdapters;
      this.#publishers[row] = state.publisher;
      row += 1;
    }
  }

  /** The endpoints as objects of their own; fleet and profile are those that were kept. */
  candidates(fleet: FleetSnapshot, profile: Profile): readonly DecisionCandidate[] {
    const width = COLUMN.terms + profile.scorers.length;
    const states = fleet.bySlot.filter((state) => state !== null);
    return states.map(({ endpoint }, row) => {
      const figures = this.#columns.subarray(row * width, (row + 1) * width);
      const adapters = {
        runningAdapters: this.#running[row] ?? NO_ADAPTERS,
        waitingAdapters: this.#waiting[row] ?? NO_ADAPTERS,
      };
      const publisher = this.#publishers[row] ?? 'cold';
      return candidate(endpoint, figures, { ...adapters, publisher }, profile);
    });
  }

  /** Makes room for every endpoint; happens again only when the fleet has grown. */
  #grow(bySlot: FleetSnapshot['bySlot'], width: number): void {
    const endpoints = bySlot.reduce((count, state) => (state === null ? count : count + 1), 0);
    const grown = new Float64Array(endpoints * width);
    grown.set(this.#columns.subarray(0, Math.min(this.#columns.length, grown.length)));
    this.#columns = grown;
  }
}

function keepRow(
  kept: Float64Array,
  row: number,
  state: EndpointState,
  context: SchedulingContext,
  cycle: ScheduleCycle,
): void {
  const { match } = context;
  const { reported, inFlight } = state;
  const { slot } = state.endpoint;
  kept[row + COLUMN.excludedBy] = cycle.excludedBy[slot] ?? 0;
  kept[row + COLUMN.total] = cycle.board.totals[slot] ?? 0;
  kept[row + COLUMN.inFlight] = inFlight.requests;
  kept[row + COLUMN.inFlightPromptTokens] = inFlight.uncachedPromptTokens;
  kept[row + COLUMN.inFlightOutputTokens] = inFlight.outputTokens;
  kept[row + COLUMN.waiting] = reported.waitingRequests;
  kept[row + COLUMN.running] = reported.runningRequests;
  kept[row + COLUMN.kvCacheUsage] = reported.kvCacheUsage;
  kept[row + COLUMN.maxAdapters] = reported.maxAdapters;
  kept[row + COLUMN.metricsAgeMs] = context.nowMs - state.scrapedAtMs;
  kept[row + COLUMN.healthy] = state.healthy ? 1 : 0;
  kept[row + COLUMN.draining] = state.draining ? 1 : 0;
  for (let term = 0; term < cycle.board.raw.length; term += 1) {
    kept[row + COLUMN.terms + term] = cycle.board.raw[term]?.[slot] ?? 0;
  }
  if (match === null) {
    for (let at = row + COLUMN.usable; at < row + COLUMN.tiers + TIER_COUNT; at += 1) kept[at] = 0;
    return;
  }
  kept[row + COLUMN.usable] = match.usableBlocks[slot] ?? 0;
  kept[row + COLUMN.raw] = match.rawBlocks[slot] ?? 0;
  kept[row + COLUMN.speculative] = match.speculativeBlocks[slot] ?? 0;
  for (let tier = 0; tier < TIER_COUNT; tier += 1) {
    kept[row + COLUMN.tiers + tier] = match.tierBlocks[slot * TIER_COUNT + tier] ?? 0;
  }
}

function candidate(
  endpoint: Endpoint,
  row: Float64Array,
  kept: Adapters & Pick<EndpointState, 'publisher'>,
  profile: Profile,
): DecisionCandidate {
  const at = (column: number): number => row[column] ?? 0;
  const excludedBy = exclusionName(at(COLUMN.excludedBy), profile);
  const terms = profile.scorers.map(({ type, weight }, term) => ({
    scorer: type,
    weight,
    raw: at(COLUMN.terms + term),
  }));
  const ageMs = at(COLUMN.metricsAgeMs);
  return {
    endpoint: endpoint.name,
    slot: endpoint.slot,
    url: endpoint.url,
    dpRank: endpoint.dpRank,
    engine: endpoint.engine,
    labels: endpoint.labels,
    models: endpoint.models.map(({ id, parent, maxModelLen, loaded }) => ({
      id,
      parent,
      maxModelLen,
      loaded,
    })),
    blockSize: endpoint.blockSize,
    gpuBlocks: endpoint.gpuBlocks,
    healthy: at(COLUMN.healthy) === 1,
    draining: at(COLUMN.draining) === 1,
    excludedBy,
    total: excludedBy === null ? at(COLUMN.total) : 0,
    terms: excludedBy === null ? terms : [],
    usableBlocks: at(COLUMN.usable),
    rawBlocks: at(COLUMN.raw),
    speculativeBlocks: at(COLUMN.speculative),
    tierBlocks: [...row.subarray(COLUMN.tiers, COLUMN.tiers + TIER_COUNT)],
    inFlightRequests: at(COLUMN.inFlight),
    inFlightPromptTokens: at(COLUMN.inFlightPromptTokens),
    inFlightOutputTokens: at(COLUMN.inFlightOutputTokens),
    waitingRequests: at(COLUMN.waiting),
    runningRequests: at(COLUMN.running),
    kvCacheUsage: at(COLUMN.kvCacheUsage),
    maxAdapters: at(COLUMN.maxAdapters),
    runningAdapters: [...kept.runningAdapters],
    waitingAdapters: [...kept.waitingAdapters],
    metricsAgeMs: Number.isFinite(ageMs) ? ageMs : null,
    publisher: kept.publisher,
  };
}
