// Records of decisions for tests of what is told of them: plain values.

import type { Decision, DecisionCandidate, DecisionResult } from '#contracts/decision.js';

/** An idle candidate of the default pool. */
export function decisionCandidate(
  slot: number,
  changes: Partial<DecisionCandidate> = {},
): DecisionCandidate {
  return {
    endpoint: `10.0.0.${slot}:8000`,
    slot,
    url: `http://10.0.0.${slot}:8000`,
    id: null,
    dpRank: null,
    engine: 'vllm',
    labels: {},
    models: [{ id: 'model-a', parent: null, maxModelLen: null, loaded: true }],
    blockSize: 16,
    gpuBlocks: 1000,
    healthy: true,
    draining: false,
    excludedBy: null,
    total: 0,
    terms: [],
    usableBlocks: 0,
    rawBlocks: 0,
    speculativeBlocks: 0,
    tierBlocks: [0, 0, 0, 0],
    inFlightRequests: 0,
    inFlightPromptTokens: 0,
    inFlightOutputTokens: 0,
    waitingRequests: 0,
    runningRequests: 0,
    kvCacheUsage: 0,
    maxAdapters: 0,
    runningAdapters: [],
    waitingAdapters: [],
    metricsAgeMs: 10,
    publisher: 'live',
    ...changes,
  };
}

/** A decision among these candidates, of which the first was chosen. */
export function decisionAmong(
  candidates: readonly DecisionCandidate[],
  changes: Partial<Decision> = {},
): Decision {
  return {
    requestId: 'request-1',
    at: '2026-01-01T00:00:00.000Z',
    model: 'model-a',
    resolvedTargetModel: 'model-a',
    pool: 'model-a',
    adapter: '',
    priority: 0,
    profile: 'precise',
    picker: 'max-score-picker',
    failure: null,
    chosen: candidates[0]?.endpoint ?? null,
    fallbacks: [],
    promptTokens: 170,
    totalBlocks: 10,
    blockSize: 16,
    predictedCachedTokens: (candidates[0]?.usableBlocks ?? 0) * 16,
    noMatchReason: null,
    headers: {},
    signals: { sessionId: '', agentIdentity: '', outputTokens: 0 },
    media: [],
    nowMs: 1000,
    fleetEpoch: 1,
    indexEpoch: 1,
    candidates,
    encodeMicros: { parse: 10, render: 20, tokenize: 300, hash: 4, match: 6 },
    scheduleMicros: { filter: 1, score: 7.4, pick: 2 },
    overheadMicros: 402.6,
    ...changes,
  };
}

/** A request that was answered as predicted. */
export function decisionResult(changes: Partial<DecisionResult> = {}): DecisionResult {
  return {
    endpoint: '10.0.0.0:8000',
    status: 200,
    outcome: 'completed',
    errorCode: null,
    attempts: 1,
    reportedCachedTokens: 144,
    reportedPromptTokens: 170,
    reportedCompletionTokens: 5,
    firstByteMs: 12.25,
    lastByteMs: 90,
    ...changes,
  };
}
