// Remembers which images, audio and video endpoints were sent, for the mm-embeddings-cache-scorers that
// name it.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { MEDIA_PRODUCER, mediaPlacements } from './media-placements.js';

const megabytes = z.number().int().min(1).max(1_048_576);

const parameters = z
  .strictObject({
    cacheSizeInMBPerServer: megabytes
      .optional()
      .describe('MiB of an endpoint; 2 MiB an item. 4096 when not given.'),
    cacheSizeInMB: megabytes.optional().describe('Older name of `cacheSizeInMBPerServer`.'),
  })
  .refine(
    ({ cacheSizeInMBPerServer, cacheSizeInMB }) =>
      cacheSizeInMBPerServer === undefined || cacheSizeInMB === undefined,
    { error: 'expected either `cacheSizeInMBPerServer` or its older name `cacheSizeInMB`' },
  );

/** llm-d's mm-embeddings-cache-producer. */
export const mmEmbeddingsCacheProducer: ProducerDefinition = defineProducer({
  type: MEDIA_PRODUCER,
  summary:
    'Remembers per endpoint the most recent images, audio and video sent there, ' +
    '`cacheSizeInMBPerServer` / 2 of them. Several, each with a `name`, remember apart.',
  parameters,
  consumes: ['media'],
  create: ({ cacheSizeInMBPerServer, cacheSizeInMB }, host) => {
    const placements = mediaPlacements(host, host.name, cacheSizeInMBPerServer ?? cacheSizeInMB);
    return {
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
