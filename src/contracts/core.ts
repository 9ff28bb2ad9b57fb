// What must be fast, and therefore exists twice (native, portable) behind one contract each:
// RequestStore, DataPlane, PromptEncoder, BlockIndex (block-index.ts), RoutingHistory
// (routing-history.ts) and EventApplier.

import type { BlockIndexStats } from './block-index.js';
import type { Clock } from './clock.js';
import type { AttemptOutcome, Endpoint, EndpointSecurity } from './endpoint.js';
import type { ErrorCode, RouterError } from './errors.js';
import type { Logger } from './logger.js';
import type {
  BodyPatch,
  EncodedPrompt,
  HeaderPair,
  RequestHandle,
  RequestHead,
  Route,
} from './request.js';
import type { RoutingHistory } from './routing-history.js';
import type { ClosableEngineWatcher, WantedLines } from './transport.js';

/** Holds request bodies from the first byte until the request has ended. */
export interface RequestStore {
  /** Opens a slot for a body of about `bytesHint` bytes; null when slots or bytes are used up. */
  open(bytesHint: number): RequestHandle | null;
  append(handle: RequestHandle, chunk: Uint8Array): 'done' | 'stale' | 'too-large' | 'full';
  /**
   * Puts `text` in place of a part of a body that nobody reads or encodes meanwhile. The body stays
   * as it was unless this is done.
   */
  replace(
    handle: RequestHandle,
    place: { readonly offset: number; readonly length: number },
    text: Uint8Array,
  ): 'done' | 'stale' | 'too-large' | 'full' | 'out-of-bounds';
  /** View of the body so far; null for a stale handle. Valid until `replace` or `release`. */
  body(handle: RequestHandle): Uint8Array | null;
  /** Frees slot and bytes; a stale handle is ignored. */
  release(handle: RequestHandle): void;
  /** Slots and bytes in use, for gauges and leak tests. */
  usage(): { readonly slots: number; readonly bytes: number };
}

/** One endpoint to try, with what is said to it and, if it answers, to the client. */
export interface RouteTarget {
  readonly slot: number;
  readonly requestHeaders: readonly HeaderPair[];
  readonly responseHeaders: readonly HeaderPair[];
}

/** Where a request goes: the first target, and the ones after it while no byte has come back. */
export interface ForwardOrder {
  readonly targets: readonly RouteTarget[];
  readonly patches: readonly BodyPatch[];
}

/** How a request ended. */
export type CompletionOutcome =
  | 'completed'
  /** The client went away; the engine's request was aborted. */
  | 'client-gone'
  /** Refused before anything was sent on. */
  | 'rejected'
  /** Answered by the router itself. */
  | 'answered-locally'
  | 'endpoint-failed';

/** Usage the engine reported; −1 for what the answer did not carry. */
export interface ReportedUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

/** What the data plane tells about a request it forwards, in the order it happened. */
export type ForwardProgress =
  /** An attempt ended without an answer; the next target, if any, is tried. */
  | {
      readonly kind: 'attempt-failed';
      readonly handle: RequestHandle;
      readonly slot: number;
      readonly outcome: AttemptOutcome;
      /** Slot tried next, −1 when none is left. */
      readonly nextSlot: number;
    }
  | {
      readonly kind: 'first-byte';
      readonly handle: RequestHandle;
      readonly slot: number;
      readonly status: number;
    }
  /** The last record of a request; its handle is released after the batch was handled. */
  | {
      readonly kind: 'done';
      readonly handle: RequestHandle;
      /** Endpoint that answered, −1 for none. */
      readonly slot: number;
      readonly status: number;
      readonly outcome: CompletionOutcome;
      readonly errorCode: ErrorCode | null;
      /** Since the head was read; −1 when no byte came back. */
      readonly firstByteMs: number;
      /** Since the head was read, until the answer ended. */
      readonly lastByteMs: number;
      readonly responseBytes: number;
      /** Data events of a stream (0 when not streaming). */
      readonly chunks: number;
      readonly usage: ReportedUsage;
    };

