// A native prompt encoder with a store and memory of its own, for tests.

import type { SharedMemory } from '#contracts/core.js';
import type { Logger } from '#contracts/logger.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createPromptEncoder, type NativePromptEncoder } from '#core/native/prompt-encoder.js';
import { createRequestStore, type NativeRequestStore } from '#core/native/request-store.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { nativeAddon } from '#test/support/native-addon.js';
import { processClock } from '#workers/process-clock.js';

const ENDPOINTS = 64;
const quiet = (): void => {};
const QUIET: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };

export const TEST_HASH_SECRET = 1n;

export interface EncoderWithStore {
  readonly store: NativeRequestStore;
  readonly encoder: NativePromptEncoder;
}

/** Makes both; the caller starts and stops the encoder. */
export function nativeEncoder(threads: number, logger: Logger = QUIET): EncoderWithStore {
  const memory: SharedMemory = {
    index: createBlockIndex({ blockCapacity: 64, endpointCapacity: ENDPOINTS }),
    requests: createRequestMemory(ENDPOINTS),
    publishers: new SharedArrayBuffer(64),
  };
  const addon = nativeAddon();
  const store = createRequestStore(addon);
  const clock = processClock;
  const hashSecret = TEST_HASH_SECRET;
  return {
    store,
    encoder: createPromptEncoder({ addon, store, memory, hashSecret, threads, clock, logger }),
  };
}
