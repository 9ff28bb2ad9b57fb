// From the record of a decision back to what its policy looked at, so that another policy, or the
// same one with other weights, can be asked what it would have done. Records may come as JSON.

import { TIER_COUNT } from '#contracts/block.js';
import type { Decision, DecisionCandidate } from '#contracts/decision.js';
import type { EndpointState, FleetSnapshot } from '#contracts/endpoint.js';
import type { PromptMatch } from '#contracts/request.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { CandidateSet, requestSignals } from '#contracts/scheduling.js';
import { ENDPOINT_SUBSET } from './filter.js';

/** What `scheduleByPolicy` decides from. */
export interface ReplayedContext {
  readonly context: SchedulingContext;
  /** Endpoints that served the model. */
  readonly serving: CandidateSet;
}

/**
 * Builds the context of a decision anew. What plugins remember themselves (sessions, turns, draws)
 * is not in it: replay decisions in the order of their `nowMs` and call `picked` to have that too.
 * Signals are empty, because the policy's own producers make them from the headers: those that clients
 * name sessions, agents and profiles in, and those that plugins of the recorded policy read.
 */
export function contextOf(decision: Decision): ReplayedContext {
  const { candidates } = decision;
  const slots = candidates.reduce((most, { slot }) => Math.max(most, slot + 1), 0);
  const noMatchReason = encodersReason(decision);
  const serving = new CandidateSet(slots);
  for (const { slot, excludedBy } of candidates) {
    if (excludedBy !== 'other-model') serving.add(slot);
  }
  const context: SchedulingContext = {
    requestId: decision.requestId,
    model: decision.resolvedTargetModel,
    pool: decision.pool,
    adapter: decision.adapter,
    headers: () => decision.headers,
    priority: decision.priority,
    promptTokens: decision.promptTokens,
    totalBlocks: decision.totalBlocks,
    blockSize: decision.blockSize,
    match: noMatchReason === null ? matchOf(candidates, slots) : null,
    noMatchReason,
    media: decision.media,
    signals: requestSignals(),
    subset: subsetOf(candidates, slots),
    fleet: fleetOf(decision, slots),
    nowMs: decision.nowMs,
  };
  return { context, serving };
}

/** Who was left out for another reason is left out again, whether the gateway named it or not. */
function subsetOf(candidates: readonly DecisionCandidate[], slots: number): CandidateSet | null {
  if (!candidates.some(({ excludedBy }) => excludedBy === ENDPOINT_SUBSET)) return null;
  const subset = new CandidateSet(slots);
  for (const { slot, excludedBy } of candidates) {
    if (excludedBy !== ENDPOINT_SUBSET) subset.add(slot);
  }
  return subset;
}

/** The reason as contexts carry it: an empty match is one that took place. */
function encodersReason({ noMatchReason }: Decision): Decision['noMatchReason'] {
  return noMatchReason === 'no-match' || noMatchReason === 'index-cold' ? null : noMatchReason;
}

function matchOf(candidates: readonly DecisionCandidate[], slots: number): PromptMatch {
  const match = {
    usableBlocks: new Uint32Array(slots),
    rawBlocks: new Uint32Array(slots),
    speculativeBlocks: new Uint32Array(slots),
    tierBlocks: new Uint32Array(slots * TIER_COUNT),
  };
  for (const candidate of candidates) {
    const { slot } = candidate;
    match.usableBlocks[slot] = candidate.usableBlocks;
    match.rawBlocks[slot] = candidate.rawBlocks;
    match.speculativeBlocks[slot] = candidate.speculativeBlocks;
    match.tierBlocks.set(candidate.tierBlocks, slot * TIER_COUNT);
  }
  return match;
}

function fleetOf({ candidates, fleetEpoch, nowMs }: Decision, slots: number): FleetSnapshot {
  const bySlot = new Array<EndpointState | null>(slots).fill(null);
  for (const candidate of candidates) bySlot[candidate.slot] = stateOf(candidate, nowMs);
  return { epoch: fleetEpoch, bySlot };
}

function stateOf(candidate: DecisionCandidate, nowMs: number): EndpointState {
  const { metricsAgeMs } = candidate;
  return {
    endpoint: {
      slot: candidate.slot,
      name: candidate.endpoint,
      id: candidate.id,
      url: candidate.url,
      dpRank: candidate.dpRank,
      engine: candidate.engine,
      labels: candidate.labels,
      // Credentials, event sockets and the text of /v1/models are no matter of scheduling.
      security: { apiKey: null, caPem: null },
      models: candidate.models.map((model) => ({ ...model, root: null, raw: { id: model.id } })),
      blockSize: candidate.blockSize,
      gpuBlocks: candidate.gpuBlocks,
      cacheTokens: null,
      events: null,
    },
    reported: {
      waitingRequests: candidate.waitingRequests,
      runningRequests: candidate.runningRequests,
      kvCacheUsage: candidate.kvCacheUsage,
      maxAdapters: candidate.maxAdapters,
      runningAdapters: new Set(candidate.runningAdapters),
      waitingAdapters: new Set(candidate.waitingAdapters),
    },
    inFlight: {
      requests: candidate.inFlightRequests,
      uncachedPromptTokens: candidate.inFlightPromptTokens,
      outputTokens: candidate.inFlightOutputTokens,
    },
    scrapedAtMs: metricsAgeMs === null ? Number.NEGATIVE_INFINITY : nowMs - metricsAgeMs,
    healthy: candidate.healthy,
    draining: candidate.draining,
    publisher: candidate.publisher,
  };
}