/** Who is told about requests and their progress. Calls come in batches, on the main thread. */
export interface DataPlaneHandler {
  onRequests(batch: readonly RequestHead[]): void;
  /** `requestsFollow`: `onRequests` is called next, and what need not be done before it can wait. */
  onProgress(batch: readonly ForwardProgress[], requestsFollow: boolean): void;
}

/** For which models a plane's own pick, which replaces a policy that misses its limit, may take an endpoint. */
export type OwnPick = (endpoint: Endpoint) => readonly string[];

/** Owns every client and engine socket. */
export interface DataPlane {
  start(handler: DataPlaneHandler): Promise<{ readonly address: string; readonly port: number }>;
  /** Replaces what each slot means. Running requests keep the connection they have. */
  setEndpoints(bySlot: readonly (Endpoint | null)[], ownPick: OwnPick): void;
  /** Whether the plane's own pick may use a slot. */
  setUsable(slot: number, usable: boolean): void;
  /** Forwards. False when the handle is stale (the client has gone). */
  forward(handle: RequestHandle, order: ForwardOrder): boolean;
  /** Refuses with the error's status and OpenAI body. */
  reject(handle: RequestHandle, error: RouterError): boolean;
  /** Answers with the router's own response. */
  respond(
    handle: RequestHandle,
    status: number,
    headers: readonly HeaderPair[],
    body: string | Uint8Array,
  ): boolean;
  /** Stops listening, lets running requests finish for `timeoutMs`, then ends them with an error. */
  drain(timeoutMs: number): Promise<void>;
  /** Requests whose `done` record is still to come. */
  inFlight(): number;
}

/** Files of a tokenizer, or the engine's own routes. */
export type TokenizerSource =
  | {
      readonly kind: 'configured' | 'npm-package' | 'model-root' | 'hugging-face-cache';
      readonly directory: string;
    }
  /** The engines' own /tokenize, whichever of them answers: exact, slow, cached. */
  | { readonly kind: 'engine'; readonly engines: readonly TokenizingEngine[] };

/** An engine that can be asked for the token ids of a prompt. */
export interface TokenizingEngine {
  readonly url: string;
  readonly security: EndpointSecurity;
}

/** One servable model as the encoder needs it. */
export interface ModelDescriptor {
  readonly index: number;
  readonly id: string;
  /** Base model's id: one pool, one key space. */
  readonly pool: string;
  /** Adapter name in the keys, empty for the base model. */
  readonly adapter: string;
  readonly tokenizer: TokenizerSource | null;
  /** False until probe chats gave the engine's own token ids. */
  readonly proven: boolean;
  /** False where no plugin of the policy looks at prefixes: prompts are not even tokenised. */
  readonly matched: boolean;
  /** Whether bodies that name no model mean this one: the base model of the only pool. */
  readonly implied: boolean;
  /** Canonical block size of the pool, null until known. */
  readonly blockSize: number | null;
  readonly maxModelLen: number | null;
}

/** Turns a stored body into keys and matches, off the main thread. */
export interface PromptEncoder {
  start(): Promise<void>;
  /** Replaces the models. Resolves when every worker has them (tokenizers may still be loading). */
  setModels(models: readonly ModelDescriptor[]): Promise<void>;
  /** Whether the record can be read already: a core may encode while it hands requests over. */
  isEncoded(handle: RequestHandle): boolean;
  /**
   * Encodes requests given as pairs (slot, generation), at most ENCODE_BATCH_MAX, all of them on
   * `route`; those that were encoded before are encoded anew, as their bodies are now. Resolves when every record can be read; a request that could not be encoded has a
   * `noMatchReason`, so this rejects only when the encoder was stopped.
   */
  encode(handles: Uint32Array, route: Route): Promise<void>;
  /**
   * Reads the record of an encoded request, with the speculative residencies of now: others have
   * been routed since it was matched. Its arrays are valid until the handle is released.
   */
  read(handle: RequestHandle): EncodedPrompt;
  /** Renders and tokenises one request body for a model, whether proven or not (proof, doctor). */
  tokenize(modelIndex: number, route: Route, body: string): Promise<Uint32Array>;
  /** Records that `slot` will soon hold the whole prompt; seen by later matches at once. */
  speculate(handle: RequestHandle, slot: number): void;
  /** Takes that back, because the endpoint failed. */
  withdraw(handle: RequestHandle, slot: number): void;
  /** Workers lost and replaced, prefix-cache hits, for metrics. */
  stats(): PromptEncoderStats;
  stop(): Promise<void>;
}

