// Parameters of llm-d's precise prefix cache, which its producer takes and its older scorer took.

import { z } from 'zod';
import type { IgnoredParameters } from '#contracts/plugin.js';
import { kvIndexer, tokenProcessor } from './kv-indexer-parameters.js';

const port = z.number().int().min(0).max(65_535).optional();
const time = z.union([z.string(), z.number()]).optional();

/** What of them is to be read: where engines publish. */
export interface PrecisePrefixParameters {
  readonly kvEventsConfig?:
    | {
        readonly topicFilter?: string | undefined;
        readonly zmqEndpoint?: string | undefined;
        readonly podDiscoveryConfig?:
          | {
              readonly socketPort?: number | undefined;
              readonly replaySocketPort?: number | undefined;
            }
          | undefined;
      }
    | undefined;
}

/** Fields of the two. */
export const precisePrefixFields: Readonly<Record<string, z.ZodType>> = {
  tokenProcessorConfig: tokenProcessor.optional().describe('How blocks are keyed.'),
  indexerConfig: kvIndexer.optional().describe('The index.'),
  kvEventsConfig: z
    .strictObject({
      topicFilter: z.string().optional().describe('Beginning of the topics that are followed.'),
      concurrency: z.number().int().min(1).optional().describe('Threads that apply events.'),
      engineType: z.enum(['vllm', 'sglang']).optional().describe('Engine that publishes.'),
      zmqEndpoint: z.string().optional().describe('Address that all engines connect to.'),
      discoverPods: z.boolean().optional().describe('Whether engines are dialled one by one.'),
      podDiscoveryConfig: z
        .strictObject({
          podLabelSelector: z.string().optional().describe('Which pods publish.'),
          podNamespace: z.string().optional().describe('Where they are.'),
          socketPort: port.describe('Port on which an engine publishes; rank r on port + r.'),
          replaySocketPort: port.describe('Port on which an engine replays.'),
        })
        .optional()
        .describe('How engines are dialled.'),
    })
    .optional()
    .describe('Where engines publish; Warmpath asks engines for it where they can tell.'),
  speculativeIndexing: z.boolean().optional().describe('Whether decisions count at once.'),
  speculativeTTL: time.describe('For how long.'),
};

/** What has no effect here. */
export const PRECISE_PREFIX_IGNORED: readonly IgnoredParameters[] = [
  {
    paths: ['tokenProcessorConfig'],
    why: "Block keys are computed from the token ids inside the engines' own events, so neither block size nor seed nor hash must agree.",
  },
  {
    paths: ['indexerConfig'],
    why: 'The block index lies in shared memory of this process and is sized from the fleet; `index` in the configuration changes that.',
  },
  {
    paths: [
      'kvEventsConfig.concurrency',
      'kvEventsConfig.engineType',
      'kvEventsConfig.discoverPods',
      'kvEventsConfig.podDiscoveryConfig.podLabelSelector',
      'kvEventsConfig.podDiscoveryConfig.podNamespace',
    ],
    why: 'Every endpoint that publishes is followed, whatever its engine; `events.shards` says by how many threads.',
  },
  {
    paths: ['speculativeIndexing', 'speculativeTTL'],
    why: 'A decision always counts at once, for two seconds or until events confirm it.',
  },
];
