// Prefers endpoints that have encoded the prompt's images, audio and video before.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { MEDIA_PRODUCER, mediaPlacements } from './media-placements.js';

const parameters = z.strictObject({
  producerName: z
    .string()
    .default('')
    .describe(
      `Name of the \`${MEDIA_PRODUCER}\` whose memory counts; empty: of the one without a name, ` +
        'which is made when there is none.',
    ),
});

/** llm-d's mm-embeddings-cache-scorer. */
export const mmEmbeddingsCacheScorer: ScorerDefinition = defineScorer({
  type: 'mm-embeddings-cache-scorer',
  summary:
    "Share of a chat's images, audio and video that the endpoint was sent recently, by `uuid`, URL " +
    'or data; 0 without any.',
  parameters,
  consumes: ['media'],
  needs: ({ producerName }) => [
    { type: MEDIA_PRODUCER, name: producerName, called: producerName, at: ['producerName'] },
  ],
  create: ({ producerName }, host) => {
    const placements = mediaPlacements(host, producerName);
    return {
      score: (context, candidates, scores) => {
        const { media } = context;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const { name } = candidateState(context, slot).endpoint;
          scores[slot] =
            media.length === 0 ? 0 : placements.count(slot, name, media) / media.length;
        }
      },
    };
  },
});
