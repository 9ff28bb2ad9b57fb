// Every message between the main thread and its workers.

import type { ModelDescriptor, SharedMemory } from './core.js';
import type { EventSource, PublisherState } from './endpoint.js';
import type { Route } from './request.js';

/** `workerData` of an event worker. */
export interface EventWorkerData {
  readonly memory: SharedMemory;
  /** Writer id in the index, unique among running workers. */
  readonly writerId: number;
  readonly hashSecret: bigint;
  /** Seed of the worker's random numbers (reconnect jitter). */
  readonly seed: number;
  /** A publisher whose connection is down for longer is stale. */
  readonly staleAfterMs: number;
}

/** A publisher an event worker must follow. */
export interface Subscription {
  /** Endpoint slot; names the publisher everywhere. */
  readonly slot: number;
  readonly name: string;
  readonly source: EventSource;
  readonly pool: string;
  /** Canonical block size; null until known, meanwhile frames wait. */
  readonly blockSize: number | null;
}

/** Stages at which a test may make an event worker fail. */
export type EventStage = 'receive' | 'order' | 'apply';

export type ToEventWorker =
  | { readonly type: 'subscribe'; readonly subscription: Subscription }
  | { readonly type: 'unsubscribe'; readonly slot: number }
  /** The pool's canonical block size: publishers begin, or rebuild by replay when it changed. */
  | { readonly type: 'set-block-size'; readonly pool: string; readonly blockSize: number }
  /** The engine behind the slot was restarted (its start time moved): drop and replay. */
  | { readonly type: 'engine-restarted'; readonly slot: number }
  /** Stop writing to the index until `resume`; answered by `quiesced`. */
  | { readonly type: 'quiesce' }
  /** The index was cleared: every publisher starts again by replay. */
  | { readonly type: 'resume' }
  /** Answered by `pong`; a worker that does not is hung. */
  | { readonly type: 'ping' }
  /** Close all sockets, answer `stopped`, end. */
  | { readonly type: 'stop' }
  /** Tests only: throw at the next frame of that stage. */
  | { readonly type: 'fail-at'; readonly stage: EventStage };

export type FromEventWorker =
  | { readonly type: 'ready' }
  | {
      readonly type: 'publisher';
      readonly slot: number;
      readonly state: PublisherState;
      readonly reason: string;
    }
  /** A publisher's own block size, as its events tell it. */
  | { readonly type: 'block-size'; readonly slot: number; readonly blockSize: number }
  | { readonly type: 'quiesced' }
  | { readonly type: 'pong' }
  /** A bucket lock's owner is gone: main must recover the index. */
  | { readonly type: 'index-stuck' }
  | {
      readonly type: 'warning';
      readonly slot: number;
      readonly sentence: string;
      readonly detail: string;
    }
  /** Sockets are closed; the worker ends itself. */
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly error: string };

/** `workerData` of a prompt worker (Piscina passes it through). */
export interface PromptWorkerData {
  readonly memory: SharedMemory;
  readonly hashSecret: bigint;
}

/** Tasks of the prompt pool. Models are passed by version, so that each worker fetches them once. */
export type PromptTask =
  | {
      readonly type: 'encode';
      readonly modelsVersion: number;
      readonly models: readonly ModelDescriptor[];
      readonly route: Route;
      /** Pairs (slot, generation). */
      readonly handles: Uint32Array;
    }
  | {
      readonly type: 'tokenize';
      readonly modelsVersion: number;
      readonly models: readonly ModelDescriptor[];
      readonly modelIndex: number;
      readonly route: Route;
      readonly body: string;
    };

export interface PromptTaskResult {
  /** Token ids of a `tokenize` task, else null. */
  readonly tokenIds: Uint32Array | null;
  readonly prefixCacheHits: number;
  readonly prefixCacheLookups: number;
  /** Why prompts could not be encoded or tokenizers not loaded, for the log; a few at most. */
  readonly problems: readonly string[];
}
