// Prefers endpoints without a queue, by an absolute scale: 0.5 at most, so that it only breaks
// ties between scorers that know more.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { isFresh, staleLoses } from './freshness.js';

const parameters = z.strictObject({
  threshold: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(128)
    .describe('Waiting requests at which the score is 0.'),
});

/** llm-d's load-aware-scorer. */
export const loadAwareScorer: ScorerDefinition = defineScorer({
  type: 'load-aware-scorer',
  summary: '0.5 · (1 − waiting / threshold), 0.5 without a queue, 0 from the threshold on.',
  parameters,
  consumes: ['waiting'],
  create: ({ threshold }, { metricsStaleAfterMs }) => ({
    score: (context, candidates, scores) => {
      const ignoreStale = staleLoses(context, candidates, metricsStaleAfterMs);
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const state = candidateState(context, slot);
        const ignored = ignoreStale && !isFresh(state, context.nowMs, metricsStaleAfterMs);
        const share = Math.min(1, state.reported.waitingRequests / threshold);
        scores[slot] = ignored ? 0 : 0.5 * (1 - share);
      }
    },
  }),
});
