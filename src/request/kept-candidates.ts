// The endpoints of a kept decision: one row of figures each behind the decision's own. What never changes while an endpoint lives is read off the endpoint itself, and sets of
// adapters are replaced by a scrape, never changed, so that those need no copy.

import { TIER_COUNT } from '#contracts/block.js';
import type { DecisionCandidate } from '#contracts/decision.js';
import {
  type Endpoint,
  type EndpointState,
  type FleetSnapshot,
  PUBLISHER_STATES,
} from '#contracts/endpoint.js';
import type { Profile } from '#contracts/plugin.js';
import type { PromptMatch } from '#contracts/request.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { exclusionName } from './filter.js';
import type { KeptMemory } from './kept-memory.js';
import type { ScheduleCycle } from './schedule.js';

/** Places in an endpoint's row. One per scorer follows, then its blocks where there was a match. */
const FIGURE = {
  flags: 0,
  total: 1,
  inFlight: 2,
  inFlightPromptTokens: 3,
  inFlightOutputTokens: 4,
  waiting: 5,
  running: 6,
  kvCacheUsage: 7,
  maxAdapters: 8,
  metricsAgeMs: 9,
  terms: 10,
} as const;

/** Places among the blocks. */
const BLOCKS = { usable: 0, raw: 1, speculative: 2, tiers: 3, count: 3 + TIER_COUNT } as const;

/** Bits of the flags: by what it was left out, how its events stand, and what is true of it. */
const FLAG = {
  excludedByMask: 0xff,
  publisherShift: 8,
  publisherMask: 0xf,
  healthy: 1 << 12,
  draining: 1 << 13,
  hasAdapters: 1 << 14,
} as const;

const NO_ADAPTERS: ReadonlySet<string> = new Set();

/** Two by row, of endpoints that have any: adapters that were running, and waited for. */
export type KeptAdapters = ReadonlySet<string>[];

/** Where the rows of one decision lie. */
export interface KeptRows {
  readonly memory: KeptMemory;
  readonly place: number;
  /** Of the first row, from the beginning of the place. */
  readonly offset: number;
  readonly adapters: KeptAdapters;
}

/** Keeps every endpoint of the cycle that has just run. */
export function keepCandidates(
  { memory, place, offset, adapters }: KeptRows,
  context: SchedulingContext,
  cycle: ScheduleCycle,
): void {
  const { bySlot } = context.fleet;
  const { match } = context;
  const width = rowWidth(cycle.profile, match !== null);
  let row = 0;
  for (let slot = 0; slot < bySlot.length; slot += 1) {
    const state = bySlot[slot];
    if (state === null || state === undefined) continue;
    if (memory.at(place) + offset + (row + 1) * width > memory.at(place + 1)) {
      memory.reserve(offset + endpointCount(bySlot) * width);
    }
    const at = memory.at(place) + offset + row * width;
    keepRow(memory.numbers, at, state, context, cycle);
    if (match !== null) keepBlocks(memory.numbers, at + width - BLOCKS.count, match, slot);
    if (hasAdapters(state)) {
      adapters[2 * row] = state.reported.runningAdapters;
      adapters[2 * row + 1] = state.reported.waitingAdapters;
    }
    row += 1;
  }
}

/** The endpoints as objects of their own; fleet, profile and match are those of the decision. */
export function candidatesOf(
  { memory, place, offset, adapters }: KeptRows,
  fleet: FleetSnapshot,
  profile: Profile,
  isMatched: boolean,
): readonly DecisionCandidate[] {
  const width = rowWidth(profile, isMatched);
  const blocksAt = FIGURE.terms + profile.scorers.length;
  const states = fleet.bySlot.filter((state) => state !== null);
  return states.map(({ endpoint }, row) => {
    const at = memory.at(place) + offset + row * width;
    const figures = memory.numbers.subarray(at, at + width);
    const had = ((figures[FIGURE.flags] ?? 0) & FLAG.hasAdapters) !== 0;
    return candidate(endpoint, profile, {
      figures,
      blocks: figures.subarray(blocksAt),
      runningAdapters: (had && adapters[2 * row]) || NO_ADAPTERS,
      waitingAdapters: (had && adapters[2 * row + 1]) || NO_ADAPTERS,
    });
  });
}

function rowWidth({ scorers }: Profile, isMatched: boolean): number {
  return FIGURE.terms + scorers.length + (isMatched ? BLOCKS.count : 0);
}

function endpointCount(bySlot: FleetSnapshot['bySlot']): number {
  return bySlot.reduce((count, state) => (state === null ? count : count + 1), 0);
}

