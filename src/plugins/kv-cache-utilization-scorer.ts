// Prefers endpoints with free KV cache.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { isFresh, staleLoses } from './freshness.js';
import { noParameters } from './no-parameters.js';

/** llm-d's kv-cache-utilization-scorer. */
export const kvCacheUtilizationScorer: ScorerDefinition = defineScorer({
  type: 'kv-cache-utilization-scorer',
  summary: '1 − share of KV blocks in use, as last scraped.',
  parameters: noParameters,
  consumes: ['kv-cache-usage'],
  create: (_parameters, { metricsStaleAfterMs }) => ({
    score: (context, candidates, scores) => {
      const ignoreStale = staleLoses(context, candidates, metricsStaleAfterMs);
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const state = candidateState(context, slot);
        const ignored = ignoreStale && !isFresh(state, context.nowMs, metricsStaleAfterMs);
        scores[slot] = ignored ? 0 : 1 - state.reported.kvCacheUsage;
      }
    },
  }),
});
