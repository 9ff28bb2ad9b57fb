// Prefers endpoints with few requests running in the engine.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { scoreFewestFirst } from './fewest-first.js';
import { noParameters } from './no-parameters.js';

/** llm-d's running-requests-size-scorer. */
export const runningRequestsSizeScorer: ScorerDefinition = defineScorer({
  type: 'running-requests-size-scorer',
  summary: '(max − running) / (max − min) over the candidates, 1 when all are equal.',
  parameters: noParameters,
  consumes: ['running'],
  create: (_parameters, { metricsStaleAfterMs }) => ({
    score: (context, candidates, scores) =>
      scoreFewestFirst(context, candidates, scores, metricsStaleAfterMs, runningOf),
  }),
});

function runningOf(reported: { readonly runningRequests: number }): number {
  return reported.runningRequests;
}
