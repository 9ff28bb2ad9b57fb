// The formula behind prefix-cache-scorer and its older form precise-prefix-cache-scorer. Scores are
// absolute, not relative to the best candidate, so that a small match does not outweigh load.

import { z } from 'zod';
import type { Scorer } from '#contracts/scheduling.js';
import { matchedBlocks } from './prefix-match.js';

/** Weight and scale of the part of the score that goes by length. */
export const prefixScoreFields: {
  readonly matchLengthWeight: z.ZodDefault<z.ZodNumber>;
  readonly matchLengthScaleTokens: z.ZodDefault<z.ZodNumber>;
} = {
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
};

export interface PrefixScoreParameters {
  readonly matchLengthWeight: number;
  readonly matchLengthScaleTokens: number;
}

/** The formula in words, for the reference page. */
export const PREFIX_SCORE_SUMMARY: string =
  'w · min(1, matchedTokens / scale)² + (1 − w) · matchedBlocks / totalBlocks, where matched ' +
  'blocks are the usable ones (half of them unless the event stream is live) or those expected ' +
  'within moments, whichever is more; 0 when nothing was matched.';

/** Makes the scorer. */
export function prefixScorer(parameters: PrefixScoreParameters): Scorer {
  const { matchLengthWeight, matchLengthScaleTokens } = parameters;
  return {
    score: (context, candidates, scores) => {
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const matched = matchedBlocks(context, slot);
        if (matched === 0) {
          scores[slot] = 0;
          continue;
        }
        const share = matched / context.totalBlocks;
        const length = Math.min(1, (matched * context.blockSize) / matchLengthScaleTokens);
        scores[slot] = matchLengthWeight * length * length + (1 - matchLengthWeight) * share;
      }
    },
  };
}
