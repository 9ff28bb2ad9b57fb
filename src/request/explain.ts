// Keeps the reasons of a decision: what the log line, /debug/decisions and metrics are made from.
// The cycle's arrays are reused by the next request, so a decision copies its columns into one
// small array at once and builds the candidates' objects only when somebody asks for them.

import { TIER_COUNT } from '#contracts/block.js';
import type { Decision, DecisionCandidate } from '#contracts/decision.js';
import type { Endpoint, EndpointState } from '#contracts/endpoint.js';
import { PUBLISHER_STATES } from '#contracts/endpoint.js';
import type { LogFields } from '#contracts/logger.js';
import type { Profile } from '#contracts/plugin.js';
import type { EncodedPrompt, NoMatchReason } from '#contracts/request.js';
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

export interface Explained {
  readonly context: SchedulingContext;
  readonly encoded: EncodedPrompt;
  readonly model: ResolvedModel;
  readonly cycle: ScheduleCycle;
  /** Picked endpoints, best first; empty when none was left. */
  readonly targets: readonly PlannedTarget[];
  readonly at: string;
  readonly overheadMicros: number;
}

/** Records the decision of the cycle that has just run. `candidates` is built when first read. */
export function explain(explained: Explained): Decision {
  return new KeptDecision(explained);
}

class KeptDecision implements Decision {
  readonly requestId: string;
  readonly at: string;
  readonly model: string;
  readonly resolvedTargetModel: string;
  readonly priority: number;
  readonly profile: string;
  readonly chosen: string | null;
  readonly promptTokens: number;
  readonly totalBlocks: number;
  readonly blockSize: number;
  readonly predictedCachedTokens: number;
  readonly noMatchReason: NoMatchReason | null;
  readonly fleetEpoch: number;
  readonly indexEpoch: number;
  readonly encodeMicros: Decision['encodeMicros'];
  readonly overheadMicros: number;
  readonly #targets: readonly PlannedTarget[];
  readonly #build: () => readonly DecisionCandidate[];
  #candidates: readonly DecisionCandidate[] | null = null;

  constructor({ context, encoded, model, cycle, targets, at, overheadMicros }: Explained) {
    const [first] = targets;
    this.requestId = context.requestId;
    this.at = at;
    this.model = context.model;
    this.resolvedTargetModel = model.id;
    this.priority = context.priority;
    this.profile = cycle.profile.name;
    this.chosen = first?.name ?? null;
    this.promptTokens = context.promptTokens;
    this.totalBlocks = context.totalBlocks;
    this.blockSize = context.blockSize;
    this.predictedCachedTokens = first?.predictedTokens ?? 0;
    this.noMatchReason = context.noMatchReason ?? emptyMatchReason(context, model);
    this.fleetEpoch = context.fleet.epoch;
    this.indexEpoch = encoded.indexEpoch;
    this.encodeMicros = encoded.micros;
    this.overheadMicros = overheadMicros;
    this.#targets = targets;
    this.#build = keepCandidates(context, cycle);
  }

  get fallbacks(): readonly string[] {
    return this.#targets.slice(1).map((target) => target.name);
  }

  get candidates(): readonly DecisionCandidate[] {
    this.#candidates ??= this.#build();
    return this.#candidates;
  }

  /** Getters are no own properties, which is all that JSON looks at. */
  toJSON(): object {
    return { ...this, fallbacks: this.fallbacks, candidates: this.candidates };
  }
}

/** Copies what may change; returns the function that makes objects of it. */
function keepCandidates(
  context: SchedulingContext,
  cycle: ScheduleCycle,
): () => readonly DecisionCandidate[] {
  const { profile } = cycle;
  const { bySlot } = context.fleet;
  const width = COLUMN.terms + profile.scorers.length;
  let count = 0;
  for (let slot = 0; slot < bySlot.length; slot += 1) if (bySlot[slot] !== null) count += 1;
  const kept = new Float64Array(count * width);
  let row = 0;
  for (let slot = 0; slot < bySlot.length; slot += 1) {
    const state = bySlot[slot];
    if (state === null || state === undefined) continue;
    keepColumns(kept, row, state, context, cycle);
    row += width;
  }
  // A snapshot's endpoints never change, only their load: those need no copy.
  return () =>
    bySlot
      .filter((state) => state !== null)
      .map(({ endpoint }, position) =>
        candidate(endpoint, kept.subarray(position * width, (position + 1) * width), profile),
      );
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

function keepColumns(
  kept: Float64Array,
  row: number,
  state: EndpointState,
  context: SchedulingContext,
  cycle: ScheduleCycle,
): void {
  const { match } = context;
  const { slot } = state.endpoint;
  kept[row + COLUMN.excludedBy] = cycle.excludedBy[slot] ?? 0;
  kept[row + COLUMN.publisher] = PUBLISHER_STATES.indexOf(state.publisher);
  kept[row + COLUMN.total] = cycle.board.totals[slot] ?? 0;
  kept[row + COLUMN.inFlight] = state.inFlight.requests;
  kept[row + COLUMN.waiting] = state.reported.waitingRequests;
  kept[row + COLUMN.running] = state.reported.runningRequests;
  kept[row + COLUMN.kvCacheUsage] = state.reported.kvCacheUsage;
  kept[row + COLUMN.metricsAgeMs] = context.nowMs - state.scrapedAtMs;
  for (let term = 0; term < cycle.board.raw.length; term += 1) {
    kept[row + COLUMN.terms + term] = cycle.board.raw[term]?.[slot] ?? 0;
  }
  if (match === null) return;
  kept[row + COLUMN.usable] = match.usableBlocks[slot] ?? 0;
  kept[row + COLUMN.raw] = match.rawBlocks[slot] ?? 0;
  kept[row + COLUMN.speculative] = match.speculativeBlocks[slot] ?? 0;
  for (let tier = 0; tier < TIER_COUNT; tier += 1) {
    kept[row + COLUMN.tiers + tier] = match.tierBlocks[slot * TIER_COUNT + tier] ?? 0;
  }
}

/**
 * Fields of the line `Got pod scores`, spelled as llm-d's users know them: usable blocks by
 * endpoint, or `scores: null` and the reason when nobody holds any of the prompt.
 */
export function scoreLogFields(decision: Decision, context: SchedulingContext): LogFields {
  const scores = matchedBlocks(context);
  const fields = {
    'x-request-id': decision.requestId,
    model: decision.model,
    resolvedTargetModel: decision.resolvedTargetModel,
    criticality: criticality(decision.priority),
    scores,
    endpoint: decision.chosen,
  };
  if (scores !== null) return fields;
  return { ...fields, reason: decision.noMatchReason };
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

function matchedBlocks(context: SchedulingContext): Readonly<Record<string, number>> | null {
  const { match, fleet } = context;
  if (match === null) return null;
  let scores: Record<string, number> | null = null;
  for (let slot = 0; slot < fleet.bySlot.length; slot += 1) {
    const blocks = match.usableBlocks[slot] ?? 0;
    const state = fleet.bySlot[slot];
    if (blocks === 0 || state === null || state === undefined) continue;
    scores ??= {};
    scores[state.endpoint.name] = blocks;
  }
  return scores;
}

/** The body's `priority` in vLLM's sense (lower is served earlier) in llm-d's three words. */
function criticality(priority: number): 'Critical' | 'Standard' | 'Sheddable' {
  if (priority === 0) return 'Standard';
  return priority < 0 ? 'Critical' : 'Sheddable';
}
