// Prefers endpoints with few requests waiting in the engine.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { scoreFewestFirst } from './fewest-first.js';
import { noParameters } from './no-parameters.js';

/** llm-d's queue-scorer. */
export const queueScorer: ScorerDefinition = defineScorer({
  type: 'queue-scorer',
  summary: '(max − waiting) / (max − min) over the candidates, 1 when all are equal.',
  parameters: noParameters,
  consumes: ['waiting'],
  create: (_parameters, { metricsStaleAfterMs }) => ({
    score: (context, candidates, scores) =>
      scoreFewestFirst(context, candidates, scores, metricsStaleAfterMs, waitingOf),
  }),
});

function waitingOf(reported: { readonly waitingRequests: number }): number {
  return reported.waitingRequests;
}
