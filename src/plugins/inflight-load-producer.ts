// Estimates how long an answer will be, so that it counts as in flight. Requests and prompt tokens in
// flight are counted without it.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { IGNORED_MATCH_PRODUCER } from './ignored.js';

const parameters = z.strictObject({
  addEstimatedOutputTokens: z
    .boolean()
    .default(false)
    .describe('Whether the estimated answer counts as in flight until the request ends.'),
  outputRatio: z
    .number()
    .min(0)
    .max(1000)
    .default(1.5)
    .describe('Tokens of the answer per token of the prompt.'),
  maxEstimatedOutputTokens: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Largest estimate; none when not given.'),
  prefixMatchInfoProducerName: z.string().optional().describe('Producer of the match.'),
});

/** llm-d's inflight-load-producer. */
export const inflightLoadProducer: ProducerDefinition = defineProducer({
  type: 'inflight-load-producer',
  summary:
    'With `addEstimatedOutputTokens`, min(`maxEstimatedOutputTokens`, `outputRatio` · promptTokens) ' +
    'tokens count as in flight until the request ends; requests, and prompt tokens not expected in ' +
    'the cache, always count.',
  parameters,
  ignored: [IGNORED_MATCH_PRODUCER],
  consumes: ['prompt-tokens'],
  create: ({ addEstimatedOutputTokens, outputRatio, maxEstimatedOutputTokens }) => {
    if (!addEstimatedOutputTokens) return {};
    const most = maxEstimatedOutputTokens ?? Number.POSITIVE_INFINITY;
    return {
      produce: ({ promptTokens, signals }) => {
        signals.outputTokens = Math.min(most, Math.round(promptTokens * outputRatio));
      },
    };
  },
});
