// The PromptEncoder of the portable core: a Piscina pool of prompt workers, of which the main
// thread knows only records and acknowledgements. A dead worker loses no request: the handles it
// had are encoded once more, one by one; one that kills two workers is `encoder-failed`.

import { Piscina } from 'piscina';
import { assert } from '#contracts/assert.js';
import type { RequestKeys } from '#contracts/block.js';
import type { Clock } from '#contracts/clock.js';
import type {
  ModelDescriptor,
  PromptEncoder,
  PromptEncoderStats,
  SharedMemory,
} from '#contracts/core.js';
import type { Logger } from '#contracts/logger.js';
import type { PromptTask, PromptTaskResult, PromptWorkerData } from '#contracts/messages.js';
import type { EncodedPrompt, RequestHandle, Route } from '#contracts/request.js';
import {
  openSpeculativeReader,
  openSpeculativeWriter,
  type SpeculativeReader,
  type SpeculativeWriter,
} from '../index/speculative.js';
import { fallbackOutcome } from './fallback.js';
import { RecordTable } from './record.js';

export interface PromptEncoderOptions {
  readonly memory: SharedMemory;
  /** Seed of every request key, an unsigned 64-bit number; the same on every event worker. */
  readonly hashSecret: bigint;
  /** Entry file of the prompt worker. */
  readonly workerUrl: URL;
  readonly threads: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Batches a worker may hold: one computing while the tokenizer threads work for the others. */
const TASKS_PER_WORKER = 4;

export function createPromptEncoder(options: PromptEncoderOptions): PromptEncoder {
  return new PooledPromptEncoder(options);
}

class PooledPromptEncoder implements PromptEncoder {
  readonly #options: PromptEncoderOptions;
  readonly #records: RecordTable;
  readonly #speculative: SpeculativeWriter;
  readonly #expected: SpeculativeReader;
  #pool: Piscina | null = null;
  #models: readonly ModelDescriptor[] = [];
  #modelsVersion = 0;
  #workersLost = 0;
  #hits = 0;
  #lookups = 0;
  /** Handles of lost workers are encoded again one after the other, so that the culprit is found. */
  #retries: Promise<void> = Promise.resolve();

  constructor(options: PromptEncoderOptions) {
    assert(options.threads >= 1, 'there is at least one prompt worker');
    this.#options = options;
    this.#records = new RecordTable(options.memory.requests);
    this.#speculative = openSpeculativeWriter(options.memory.requests, options.clock);
    this.#expected = openSpeculativeReader(options.memory.requests, options.clock);
  }

