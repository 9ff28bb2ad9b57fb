// The plugins of llm-d that are no part of scheduling: what Warmpath does in their place, and which
// parameters they may have. Those that it cannot replace are in plugins/refused.ts.

import { z } from 'zod';

export type ServiceRole =
  | 'data source'
  | 'notification source'
  | 'extractor'
  | 'discovery'
  | 'parser';

export interface Service {
  readonly role: ServiceRole;
  readonly parameters: z.ZodType;
  /** What Warmpath does instead, a part of a sentence; null where nothing differs. */
  readonly instead: string | null;
}

const none = z.strictObject({});
const scraped = {
  scheme: z.enum(['http', 'https']).optional(),
  path: z.string().optional(),
  port: z.union([z.int(), z.string()]).optional(),
  insecureSkipVerify: z.boolean().optional(),
  caCertPath: z.string().optional(),
  clientCertPath: z.string().optional(),
  clientKeyPath: z.string().optional(),
  interval: z.string().optional(),
};
const spec = z.string().optional();

const engineConfig = z.strictObject({
  name: z.string().min(1),
  queuedRequestsSpec: spec,
  runningRequestsSpec: spec,
  kvUsageSpec: spec,
  loraSpec: spec,
  cacheInfoSpec: spec,
  cacheBlockSizeLabelName: spec,
  cacheNumBlocksLabelName: spec,
  cacheBlockSizeSpec: spec,
  cacheNumBlocksSpec: spec,
  customMetrics: z
    .array(
      z.strictObject({
        attributeKey: z.string(),
        metricSpec: z.string(),
        optional: z.boolean().optional(),
      }),
    )
    .optional(),
});

/** By type. */
export const SERVICES: Readonly<Record<string, Service>> = {
  'metrics-data-source': {
    role: 'data source',
    parameters: z.strictObject(scraped),
    instead:
      'Warmpath reads `/metrics` of each engine, or `/prometheus/metrics` of TensorRT-LLM, at its own address, with the TLS and key of the endpoint; `scrape.interval` says how often',
  },
  'core-metrics-extractor': {
    role: 'extractor',
    parameters: z.strictObject({
      engineLabelKey: z.string().optional(),
      defaultEngine: z.string().optional(),
      engineConfigs: z.array(engineConfig).optional(),
    }),
    instead:
      'Warmpath recognises vLLM, SGLang, TensorRT-LLM and Triton by the names of their metrics, without labels; of an engine with series of other names it knows what it has sent there itself',
  },
  'models-data-source': {
    role: 'data source',
    parameters: z.strictObject(scraped),
    instead: 'Warmpath asks each engine for its models itself',
  },
  'models-data-extractor': {
    role: 'extractor',
    parameters: none,
    instead: 'Warmpath asks each engine for its models itself',
  },
  'k8s-notification-source': {
    role: 'notification source',
    parameters: z.strictObject({ group: spec, version: spec, kind: spec }),
    instead: 'endpoints come from the configuration, and Kubernetes is not asked',
  },
  'endpoint-notification-source': {
    role: 'notification source',
    parameters: none,
    instead: 'Warmpath tells its own index when an endpoint comes or goes',
  },
  'file-discovery': {
    role: 'discovery',
    parameters: z.strictObject({
      path: z.string().min(1),
      watchFile: z.boolean().default(false),
    }),
    instead: null,
  },
  'openai-parser': { role: 'parser', parameters: none, instead: null },
  'anthropic-parser': {
    role: 'parser',
    parameters: none,
    instead:
      'requests to `/v1/messages` are read as the chats that engines make of them without it',
  },
  'vllmhttp-parser': {
    role: 'parser',
    parameters: none,
    instead: 'requests to `/inference/v1/generate` are matched by their token ids without it',
  },
  'sglanghttp-parser': {
    role: 'parser',
    parameters: none,
    instead: 'requests to `/generate` are matched by `input_ids` or `text` without it',
  },
  'passthrough-parser': {
    role: 'parser',
    parameters: none,
    instead: 'other requests are routed by load as long as their path is below `/v1/`',
  },
};
