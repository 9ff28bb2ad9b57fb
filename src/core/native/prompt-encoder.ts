// The native PromptEncoder's face. The main thread hands over handles and reads records from shared
// memory; natively, whatever ends on another thread is queued and this side is woken once for all
// of it. Only models whose engine must be asked for token ids come back here in between.

import { assert } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type {
  ModelDescriptor,
  PromptEncoder,
  PromptEncoderStats,
  SharedMemory,
} from '#contracts/core.js';
import {
  ENCODE_BATCH_MAX,
  ENGINE_TOKENIZE_CACHE_ENTRIES,
  ENGINE_TOKENIZE_TIMEOUT_MS,
} from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import { type EncodedPrompt, type RequestHandle, ROUTES, type Route } from '#contracts/request.js';
import { modelFromJson, RecordReader } from '#core/encode-record.js';
import { EngineTokenizer } from '#core/engine-tokenizer.js';
import type { JsonValue } from '#core/json-value.js';
import { Tickets } from './tickets.js';

/** What the addon exports for prompts; numbers, typed arrays and, where it is not hot, text. */
export interface PromptAddon {
  readonly promptCreate: (
    store: number,
    index: Uint8Array,
    requests: Uint8Array,
    secret: bigint,
    threads: number,
    wake: () => void,
  ) => number;
  promptSetModels(encoder: number, models: string, ticket: number): void;
  /** True when all records can be read already. */
  promptSubmit(encoder: number, handles: Uint32Array, route: number, ticket: number): boolean;
  promptEngineBody(encoder: number, slot: number, generation: number): Uint8Array | null;
  readonly promptAnswer: (
    encoder: number,
    slot: number,
    generation: number,
    route: number,
    ids: Uint32Array | null,
    micros: number,
  ) => void;
  readonly promptTokenize: (
    encoder: number,
    model: number,
    route: number,
    body: Uint8Array,
    ticket: number,
  ) => void;
  promptTakeTokens(encoder: number, ticket: number): Uint32Array | null;
  promptDrain(encoder: number): Uint32Array;
  promptProblems(encoder: number): readonly string[];
  promptStats(encoder: number): readonly number[];
  /** For the prompt's blocks from `from` on. */
  promptSpeculate: Expectation;
  promptWithdraw: Expectation;
  promptRenewExpected(encoder: number, slot: number, generation: number): void;
  promptStop(encoder: number): Promise<void>;
  promptClose(encoder: number): void;
}

type Expectation = (
  encoder: number,
  slot: number,
  generation: number,
  endpoint: number,
  from: number,
) => void;