  async start(): Promise<void> {
    assert(this.#pool === null, 'the encoder is started once');
    const { memory, hashSecret, workerUrl, threads, logger } = this.#options;
    const workerData: PromptWorkerData = { memory, hashSecret };
    this.#pool = new Piscina({
      filename: workerUrl.href,
      name: 'run',
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: TASKS_PER_WORKER,
      workerData,
    });
    // A worker that ends between tasks; with tasks, their promises are rejected instead. When the
    // pool is being stopped that is no news.
    this.#pool.on('error', (error: unknown) => {
      if (this.#pool !== null) logger.error({ error }, 'a prompt worker ended');
    });
    this.#pool.on('workerDestroy', () => {
      if (this.#pool !== null) this.#workersLost += 1;
    });
    await this.#warm();
  }

  async setModels(models: readonly ModelDescriptor[]): Promise<void> {
    this.#models = models;
    this.#modelsVersion += 1;
    await this.#warm();
  }

  isEncoded(_handle: RequestHandle): boolean {
    return false;
  }

  async encode(handles: Uint32Array, route: Route): Promise<void> {
    if (await this.#try(handles, route)) return;
    const again = this.#retries.then(() => this.#encodeEach(handles, route));
    this.#retries = again.catch(() => {});
    await again;
  }

  read(handle: RequestHandle): EncodedPrompt {
    const encoded = this.#records.read(handle);
    const { noMatchReason, promptTokens, blockSize, match } = encoded;
    if (noMatchReason === null) {
      // An engine computes the last token anew, and with it the last block of an even prompt.
      const keys = this.#records.keys(handle);
      const limit = Math.min(Math.floor((promptTokens - 1) / blockSize), keys.length / 2);
      this.#expected.match(keys, limit, match.usableBlocks, match.speculativeBlocks);
    }
    return encoded;
  }

  async tokenize(modelIndex: number, route: Route, body: string): Promise<Uint32Array> {
    const result = await this.#run({
      type: 'tokenize',
      modelsVersion: this.#modelsVersion,
      models: this.#models,
      modelIndex,
      route,
      body,
    });
    assert(result.tokenIds !== null, 'a tokenize task gives token ids');
    return result.tokenIds;
  }

  speculate(handle: RequestHandle, slot: number): void {
    const keys = this.#newKeys(handle, slot);
    this.#speculative.add(slot, keys, keys.length / 2);
  }

  withdraw(handle: RequestHandle, slot: number): void {
    const keys = this.#newKeys(handle, slot);
    this.#speculative.withdraw(slot, keys, keys.length / 2);
  }

  /** Keys of the blocks that the endpoint does not hold yet. */
  #newKeys(handle: RequestHandle, endpoint: number): RequestKeys {
    const held = this.#records.heldBlocks(handle.slot, endpoint);
    return this.#records.keys(handle).subarray(2 * held);
  }

  stats(): PromptEncoderStats {
    return {
      workers: this.#pool?.threads.length ?? 0,
      workersLost: this.#workersLost,
      queued: this.#pool?.queueSize ?? 0,
      prefixCacheHits: this.#hits,
      prefixCacheLookups: this.#lookups,
    };
  }

  async stop(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    await pool?.destroy();
  }

  /** A task without handles for every worker: idle ones take one each and load what is new. */
  async #warm(): Promise<void> {
    const tasks = Array.from({ length: this.#options.threads }, () =>
      this.#try(new Uint32Array(0), 'chat-completions'),
    );
    await Promise.all(tasks);
  }

  /** Encodes a batch; false when its worker was lost. Rejects when the encoder was stopped. */
  async #try(handles: Uint32Array, route: Route): Promise<boolean> {
    try {
      await this.#run({
        type: 'encode',
        modelsVersion: this.#modelsVersion,
        models: this.#models,
        route,
        handles,
      });
      return true;
    } catch (error) {
      if (this.#pool === null) throw error;
      for (let at = 0; at < handles.length; at += 2) {
        // The worker may have ended while it wrote; nobody else writes these slots now.
        this.#records.clearWriting(handles[at] ?? 0);
      }
      this.#options.logger.error(
        { error, requests: handles.length / 2 },
        'a prompt worker was lost',
      );
      return false;
    }
  }

  async #encodeEach(handles: Uint32Array, route: Route): Promise<void> {
    for (let at = 0; at < handles.length; at += 2) {
      const one = handles.slice(at, at + 2);
      if (await this.#try(one, route)) continue;
      const handle = { slot: one[0] ?? 0, generation: one[1] ?? 0 };
      const body = this.#records.copyBody(handle);
      if (body === null) continue;
      this.#records.write(handle, fallbackOutcome(body, this.#models), null);
      this.#options.logger.error(
        { slot: handle.slot, bytes: body.length },
        'a request ended two prompt workers and is routed by load',
      );
    }
  }

  async #run(task: PromptTask): Promise<PromptTaskResult> {
    if (this.#pool === null) throw new Error('the prompt encoder is not running');
    const result = (await this.#pool.run(task)) as PromptTaskResult;
    this.#hits += result.prefixCacheHits;
    this.#lookups += result.prefixCacheLookups;
    for (const problem of result.problems) {
      this.#options.logger.warn({ problem }, 'a prompt could not be encoded');
    }
    return result;
  }
}
