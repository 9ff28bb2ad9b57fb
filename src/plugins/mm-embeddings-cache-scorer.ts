// Prefers endpoints that have encoded the prompt's images, audio and video before.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { MEDIA_CACHE_MEGABYTES, mediaPlacements } from './media-placements.js';
import { noParameters } from './no-parameters.js';

/** llm-d's mm-embeddings-cache-scorer. */
export const mmEmbeddingsCacheScorer: ScorerDefinition = defineScorer({
  type: 'mm-embeddings-cache-scorer',
  summary:
    "Share of a chat's images, audio and video that the endpoint was sent recently, by `uuid`, URL " +
    'or data; 0 without any.',
  parameters: noParameters,
  consumes: ['media'],
  create: (_parameters, host) => {
    const placements = mediaPlacements(host, MEDIA_CACHE_MEGABYTES);
    return {
      score: (context, candidates, scores) => {
        const { media } = context;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const { name } = candidateState(context, slot).endpoint;
          scores[slot] =
            media.length === 0 ? 0 : placements.count(slot, name, media) / media.length;
        }
      },
      picked: (context, slot) => {
        if (context.media.length === 0) return undefined;
        const record = (at: number): void =>
          placements.record(at, candidateState(context, at).endpoint.name, context.media);
        record(slot);
        return record;
      },
    };
  },
});
