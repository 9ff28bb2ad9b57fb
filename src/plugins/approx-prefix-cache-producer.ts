// Recognised so that llm-d's configurations load: for engines without KV events Warmpath keeps its
// own history of what it sent where.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';

const count = z.number().int().min(0).optional();

const parameters = z.strictObject({
  autoTune: z.boolean().optional().describe('Whether sizes are taken from the engines.'),
  blockSizeTokens: count.describe('Tokens per block.'),
  blockSize: count.describe('Older name of `blockSizeTokens`.'),
  maxPrefixTokensToMatch: count.describe('Tokens of a prompt that are looked at.'),
  maxPrefixBlocksToMatch: count.describe('Blocks of a prompt that are looked at.'),
  lruCapacityPerServer: count.describe('Blocks kept per endpoint.'),
});

/** llm-d's approx-prefix-cache-producer. */
export const approxPrefixCacheProducer: ProducerDefinition = defineProducer({
  type: 'approx-prefix-cache-producer',
  summary:
    'What was sent to an endpoint counts as held there where the engine publishes no events.',
  parameters,
  ignored: [
    {
      paths: ['autoTune', 'blockSizeTokens', 'blockSize'],
      why: "Prompts are matched in blocks of the engines' own size.",
    },
    {
      paths: ['maxPrefixTokensToMatch', 'maxPrefixBlocksToMatch'],
      why: 'Whole prompts are matched.',
    },
    {
      paths: ['lruCapacityPerServer'],
      why: 'As many blocks are kept of an endpoint as its engine can hold.',
    },
  ],
  consumes: ['prefix-match'],
  create: () => ({}),
});
