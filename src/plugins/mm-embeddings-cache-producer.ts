// Says how much of an endpoint's encoder cache is remembered for mm-embeddings-cache-scorer.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { MEDIA_CACHE_MEGABYTES, mediaPlacements } from './media-placements.js';

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
  type: 'mm-embeddings-cache-producer',
  summary:
    'Remembers per endpoint the most recent images, audio and video sent there, ' +
    '`cacheSizeInMBPerServer` / 2 of them.',
  parameters,
  consumes: ['media'],
  create: ({ cacheSizeInMBPerServer, cacheSizeInMB }, host) => {
    mediaPlacements(host, cacheSizeInMBPerServer ?? cacheSizeInMB ?? MEDIA_CACHE_MEGABYTES);
    return {};
  },
});
