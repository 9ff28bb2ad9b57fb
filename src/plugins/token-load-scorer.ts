// Prefers endpoints with few tokens of this router in flight: a long prompt weighs more than many
// short ones.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { IGNORED_LOAD_PRODUCER } from './ignored.js';
import { inFlightTokens } from './in-flight.js';

const parameters = z.strictObject({
  queueThresholdTokens: z
    .number()
    .int()
    .min(1)
    .default(4_194_304)
    .describe('Tokens in flight at which the score is 0: 128 requests of 32,768.'),
  inFlightLoadProducerName: z.string().optional().describe('Producer of the count in flight.'),
});

/** llm-d's token-load-scorer. */
export const tokenLoadScorer: ScorerDefinition = defineScorer({
  type: 'token-load-scorer',
  summary:
    '1 − min(1, tokensInFlight / `queueThresholdTokens`): prompt tokens not expected in the cache, ' +
    'until the first byte, and the estimated answer where `inflight-load-producer` estimates it.',
  parameters,
  ignored: [IGNORED_LOAD_PRODUCER],
  consumes: ['in-flight', 'prompt-tokens'],
  create: ({ queueThresholdTokens }) => ({
    score: (context, candidates, scores) => {
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const tokens = inFlightTokens(candidateState(context, slot));
        scores[slot] = 1 - Math.min(1, tokens / queueThresholdTokens);
      }
    },
  }),
});
