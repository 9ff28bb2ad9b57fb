// A decision as it is kept: figures in columns of one array, copied while the cycle's arrays still
// hold them, because the next request reuses those. Objects for people are made when somebody asks.
// Kept decisions are themselves reused, so that deciding leaves nothing for the collector.

import { TIER_COUNT } from '#contracts/block.js';
import type { Decision, DecisionCandidate } from '#contracts/decision.js';
import type { Endpoint, EndpointState, FleetSnapshot } from '#contracts/endpoint.js';
import { PUBLISHER_STATES } from '#contracts/endpoint.js';
import { ATTEMPTS_MAX } from '#contracts/limits.js';
import type { FinishedRequest } from '#contracts/observer.js';
import type { Profile } from '#contracts/plugin.js';
import type { EncodedPrompt, EncodeMicros, NoMatchReason } from '#contracts/request.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import type { PlannedTarget } from './active-request.js';
import { exclusionName } from './filter.js';
import type { ResolvedModel } from './models.js';
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
  publisher: 14,
  terms: 15,
} as const;

/** Numbers of the publisher states. */
const STATE_NUMBER: ReadonlyMap<string, number> = new Map(
  PUBLISHER_STATES.map((state, number) => [state, number]),
);

/** What a decision is explained from. */
export interface Explained {
  readonly context: SchedulingContext;
  readonly encoded: EncodedPrompt;
  /** Model as the client asked for it, where a rule rewrote it; else the served one's id. */
  readonly asked: string;
  readonly model: ResolvedModel;
  readonly cycle: ScheduleCycle;
  /** Picked endpoints, best first; empty when none was left. */
  readonly targets: readonly PlannedTarget[];
  /** ISO wall-clock time. */
  readonly at: string;
  readonly overheadMicros: number;
}

/** One place for a decision. Its fields are those of the decision kept last. */
export class KeptDecision {
  /** Number of the decision among all; −1 before the first. */
  sequence = -1;
  requestId = '';
  model = '';
  resolvedTargetModel = '';
  noMatchReason: NoMatchReason | null = null;
  priority = 0;
  overheadMicros = 0;
  /** How the request ended, null until then. */
  finished: FinishedRequest | null = null;
  #at = '';
  #promptTokens = 0;
  #totalBlocks = 0;
  #blockSize = 0;
  #predictedCachedTokens = 0;
  #indexEpoch = 0;
  #profile: Profile | null = null;
  #fleet: FleetSnapshot | null = null;
  #targetCount = 0;
  readonly #targets = new Int32Array(ATTEMPTS_MAX);
  readonly #micros = new Float64Array(5);
  #columns = new Float64Array(0);

  /** Name of the chosen endpoint, null when none was left. */
  get chosen(): string | null {
    return this.#targetCount === 0 ? null : this.#targetName(0);
  }

  /** Keeps the decision of the cycle that has just run instead of the one before. */
  keep(sequence: number, explained: Explained): void {
    const { context, encoded, model, cycle, targets } = explained;
    this.sequence = sequence;
    this.requestId = context.requestId;
    this.model = explained.asked;
    this.noMatchReason = context.noMatchReason ?? emptyMatchReason(context, model);
    this.priority = context.priority;
    this.overheadMicros = explained.overheadMicros;
    this.finished = null;
    this.#at = explained.at;
    this.resolvedTargetModel = model.id;
    this.#promptTokens = context.promptTokens;
    this.#totalBlocks = context.totalBlocks;
    this.#blockSize = context.blockSize;
    this.#predictedCachedTokens = targets[0]?.predictedTokens ?? 0;
    this.#indexEpoch = encoded.indexEpoch;
    this.#profile = cycle.profile;
    this.#fleet = context.fleet;
    this.#targetCount = targets.length;
    for (let position = 0; position < targets.length; position += 1) {
      this.#targets[position] = targets[position]?.slot ?? 0;
    }
    const { micros } = encoded;
    this.#micros[0] = micros.parse;
    this.#micros[1] = micros.render;
    this.#micros[2] = micros.tokenize;
    this.#micros[3] = micros.hash;
    this.#micros[4] = micros.match;
    this.#keepColumns(context, cycle);
  }

  /** The decision as an object of its own. */
  decision(): Decision {
    return {
      requestId: this.requestId,
      at: this.#at,
      model: this.model,
      resolvedTargetModel: this.resolvedTargetModel,
      priority: this.priority,
      profile: this.#profile?.name ?? '',
      chosen: this.chosen,
      fallbacks: this.#fallbacks(),
      promptTokens: this.#promptTokens,
      totalBlocks: this.#totalBlocks,
      blockSize: this.#blockSize,
      predictedCachedTokens: this.#predictedCachedTokens,
      noMatchReason: this.noMatchReason,
      fleetEpoch: this.#fleet?.epoch ?? 0,
      indexEpoch: this.#indexEpoch,
      candidates: this.#candidates(),
      encodeMicros: this.#encodeMicros(),
      overheadMicros: this.overheadMicros,
    };
  }

