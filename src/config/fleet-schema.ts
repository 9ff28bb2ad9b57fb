// What the configuration says about engines beside the list of them: a file that lists more, and where
// the events of those are that do not tell.

import { z } from 'zod';
import type { AdapterSettings } from './configuration.js';

const ADAPTERS_MAX = 1000;

/** `endpointsFile` as written. */
export interface EndpointsFileEntry {
  readonly path: string;
  readonly watch: boolean;
}

/** `events` as written. */
export interface EventsEntry {
  readonly shards: number;
  readonly port?: number | undefined;
  readonly replayPort?: number | undefined;
  readonly bind?: string | undefined;
  readonly topic?: string | undefined;
}

const port = (sentence: string): z.ZodOptional<z.ZodNumber> =>
  z.number().int().min(1).max(65_535).optional().describe(sentence);

/** `endpointsFile`. */
export const endpointsFile: z.ZodOptional<z.ZodType<EndpointsFileEntry>> = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .describe(
        "File with a list `endpoints` of `{name, address, port}`, as llm-d's `file-discovery` has it; `namespace` and `labels` may be there.",
      ),
    watch: z
      .boolean()
      .default(false)
      .describe('Whether endpoints come and go when the file changes.'),
  })
  .optional()
  .describe('More model servers, from a file that something else writes.');

/** `adapters`: by the id that requests name as model. */
export const adapters: z.ZodDefault<z.ZodType<Readonly<Record<string, AdapterSettings>>>> = z
  .record(
    z.string().min(1).max(256),
    z.strictObject({
      parent: z
        .string()
        .min(1)
        .max(256)
        .describe('Base model of the adapter, as its engines list it.'),
      labels: z
        .record(z.string(), z.string())
        .default({})
        .describe('Endpoints of the base model with all of these labels can load it.'),
    }),
  )
  .refine((value) => Object.keys(value).length <= ADAPTERS_MAX, {
    error: `expected at most ${ADAPTERS_MAX} adapters`,
  })
  .default({})
  .describe(
    'LoRA adapters that engines load when a request names them, as vLLM does with a resolver plugin; adapters that engines list in `/v1/models` are found without it. An engine that cannot load one answers 404.',
  );

/** `events`. */
export const events: z.ZodPrefault<z.ZodType<EventsEntry, object>> = z
  .strictObject({
    shards: z
      .number()
      .int()
      .min(1)
      .max(16)
      .default(1)
      .describe('Threads that follow KV events; each owns some of the endpoints.'),
    port: port(
      'Event port of engines that do not tell theirs (vLLM < 0.31); the second endpoint of a host has the next one, and so on.',
    ),
    replayPort: port('Replay port of engines that do not tell theirs, counted like `port`.'),
    bind: z
      .string()
      .optional()
      .describe(
        'Address where the router listens for the events of engines that do not tell theirs, instead of `port`: `tcp://*:5557`.',
      ),
    topic: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Topic of each engine at `bind`, with `{host}` and `{port}` for the endpoint: `kv@{host}:{port}@MODEL`.',
      ),
  })
  .prefault({})
  .describe('Following KV events.');
