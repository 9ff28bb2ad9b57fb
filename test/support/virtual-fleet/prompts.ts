// The prompt encoder in virtual time: request keys, block index and speculative residencies are the
// portable core's own; what it leaves out is text, because prompts come as token ids.

import type { RequestKeys } from '#contracts/block.js';
import type { Clock } from '#contracts/clock.js';
import type { PromptEncoder } from '#contracts/core.js';
import type { EncodedPrompt, PromptMatch, RequestHandle } from '#contracts/request.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import type { SpeculativeReader, SpeculativeWriter } from '#core/portable/index/speculative.js';
import { openSpeculativeReader, openSpeculativeWriter } from '#core/portable/index/speculative.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import { PromptMatcher } from '#core/portable/prompt/match.js';
import { newMatch } from '#core/portable/prompt/record.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { BLOCK_SIZE, CAPACITY, HASH_SECRET, MODEL } from '#test/support/virtual-fleet/engines.js';

const SEED = namespaceSeed(HASH_SECRET, { pool: MODEL, adapter: '', cacheSalt: '' });

interface Encoded {
  readonly keys: RequestKeys;
  readonly promptTokens: number;
  readonly match: PromptMatch;
  readonly indexEpoch: number;
}

/** Encodes before a request is handed over, as the native core does. */
export class VirtualPrompts implements PromptEncoder {
  readonly #matcher: PromptMatcher;
  readonly #speculative: SpeculativeWriter;
  readonly #expected: SpeculativeReader;
  readonly #encoded = new Map<number, Encoded>();
  /** Keys of the prompts seen: most come again. */
  readonly #keys = new WeakMap<readonly number[], RequestKeys>();

  constructor(index: SharedArrayBuffer, clock: Clock) {
    const requests = createRequestMemory(CAPACITY);
    this.#expected = openSpeculativeReader(requests, clock);
    this.#matcher = new PromptMatcher(openIndexReader(index), this.#expected);
    this.#speculative = openSpeculativeWriter(requests, clock);
  }

  /** Hashes and matches a prompt; what is sent on later is not seen any more. */
  prepare({ slot }: RequestHandle, tokenIds: readonly number[]): void {
    const keys = this.#keys.get(tokenIds) ?? keysOf(tokenIds);
    this.#keys.set(tokenIds, keys);
    const match = newMatch(CAPACITY);
    const limit = Math.floor((tokenIds.length - 1) / BLOCK_SIZE);
    const indexEpoch = this.#matcher.match(keys, limit, match);
    this.#encoded.set(slot, { keys, promptTokens: tokenIds.length, match, indexEpoch });
  }

  forget({ slot }: RequestHandle): void {
    this.#encoded.delete(slot);
  }

  /** Keys of a prompt that was handed over. */
  keys({ slot }: RequestHandle): RequestKeys {
    return this.#of(slot).keys;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  setModels(): Promise<void> {
    return Promise.resolve();
  }

  isEncoded(): boolean {
    return true;
  }

  encode(): Promise<void> {
    throw new Error('prompts are encoded ahead');
  }

  tokenize(): Promise<Uint32Array> {
    throw new Error('prompts are token ids');
  }

  read({ slot }: RequestHandle): EncodedPrompt {
    const { keys, promptTokens, match, indexEpoch } = this.#of(slot);
    const limit = Math.floor((promptTokens - 1) / BLOCK_SIZE);
    this.#expected.match(keys, limit, match.usableBlocks, match.speculativeBlocks);
    return {
      error: null,
      model: MODEL,
      modelIndex: 0,
      modelOffset: 0,
      modelBytes: 0,
      stream: true,
      priority: 0,
      promptTokens,
      totalBlocks: keys.length / 2,
      blockSize: BLOCK_SIZE,
      noMatchReason: null,
      match,
      patches: [],
      indexEpoch,
      media: [],
      mediaLeftOut: 0,
      micros: { parse: 0, render: 0, tokenize: 0, hash: 0, match: 0 },
    };
  }

  speculate({ slot }: RequestHandle, endpoint: number): void {
    const keys = this.#newKeys(slot, endpoint);
    this.#speculative.add(endpoint, keys, keys.length / 2);
  }

  withdraw({ slot }: RequestHandle, endpoint: number): void {
    const keys = this.#newKeys(slot, endpoint);
    this.#speculative.withdraw(endpoint, keys, keys.length / 2);
  }

  stats(): ReturnType<PromptEncoder['stats']> {
    return { workers: 1, workersLost: 0, queued: 0, prefixCacheHits: 0, prefixCacheLookups: 0 };
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  #newKeys(slot: number, endpoint: number): RequestKeys {
    const { keys, match } = this.#of(slot);
    return keys.subarray(2 * (match.usableBlocks[endpoint] ?? 0));
  }

  #of(slot: number): Encoded {
    const encoded = this.#encoded.get(slot);
    if (encoded === undefined) throw new Error(`request ${slot} was not encoded`);
    return encoded;
  }
}

function keysOf(tokenIds: readonly number[]): RequestKeys {
  const keys = new Uint32Array(2 * Math.floor(tokenIds.length / BLOCK_SIZE));
  chainKeys(SEED, Uint32Array.from(tokenIds), BLOCK_SIZE, keys);
  return keys;
}
