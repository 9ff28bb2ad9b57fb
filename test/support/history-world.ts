// A routing history of either core with an index and requests of its own, for tests: prompts are token
// ids, and what is held is read from the index.

import assert from 'node:assert/strict';
import type { BlockIndexOwner, ModelDescriptor } from '#contracts/core.js';
import type { RequestHandle } from '#contracts/request.js';
import type { RoutingHistory } from '#contracts/routing-history.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createRoutingHistory as createNativeHistory } from '#core/native/history/routing-history.js';
import { createPromptEncoder } from '#core/native/prompt-encoder.js';
import { createRequestStore } from '#core/native/request-store.js';
import { createRoutingHistory } from '#core/portable/history/routing-history.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import { emptyOutcome, RecordTable } from '#core/portable/prompt/record.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { nativeAddon } from '#test/support/native-addon.js';
import { processClock } from '#workers/process-clock.js';

export const HISTORY_BLOCK = 16;
const SECRET = 5n;
const POOL = 'pool';
const ENDPOINTS = 64;
const WRITER_ID = 63;
const SLOTS = 8;
const quiet = (): void => {};

export interface HistoryWorld {
  readonly history: RoutingHistory;
  readonly index: SharedArrayBuffer;
  readonly owner: BlockIndexOwner;
  /** A request with this prompt, encoded. */
  request(tokenIds: readonly number[]): Promise<RequestHandle>;
  release(handle: RequestHandle): void;
  /** Blocks of the prompt that a request would find at the slot's endpoint. */
  match(slot: number, tokenIds: readonly number[]): number;
  /** Whether each of the keys is held at the slot's endpoint. */
  holds(slot: number, keys: readonly string[]): Set<string>;
  stop(): Promise<void>;
}

/** Keys of a prompt's full blocks as text. */
export function keysOf(tokenIds: readonly number[]): readonly string[] {
  const keys = chain(tokenIds);
  return Array.from({ length: keys.length / 2 }, (_, at) => `${keys[2 * at]} ${keys[2 * at + 1]}`);
}

function chain(tokenIds: readonly number[]): Uint32Array {
  const seed = namespaceSeed(SECRET, { pool: POOL, adapter: '', cacheSalt: '' });
  const keys = new Uint32Array(2 * Math.floor(tokenIds.length / HISTORY_BLOCK));
  chainKeys(seed, Uint32Array.from(tokenIds), HISTORY_BLOCK, keys);
  return keys;
}

/** Over an index for `blockCapacity` blocks. */
export function portableWorld(blockCapacity = 20_000): HistoryWorld {
  const index = createBlockIndex({ blockCapacity, endpointCapacity: ENDPOINTS });
  const requests = createRequestMemory(ENDPOINTS);
  const store = openRequestStore(requests);
  const records = new RecordTable(requests);
  const keys = (handle: RequestHandle): Uint32Array => records.keys(handle);
  return {
    ...reading(index),
    history: createRoutingHistory({ index, writerId: WRITER_ID, keysOf: keys }),
    request: async (tokenIds) => {
      const body = Buffer.alloc(tokenIds.length, 'x');
      const handle = store.open(body.length);
      assert(handle !== null);
      store.append(handle, body);
      records.write(handle, { ...emptyOutcome(), keys: chain(tokenIds) }, null);
      return handle;
    },
    release: (handle) => store.release(handle),
    stop: async () => {},
  };
}

/** Its prompts are encoded by the native encoder: keys never leave native memory. */
export async function nativeWorld(blockCapacity = 20_000): Promise<HistoryWorld> {
  const index = createBlockIndex({ blockCapacity, endpointCapacity: ENDPOINTS });
  const addon = nativeAddon();
  const store = createRequestStore(addon);
  const requests = createRequestMemory(ENDPOINTS);
  const encoder = createPromptEncoder({
    addon,
    store,
    memory: { index, requests },
    hashSecret: SECRET,
    threads: 1,
    clock: processClock,
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  await encoder.start();
  await encoder.setModels([MODEL]);
  const history = createNativeHistory(addon, { store: store.id, index, writerId: WRITER_ID });
  return {
    ...reading(index),
    history,
    request: async (tokenIds) => {
      const body = Buffer.from(JSON.stringify({ model: MODEL.id, prompt: tokenIds }));
      const handle = store.open(body.length);
      assert(handle !== null);
      assert.equal(store.append(handle, body), 'done');
      await encoder.encode(Uint32Array.of(handle.slot, handle.generation), 'completions');
      assert.equal(encoder.read(handle).totalBlocks, Math.floor(tokenIds.length / HISTORY_BLOCK));
      return handle;
    },
    release: (handle) => store.release(handle),
    stop: async () => {
      history.destroy();
      await encoder.stop();
    },
  };
}

const MODEL: ModelDescriptor = {
  index: 0,
  id: 'model',
  pool: POOL,
  adapter: '',
  implied: false,
  tokenizer: null,
  proven: false,
  matched: true,
  blockSize: HISTORY_BLOCK,
  maxModelLen: null,
};

function reading(
  index: SharedArrayBuffer,
): Pick<HistoryWorld, 'index' | 'owner' | 'match' | 'holds'> {
  const reader = openIndexReader(index);
  const result = {
    usableBlocks: new Uint32Array(SLOTS),
    tierBlocks: new Uint32Array(4 * SLOTS),
    rawBlocks: new Uint32Array(SLOTS),
  };
  return {
    index,
    owner: openIndexOwner(index),
    match: (slot, tokenIds) => {
      const keys = chain(tokenIds);
      const limit = Math.floor(Math.max(0, tokenIds.length - 1) / HISTORY_BLOCK);
      reader.match(keys, keys.length / 2, limit, result);
      return result.usableBlocks[slot] ?? 0;
    },
    holds: (slot, keys) => {
      const isHeld = (key: string): boolean => {
        reader.match(Uint32Array.from(key.split(' ').map(Number)), 1, 1, result);
        return result.rawBlocks[slot] === 1;
      };
      return new Set(keys.filter(isHeld));
    },
  };
}
