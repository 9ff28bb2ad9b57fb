// The older form of prefix-cache-scorer, which took the producer's parameters along.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { PRECISE_PREFIX_IGNORED, precisePrefixFields } from './precise-prefix-parameters.js';
import { PREFIX_SCORE_SUMMARY, prefixScoreFields, prefixScorer } from './prefix-score.js';

/** llm-d's precise-prefix-cache-scorer, which it has deprecated. */
export const precisePrefixCacheScorer: ScorerDefinition = defineScorer({
  type: 'precise-prefix-cache-scorer',
  summary: `The older name of \`prefix-cache-scorer\`: ${PREFIX_SCORE_SUMMARY}`,
  parameters: z.strictObject({ ...prefixScoreFields, ...precisePrefixFields }),
  ignored: PRECISE_PREFIX_IGNORED,
  consumes: ['prefix-match'],
  create: prefixScorer,
});