  #targetName(position: number): string {
    const slot = this.#targets[position] ?? 0;
    return this.#fleet?.bySlot[slot]?.endpoint.name ?? '';
  }

  #fallbacks(): readonly string[] {
    const count = Math.max(0, this.#targetCount - 1);
    return Array.from({ length: count }, (_, position) => this.#targetName(position + 1));
  }

  #encodeMicros(): EncodeMicros {
    const [parse = 0, render = 0, tokenize = 0, hash = 0, match = 0] = this.#micros;
    return { parse, render, tokenize, hash, match };
  }

  #candidates(): readonly DecisionCandidate[] {
    const profile = this.#profile;
    if (profile === null) return [];
    const width = COLUMN.terms + profile.scorers.length;
    // A snapshot's endpoints never change, only their load: those need no copy.
    const states = this.#fleet?.bySlot.filter((state) => state !== null) ?? [];
    return states.map(({ endpoint }, position) => {
      const row = this.#columns.subarray(position * width, (position + 1) * width);
      return candidate(endpoint, row, profile);
    });
  }

  #keepColumns(context: SchedulingContext, cycle: ScheduleCycle): void {
    const { bySlot } = context.fleet;
    const width = COLUMN.terms + cycle.profile.scorers.length;
    let row = 0;
    for (let slot = 0; slot < bySlot.length; slot += 1) {
      const state = bySlot[slot];
      if (state === null || state === undefined) continue;
      if (row + width > this.#columns.length) this.#grow(bySlot, width);
      keepRow(this.#columns, row, state, context, cycle);
      row += width;
    }
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
  const { slot } = state.endpoint;
  kept[row + COLUMN.excludedBy] = cycle.excludedBy[slot] ?? 0;
  kept[row + COLUMN.publisher] = STATE_NUMBER.get(state.publisher) ?? 0;
  kept[row + COLUMN.total] = cycle.board.totals[slot] ?? 0;
  kept[row + COLUMN.inFlight] = state.inFlight.requests;
  kept[row + COLUMN.waiting] = state.reported.waitingRequests;
  kept[row + COLUMN.running] = state.reported.runningRequests;
  kept[row + COLUMN.kvCacheUsage] = state.reported.kvCacheUsage;
  kept[row + COLUMN.metricsAgeMs] = context.nowMs - state.scrapedAtMs;
  for (let term = 0; term < cycle.board.raw.length; term += 1) {
    kept[row + COLUMN.terms + term] = cycle.board.raw[term]?.[slot] ?? 0;
  }
  if (match === null) {
    kept.fill(0, row + COLUMN.usable, row + COLUMN.tiers + TIER_COUNT);
    return;
  }
  kept[row + COLUMN.usable] = match.usableBlocks[slot] ?? 0;
  kept[row + COLUMN.raw] = match.rawBlocks[slot] ?? 0;
  kept[row + COLUMN.speculative] = match.speculativeBlocks[slot] ?? 0;
  for (let tier = 0; tier < TIER_COUNT; tier += 1) {
    kept[row + COLUMN.tiers + tier] = match.tierBlocks[slot * TIER_COUNT + tier] ?? 0;
  }
}

function candidate(endpoint: Endpoint, row: Float64Array, profile: Profile): DecisionCandidate {
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
    excludedBy,
    total: excludedBy === null ? at(COLUMN.total) : 0,
    terms: excludedBy === null ? terms : [],
    usableBlocks: at(COLUMN.usable),
    rawBlocks: at(COLUMN.raw),
    speculativeBlocks: at(COLUMN.speculative),
    tierBlocks: [...row.subarray(COLUMN.tiers, COLUMN.tiers + TIER_COUNT)],
    inFlightRequests: at(COLUMN.inFlight),
    waitingRequests: at(COLUMN.waiting),
    runningRequests: at(COLUMN.running),
    kvCacheUsage: at(COLUMN.kvCacheUsage),
    metricsAgeMs: Number.isFinite(ageMs) ? ageMs : null,
    publisher: PUBLISHER_STATES[at(COLUMN.publisher)] ?? 'cold',
  };
}

/** Why a match found nothing; null when some endpoint holds a part of the prompt. */
function emptyMatchReason(context: SchedulingContext, model: ResolvedModel): NoMatchReason | null {
  const { match, fleet } = context;
  let live = false;
  for (let slot = model.serving.next(0); slot >= 0; slot = model.serving.next(slot + 1)) {
    if ((match?.usableBlocks[slot] ?? 0) > 0) return null;
    live ||= fleet.bySlot[slot]?.publisher === 'live';
  }
  return live ? 'no-match' : 'index-cold';
}
