// Prefers endpoints that already hold the beginning of the prompt. Scores are absolute, not
// relative to the best candidate, so that a small match does not outweigh load.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { publisherTrust } from './freshness.js';

const parameters = z.strictObject({
  matchLengthWeight: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('Share of the score that goes by matched tokens instead of the matched fraction.'),
  matchLengthScaleTokens: z
    .number()
    .int()
    .min(1)
    .max(1_048_576)
    .default(8192)
    .describe('Matched tokens at which that share is full.'),
});

/** llm-d's prefix-cache-scorer over exact matches. */
export const prefixCacheScorer: ScorerDefinition = defineScorer({
  type: 'prefix-cache-scorer',
  summary:
    'w · min(1, matchedTokens / scale)² + (1 − w) · matchedBlocks / totalBlocks, where matched ' +
    'blocks are the usable ones (half of them unless the event stream is live) or those expected ' +
    'within moments, whichever is more; 0 when nothing was matched.',
  parameters,
  consumes: ['prefix-match'],
  create: ({ matchLengthWeight, matchLengthScaleTokens }) => ({
    score: (context, candidates, scores) => {
      const { match, totalBlocks, blockSize } = context;
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        scores[slot] = 0;
        if (match === null || totalBlocks === 0) continue;
        const usable = match.usableBlocks[slot] ?? 0;
        const expected = Math.max(usable, match.speculativeBlocks[slot] ?? 0);
        // What was sent there moments ago is known here, however the event stream is.
        const trusted = usable * publisherTrust(candidateState(context, slot).publisher);
        const matched = trusted + (expected - usable);
        const length = Math.min(1, (matched * blockSize) / matchLengthScaleTokens);
        scores[slot] =
          matchLengthWeight * length * length + (1 - matchLengthWeight) * (matched / totalBlocks);
      }
    },
  }),
});