export interface PromptEncoderStats {
  readonly workers: number;
  readonly workersLost: number;
  readonly queued: number;
  readonly prefixCacheHits: number;
  readonly prefixCacheLookups: number;
}

/** How a publisher's token ids become request keys. */
export interface PoolKeying {
  readonly pool: string;
  /** Canonical block size in tokens. */
  readonly blockSize: number;
}

/** Outcome of applying one frame. */
export interface ApplyResult {
  readonly status: 'applied' | 'malformed' | 'index-stuck';
  /** Why the frame was malformed, for the log; empty otherwise. */
  readonly detail: string;
  readonly blocksStored: number;
  readonly blocksRemoved: number;
  readonly cleared: boolean;
  /** Events skipped: unknown parent, unknown hash, unknown tag, unmappable. */
  readonly unknownParents: number;
  readonly unknownBlocks: number;
  readonly unknownEvents: number;
  readonly indexFull: number;
  /** Block size seen in group 0, 0 when the frame stored nothing. */
  readonly blockSize: number;
}

/** Decodes, keys and writes one publisher's frames. A publisher is named by its endpoint slot. */
export interface EventApplier {
  /** Begins to follow the slot, empty: drops what an earlier follower of it left in the index. */
  open(slot: number, keying: PoolKeying): void;
  apply(slot: number, payload: Uint8Array): ApplyResult;
  /** Drops everything the publisher's stream has told and begins a new generation. */
  reset(slot: number): void;
  /** Drops everything of the slot, also when it was never opened here. */
  close(slot: number): void;
  /** Frees index memory of dropped generations, `bucketCount` buckets at a time; true when clean. */
  sweep(bucketCount: number): boolean;
}

/** The memory all threads share: allocated by main, handed to every worker. */
export interface SharedMemory {
  readonly index: SharedArrayBuffer;
  readonly requests: SharedArrayBuffer;
  readonly publishers: SharedArrayBuffer;
}

/** Main's side of the index: allocation is done by main, recovery too. */
export interface BlockIndexOwner {
  stats(): BlockIndexStats;
  /** A writer has died: readers report no match and writers stop until `recover`. */
  suspend(): void;
  /** Clears table and sets and raises the epoch. No writer may be running. */
  recover(): void;
}

export type CoreName = 'native' | 'portable';

/** What main builds the parts of a core from. */
export interface CoreOptions {
  readonly memory: SharedMemory;
  /** Seed of every request key, an unsigned 64-bit number. */
  readonly hashSecret: bigint;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly promptThreads: number;
  /** Entry file of a prompt worker, for a core whose prompt threads are Node's. */
  readonly promptWorkerUrl: URL;
  /** Where clients connect; port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Time limits towards engines, milliseconds. */
  readonly timeouts: {
    readonly connectMs: number;
    readonly firstByteMs: number;
    readonly idleMs: number;
    /** From a request's head to the last byte of its answer; 0 for no such limit. */
    readonly totalMs: number;
    /** For the policy to decide, where the core has a pick of its own to replace it with. */
    readonly decideMs: number;
  };
  /** Of a core whose data plane has threads of its own. */
  readonly dataPlane: {
    readonly threads: number;
    /** Who takes a new connection: whom the kernel chooses, or the least loaded thread. */
    readonly accept: 'shared' | 'least-loaded';
  };
}

/** The parts that main starts and stops. */
export interface CoreParts {
  readonly store: RequestStore;
  readonly encoder: PromptEncoder;
  readonly plane: DataPlane;
  readonly history: RoutingHistory;
}

/** One implementation of everything that must be fast. */
export interface Core {
  readonly name: CoreName;
  openIndexOwner(index: SharedArrayBuffer): BlockIndexOwner;
  createParts(options: CoreOptions): CoreParts;
  /** Scrapes and probes, of a /metrics text the lines wanted; null where main's own client does. */
  createEngineWatcher(lines: WantedLines): ClosableEngineWatcher | null;
}