function hasAdapters({ reported }: EndpointState): boolean {
  return reported.runningAdapters.size + reported.waitingAdapters.size > 0;
}

function keepRow(
  rows: Float64Array,
  at: number,
  state: EndpointState,
  context: SchedulingContext,
  cycle: ScheduleCycle,
): void {
  const { reported, inFlight } = state;
  const { slot } = state.endpoint;
  rows[at + FIGURE.flags] =
    (cycle.excludedBy[slot] ?? 0) |
    (PUBLISHER_STATES.indexOf(state.publisher) << FLAG.publisherShift) |
    (state.healthy ? FLAG.healthy : 0) |
    (state.draining ? FLAG.draining : 0) |
    (hasAdapters(state) ? FLAG.hasAdapters : 0);
  rows[at + FIGURE.total] = cycle.board.totals[slot] ?? 0;
  rows[at + FIGURE.inFlight] = inFlight.requests;
  rows[at + FIGURE.inFlightPromptTokens] = inFlight.uncachedPromptTokens;
  rows[at + FIGURE.inFlightOutputTokens] = inFlight.outputTokens;
  rows[at + FIGURE.waiting] = reported.waitingRequests;
  rows[at + FIGURE.running] = reported.runningRequests;
  rows[at + FIGURE.kvCacheUsage] = reported.kvCacheUsage;
  rows[at + FIGURE.maxAdapters] = reported.maxAdapters;
  rows[at + FIGURE.metricsAgeMs] = context.nowMs - state.scrapedAtMs;
  for (let term = 0; term < cycle.board.raw.length; term += 1) {
    rows[at + FIGURE.terms + term] = cycle.board.raw[term]?.[slot] ?? 0;
  }
}

function keepBlocks(rows: Float64Array, at: number, match: PromptMatch, slot: number): void {
  rows[at + BLOCKS.usable] = match.usableBlocks[slot] ?? 0;
  rows[at + BLOCKS.raw] = match.rawBlocks[slot] ?? 0;
  rows[at + BLOCKS.speculative] = match.speculativeBlocks[slot] ?? 0;
  for (let tier = 0; tier < TIER_COUNT; tier += 1) {
    rows[at + BLOCKS.tiers + tier] = match.tierBlocks[slot * TIER_COUNT + tier] ?? 0;
  }
}

/** A row, and the sets of adapters that stand for it. */
interface KeptRow {
  readonly figures: Float64Array;
  /** Empty without a match. */
  readonly blocks: Float64Array;
  readonly runningAdapters: ReadonlySet<string>;
  readonly waitingAdapters: ReadonlySet<string>;
}

function candidate(endpoint: Endpoint, profile: Profile, kept: KeptRow): DecisionCandidate {
  const figure = (place: number): number => kept.figures[place] ?? 0;
  const block = (place: number): number => kept.blocks[place] ?? 0;
  const flags = figure(FIGURE.flags);
  const excludedBy = exclusionName(flags & FLAG.excludedByMask, profile);
  const publisher = (flags >> FLAG.publisherShift) & FLAG.publisherMask;
  const terms = profile.scorers.map(({ type, weight }, term) => ({
    scorer: type,
    weight,
    raw: figure(FIGURE.terms + term),
  }));
  const ageMs = figure(FIGURE.metricsAgeMs);
  return {
    endpoint: endpoint.name,
    slot: endpoint.slot,
    id: endpoint.id,
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
    healthy: (flags & FLAG.healthy) !== 0,
    draining: (flags & FLAG.draining) !== 0,
    excludedBy,
    total: excludedBy === null ? figure(FIGURE.total) : 0,
    terms: excludedBy === null ? terms : [],
    usableBlocks: block(BLOCKS.usable),
    rawBlocks: block(BLOCKS.raw),
    speculativeBlocks: block(BLOCKS.speculative),
    tierBlocks: Array.from({ length: TIER_COUNT }, (_, tier) => block(BLOCKS.tiers + tier)),
    inFlightRequests: figure(FIGURE.inFlight),
    inFlightPromptTokens: figure(FIGURE.inFlightPromptTokens),
    inFlightOutputTokens: figure(FIGURE.inFlightOutputTokens),
    waitingRequests: figure(FIGURE.waiting),
    runningRequests: figure(FIGURE.running),
    kvCacheUsage: figure(FIGURE.kvCacheUsage),
    maxAdapters: figure(FIGURE.maxAdapters),
    runningAdapters: [...kept.runningAdapters],
    waitingAdapters: [...kept.waitingAdapters],
    metricsAgeMs: Number.isFinite(ageMs) ? ageMs : null,
    publisher: PUBLISHER_STATES[publisher] ?? 'cold',
  };
}