export interface NativePromptEncoderOptions {
  readonly addon: PromptAddon;
  /** The native RequestStore whose bodies are encoded. */
  readonly store: {
    readonly id: number;
    body(handle: RequestHandle): Uint8Array | null;
  };
  readonly memory: Pick<SharedMemory, 'index' | 'requests'>;
  /** Seed of every request key, an unsigned 64-bit number. */
  readonly hashSecret: bigint;
  readonly threads: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An encoder whose number other native parts are given. */
export interface NativePromptEncoder extends PromptEncoder {
  readonly id: number;
}

/** Words of one event: what it is, then three arguments. */
const EVENT_WORDS = 4;
const EVENT = { batchDone: 1, engineWanted: 2, modelsSet: 3, tokenized: 4, problems: 5 } as const;
/** Model index beside the route in one word of an event. */
const MODEL_SHIFT = 8;

export function createPromptEncoder(options: NativePromptEncoderOptions): NativePromptEncoder {
  return new FacedPromptEncoder(options);
}

class FacedPromptEncoder implements NativePromptEncoder {
  readonly id: number;
  readonly #options: NativePromptEncoderOptions;
  readonly #records: RecordReader;
  readonly #engine = new EngineTokenizer({
    entriesMax: ENGINE_TOKENIZE_CACHE_ENTRIES,
    timeoutMs: ENGINE_TOKENIZE_TIMEOUT_MS,
  });
  readonly #tickets = new Tickets();
  #models: readonly ModelDescriptor[] = [];
  /** Resolves when the newest models can be used. */
  #modelsSet: Promise<void> = Promise.resolve();
  #state: 'new' | 'running' | 'stopped' = 'new';

  constructor(options: NativePromptEncoderOptions) {
    assert(options.threads >= 1, 'there is at least one prompt thread');
    const { addon, store, memory, hashSecret, threads } = options;
    this.#options = options;
    this.#records = new RecordReader(memory.requests, (handle, place) => {
      const known = this.#models.find(({ index }) => index === place.index);
      if (known !== undefined) return known.id;
      const body = store.body(handle);
      if (body === null) return '';
      const json = body.subarray(place.offset, place.offset + place.bytes);
      return modelFromJson(Buffer.from(json).toString('utf8'));
    });
    this.id = addon.promptCreate(
      store.id,
      new Uint8Array(memory.index),
      new Uint8Array(memory.requests),
      hashSecret,
      threads,
      () => this.#drain(),
    );
  }

  start(): Promise<void> {
    assert(this.#state === 'new', 'the encoder is started once');
    this.#state = 'running';
    return Promise.resolve();
  }

  async setModels(models: readonly ModelDescriptor[]): Promise<void> {
    this.#assertRunning();
    this.#models = models;
    // Addresses and keys of engines stay here: natively only the kind counts.
    const described = models.map(({ tokenizer, ...model }) => ({
      ...model,
      tokenizer: tokenizer?.kind === 'engine' ? { kind: 'engine' } : tokenizer,
    }));
    const set = this.#tickets.wait((ticket) => {
      this.#options.addon.promptSetModels(this.id, JSON.stringify(described), ticket);
      return false;
    });
    this.#modelsSet = set.catch(() => {});
    await set;
  }

  isEncoded(handle: RequestHandle): boolean {
    return this.#records.isWritten(handle);
  }

  async encode(handles: Uint32Array, route: Route): Promise<void> {
    this.#assertRunning();
    assert(handles.length % 2 === 0, 'handles are pairs of slot and generation');
    assert(handles.length <= 2 * ENCODE_BATCH_MAX, 'a batch is at most ENCODE_BATCH_MAX handles');
    await this.#tickets.wait((ticket) =>
      this.#options.addon.promptSubmit(this.id, handles, ROUTES.indexOf(route), ticket),
    );
  }

  read(handle: RequestHandle): EncodedPrompt {
    const encoded = this.#records.read(handle);
    if (encoded.noMatchReason === null && this.#state === 'running') {
      this.#options.addon.promptRenewExpected(this.id, handle.slot, handle.generation);
    }
    return encoded;
  }

  async tokenize(modelIndex: number, route: Route, body: string): Promise<Uint32Array> {
    this.#assertRunning();
    const { addon } = this.#options;
    const bytes = Buffer.from(body, 'utf8');
    await this.#modelsSet;
    // Stopping ends that wait too.
    this.#assertRunning();
    let taken = 0;
    await this.#tickets.wait((ticket) => {
      taken = ticket;
      addon.promptTokenize(this.id, modelIndex, ROUTES.indexOf(route), bytes, ticket);
      return false;
    });
    const ids = addon.promptTakeTokens(this.id, taken);
    return ids ?? this.#askEngine(modelIndex, JSON.parse(body) as JsonValue, route);
  }

  speculate({ slot, generation }: RequestHandle, endpoint: number): void {
    const from = this.#records.heldBlocks(slot, endpoint);
    this.#options.addon.promptSpeculate(this.id, slot, generation, endpoint, from);
  }

  withdraw({ slot, generation }: RequestHandle, endpoint: number): void {
    const from = this.#records.heldBlocks(slot, endpoint);
    this.#options.addon.promptWithdraw(this.id, slot, generation, endpoint, from);
  }

  stats(): PromptEncoderStats {
    const stats = this.#state === 'stopped' ? [] : this.#options.addon.promptStats(this.id);
    const [workers = 0, workersLost = 0, queued = 0, prefixCacheHits = 0, prefixCacheLookups = 0] =
      stats;
    return { workers, workersLost, queued, prefixCacheHits, prefixCacheLookups };
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#tickets.rejectAll(new Error('the prompt encoder was stopped'));
    await this.#options.addon.promptStop(this.id);
    this.#options.addon.promptClose(this.id);
  }

  #assertRunning(): void {
    if (this.#state !== 'running') throw new Error('the prompt encoder is not running');
  }

  /** Called when something waits. */
  #drain(): void {
    if (this.#state === 'stopped') return;
    const events = this.#options.addon.promptDrain(this.id);
    for (let at = 0; at < events.length; at += EVENT_WORDS) {
      const [kind = 0, a = 0, b = 0, c = 0] = events.subarray(at, at + EVENT_WORDS);
      if (kind === EVENT.problems) this.#tellProblems();
      else if (kind !== EVENT.engineWanted) this.#tickets.resolve(a);
      else
        void this.#answer(
          { slot: a, generation: b },
          c & ((1 << MODEL_SHIFT) - 1),
          c >>> MODEL_SHIFT,
        );
    }
  }

  #tellProblems(): void {
    for (const problem of this.#options.addon.promptProblems(this.id)) {
      this.#options.logger.warn({ problem }, 'a prompt could not be encoded');
    }
  }

  /** Gets the token ids of a request from its model's engine. Never rejects. */
  async #answer(handle: RequestHandle, route: number, modelIndex: number): Promise<void> {
    const { addon, clock, logger } = this.#options;
    const { slot, generation } = handle;
    const startedMs = clock.nowMs();
    let ids: Uint32Array | null = null;
    try {
      const body = addon.promptEngineBody(this.id, slot, generation);
      if (body !== null) {
        const asked = JSON.parse(Buffer.from(body).toString('utf8')) as JsonValue;
        const { [route]: name } = ROUTES;
        assert(name !== undefined, `route ${route}`);
        ids = await this.#askEngine(modelIndex, asked, name);
      }
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      logger.warn({ problem }, 'a prompt could not be encoded');
    }
    if (this.#state === 'stopped') return;
    const micros = Math.round((clock.nowMs() - startedMs) * 1000);
    addon.promptAnswer(this.id, slot, generation, route, ids, micros);
  }

  #askEngine(modelIndex: number, body: JsonValue, route: Route): Promise<Uint32Array> {
    const source = this.#models.find(({ index }) => index === modelIndex)?.tokenizer;
    if (source?.kind !== 'engine') throw new Error('the model has no engine to ask any more');
    return this.#engine.tokenIds(source.engines, body, route);
  }
}
