// Endpoints and the fleet: what can be routed to, how loaded it is, how fresh that knowledge is.

/** Model server software; `trtllm` is TensorRT-LLM, also behind Triton, and `triton` any other of that. */
export type EngineKind = 'vllm' | 'sglang' | 'trtllm' | 'triton' | 'unknown';

/** A model an engine serves: a base model or a LoRA adapter of one. */
export interface ServedModel {
  readonly id: string;
  /** Base model's id for an adapter, else null. */
  readonly parent: string | null;
  /** Path or name the engine loaded it from (`root` of /v1/models), when told. */
  readonly root: string | null;
  /** Longest context in tokens, when told. */
  readonly maxModelLen: number | null;
  /** False for an adapter that the engine only loads once a request names it (`adapters`). */
  readonly loaded: boolean;
  /** The entry of the engine's /v1/models as it came, for the merged list. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Where a publisher's events come from. */
export interface EventSource {
  /** ZMQ address; with `mode` dial the router connects, with bind it listens there. */
  readonly address: string;
  readonly mode: 'dial' | 'bind';
  /** ZMQ address of the replay socket, null when the engine has none. */
  readonly replayAddress: string | null;
  /** Only frames of this topic belong to the publisher; null accepts every topic. */
  readonly topic: string | null;
}

/** TLS and credentials towards one engine. */
export interface EndpointSecurity {
  /** Sent as `Authorization: Bearer …` on forwarding, scraping and probing; null for none. */
  readonly apiKey: string | null;
  /** PEM text of the private CA for https endpoints; null trusts the system's. */
  readonly caPem: string | null;
}

/** Routable target: an address, and a data-parallel rank when there are several behind it. */
export interface Endpoint {
  /** Stable small number while the endpoint lives; index into every per-endpoint array. */
  readonly slot: number;
  /** `address:port`, plus `|rank` where there are several ranks. */
  readonly name: string;
  /** `namespace/name` of llm-d's `file-discovery`, with `|rank` as `name` has it; null without one. */
  readonly id: string | null;
  /** Base URL without trailing slash. */
  readonly url: string;
  /** Rank sent as `X-data-parallel-rank`; null when the address has a single rank. */
  readonly dpRank: number | null;
  readonly engine: EngineKind;
  readonly labels: Readonly<Record<string, string>>;
  readonly security: EndpointSecurity;
  readonly models: readonly ServedModel[];
  /** Engine block size in tokens, null until known. */
  readonly blockSize: number | null;
  /** GPU blocks of the engine, null until known. */
  readonly gpuBlocks: number | null;
  /** Tokens it can hold for reuse, as configured or told; 0 if it reuses nothing, null unknown. */
  readonly cacheTokens: number | null;
  readonly events: EventSource | null;
}

/**
 * Life of an event publisher, seen by scoring and in /status. `history`: the engine publishes no
 * events, and what was sent there counts as held there (routing-history.ts).
 */
export const PUBLISHER_STATES = [
  'cold',
  'replaying',
  'live',
  'gapped',
  'stale',
  'dead',
  'history',
] as const;
export type PublisherState = (typeof PUBLISHER_STATES)[number];

/** Load of one endpoint as last reported by the engine. */
export interface ReportedLoad {
  waitingRequests: number;
  runningRequests: number;
  /** Share of KV blocks in use, 0…1. */
  kvCacheUsage: number;
  /** LoRA adapters the engine can hold at once; 0 when it tells of none. */
  maxAdapters: number;
  /** Adapters with requests running, and with requests that wait for them to be loaded. */
  runningAdapters: ReadonlySet<string>;
  waitingAdapters: ReadonlySet<string>;
}

/** What the router itself has in flight at one endpoint; moved at decision time. */
export interface InFlightLoad {
  requests: number;
  /** Prompt tokens not expected in the cache, until the first byte. */
  uncachedPromptTokens: number;
  /** Estimated tokens of answers, where the policy estimates them, until the request ends. */
  outputTokens: number;
}

/** Everything the scheduler may know of one endpoint, by slot, updated in place. */
export interface EndpointState {
  readonly endpoint: Endpoint;
  readonly reported: ReportedLoad;
  readonly inFlight: InFlightLoad;
  /** Monotonic time of the last successful scrape, −Infinity before the first. */
  scrapedAtMs: number;
  /** False while ejected or failing its probes. */
  healthy: boolean;
  /** True while no new requests may go there although it still answers old ones. */
  draining: boolean;
  publisher: PublisherState;
}

/** The endpoints of one moment; replaced whole when membership changes. */
export interface FleetSnapshot {
  readonly epoch: number;
  /** By slot; null where a slot is free. Length is the endpoint capacity. */
  readonly bySlot: readonly (EndpointState | null)[];
}

/** What one request adds to an endpoint's load. */
export interface RequestLoad {
  readonly uncachedPromptTokens: number;
  readonly outputTokens: number;
}

/** The fleet as the request path sees it. */
export interface Fleet {
  snapshot(): FleetSnapshot;
  /** Counts a request in at decision time. `release` undoes it exactly once. */
  acquire(slot: number, load: RequestLoad): InFlightToken;
  /** Tells passive health what an attempt ended in. */
  report(slot: number, outcome: AttemptOutcome): void;
}

/** Receipt for counted load; bound to the endpoint's instance, so a re-added one is not touched. */
export interface InFlightToken {
  /** The prompt has been processed: first byte seen. */
  releasePromptTokens(): void;
  /** The request has ended. Later calls do nothing. */
  release(): void;
}

/** What an attempt says about an endpoint's health. 4xx says nothing; 429/503 is busy, not dead. */
export type AttemptOutcome = 'answered' | 'busy' | 'server-error' | 'unreachable' | 'timed-out';
