// Prefers endpoints that already hold the beginning of the prompt.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { IGNORED_MATCH_PRODUCER } from './ignored.js';
import { PREFIX_SCORE_SUMMARY, prefixScoreFields, prefixScorer } from './prefix-score.js';

const count = z.number().int().min(0).optional();

const parameters = z.strictObject({
  ...prefixScoreFields,
  prefixMatchInfoProducerName: z.string().optional().describe('Producer of the match.'),
  autoTune: z.boolean().optional().describe('Older place of what the producer takes.'),
  blockSize: count.describe('Older place of what the producer takes.'),
  blockSizeTokens: count.describe('Older place of what the producer takes.'),
  maxPrefixBlocksToMatch: count.describe('Older place of what the producer takes.'),
  lruCapacityPerServer: count.describe('Older place of what the producer takes.'),
});

/** llm-d's prefix-cache-scorer, over exact matches where engines publish KV events. */
export const prefixCacheScorer: ScorerDefinition = defineScorer({
  type: 'prefix-cache-scorer',
  summary: PREFIX_SCORE_SUMMARY,
  parameters,
  ignored: [
    IGNORED_MATCH_PRODUCER,
    {
      paths: [
        'autoTune',
        'blockSize',
        'blockSizeTokens',
        'maxPrefixBlocksToMatch',
        'lruCapacityPerServer',
      ],
      why: "Whole prompts are matched in blocks of the engines' own size, and as many are kept as the engines keep.",
    },
  ],
  consumes: ['prefix-match'],
  create: prefixScorer,
});
