// Everything one prompt worker holds: records, tokenizers, prefix stores, the index reader. The
// worker file only makes one and hands it tasks. Tokenizers of new models are loaded in the task
// that first names them, so that a task with no handles warms a worker.

import { assert } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type { ModelDescriptor } from '#contracts/core.js';
import {
  ENCODE_BATCH_MAX,
  ENGINE_TOKENIZE_CACHE_ENTRIES,
  ENGINE_TOKENIZE_TIMEOUT_MS,
} from '#contracts/limits.js';
import type { PromptTask, PromptTaskResult, PromptWorkerData } from '#contracts/messages.js';
import type { Random } from '#contracts/random.js';
import { EngineTokenizer } from '#core/engine-tokenizer.js';
import { openIndexReader } from '../index/reader.js';
import { openSpeculativeReader } from '../index/speculative.js';
import { RequestEncoder } from './encode.js';
import { PromptMatcher } from './match.js';
import { RecordTable } from './record.js';
import { loadTokenizer } from './tokenize.js';
import { TokenizerCache } from './tokenizer-cache.js';

export interface PromptServiceOptions {
  readonly data: PromptWorkerData;
  readonly clock: Clock;
  readonly random: Random;
  /** Wall-clock date for templates that print it. */
  readonly today: () => Date;
}

/** Different problems reported with one task; more are the same problem. */
const PROBLEMS_MAX = 4;

export class PromptService {
  readonly #encoder: RequestEncoder;
  readonly #tokenizers: TokenizerCache;
  #modelsVersion = -1;
  #models: readonly ModelDescriptor[] = [];
  #problems = new Set<string>();
  #lookups = 0;
  #hits = 0;

  constructor(options: PromptServiceOptions) {
    const { data, clock, random, today } = options;
    const nowMs = (): number => clock.nowMs();
    this.#tokenizers = new TokenizerCache(
      (directory) => loadTokenizer(directory, { today, random }),
      nowMs,
    );
    this.#encoder = new RequestEncoder({
      records: new RecordTable(data.memory.requests),
      matcher: new PromptMatcher(
        openIndexReader(data.memory.index),
        openSpeculativeReader(data.memory.requests, clock),
      ),
      tokenizers: this.#tokenizers,
      engine: new EngineTokenizer({
        entriesMax: ENGINE_TOKENIZE_CACHE_ENTRIES,
        timeoutMs: ENGINE_TOKENIZE_TIMEOUT_MS,
      }),
      hashSecret: data.hashSecret,
      nowMs,
      failed: (problem) => this.#note(problem),
      counted: (lookups, hits) => {
        this.#lookups += lookups;
        this.#hits += hits;
      },
    });
  }

  /** Runs one task of the pool. */
  async run(task: PromptTask): Promise<PromptTaskResult> {
    await this.#useModels(task);
    const tokenIds = task.type === 'tokenize' ? await this.#tokenize(task) : null;
    if (task.type === 'encode') await this.#encode(task);
    const result: PromptTaskResult = {
      tokenIds,
      prefixCacheHits: this.#hits,
      prefixCacheLookups: this.#lookups,
      problems: [...this.#problems],
    };
    this.#hits = 0;
    this.#lookups = 0;
    this.#problems = new Set();
    return result;
  }

  async #encode(task: PromptTask & { readonly type: 'encode' }): Promise<void> {
    const { handles, route } = task;
    assert(handles.length % 2 === 0, 'handles are pairs of slot and generation');
    assert(handles.length <= 2 * ENCODE_BATCH_MAX, 'a batch is at most ENCODE_BATCH_MAX handles');
    const encodings: Promise<void>[] = [];
    for (let at = 0; at < handles.length; at += 2) {
      const handle = { slot: handles[at] ?? 0, generation: handles[at + 1] ?? 0 };
      encodings.push(this.#encoder.encode(handle, route));
    }
    await Promise.all(encodings);
  }

  #tokenize(task: PromptTask & { readonly type: 'tokenize' }): Promise<Uint32Array> {
    const model = this.#models.find(({ index }) => index === task.modelIndex);
    assert(model !== undefined, 'the model to tokenize for is known');
    return this.#encoder.tokenIds(model, task.route, task.body);
  }

  /** Tasks may overtake each other between threads: an older version never replaces a newer one. */
  async #useModels(task: PromptTask): Promise<void> {
    if (task.modelsVersion <= this.#modelsVersion) return;
    this.#modelsVersion = task.modelsVersion;
    this.#models = task.models;
    this.#encoder.setModels(task.models);
    await this.#tokenizers.retryFailed();
    for (const { tokenizer, proven } of task.models) {
      // What no request may use yet is loaded by the worker that proves it: others stay free.
      if (!proven || tokenizer === null || tokenizer.kind === 'engine') continue;
      await this.#tokenizers.get(tokenizer.directory).catch((error: unknown) => {
        this.#note(error instanceof Error ? error.message : String(error));
      });
    }
  }

  #note(problem: string): void {
    if (this.#problems.size < PROBLEMS_MAX) this.#problems.add(problem);
  }
}
