// Prefers the endpoints that are meant for prompts as long as this one, the more the tighter their
// range is; out of range, the nearest.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { ContextRanges, contextLengthParameters } from './context-range.js';

/** What divides scores in range from those out of it. */
const BORDER = 0.3;
const WIDTH_SHARE = 0.7;
/** Width, in tokens, at which a range counts as half as tight as can be. */
const WIDTH_SCALE = 10_000;
/** Distance, in tokens, at which a score out of range is halved. */
const DISTANCE_SCALE = 1000;

/** llm-d's context-length-aware as a scorer. */
export const contextLengthAwareScorer: ScorerDefinition = defineScorer({
  type: 'context-length-aware',
  summary:
    'In range: 0.3 + 0.7 · (0.7 / (1 + width / 10,000) + 0.3 · (max − tokens) / width), 1 for a ' +
    'width of 0; out of range: 0.3 / (1 + distance / 1,000); 0.5 without the label or while the ' +
    'length of the prompt is not known, 0 for a label that is no range.',
  parameters: contextLengthParameters,
  consumes: ['labels', 'prompt-tokens'],
  create: ({ label }, host) => {
    const ranges = new ContextRanges(label, host);
    return {
      score: (context, candidates, scores) => {
        const { promptTokens } = context;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const kind = ranges.read(context, slot);
          if (kind === 'malformed') scores[slot] = 0;
          else if (kind === 'unlabelled' || promptTokens === 0) scores[slot] = 0.5;
          else scores[slot] = rangeScore(promptTokens, ranges.least, ranges.most);
        }
      },
    };
  },
});

function rangeScore(tokens: number, least: number, most: number): number {
  if (tokens > most) return BORDER / (1 + (tokens - most) / DISTANCE_SCALE);
  if (tokens < least) return BORDER / (1 + (least - tokens) / DISTANCE_SCALE);
  const width = most - least;
  if (width === 0) return 1;
  const tightness = WIDTH_SHARE / (1 + width / WIDTH_SCALE);
  const headroom = ((1 - WIDTH_SHARE) * (most - tokens)) / width;
  return BORDER + (1 - BORDER) * (tightness + headroom);
}
