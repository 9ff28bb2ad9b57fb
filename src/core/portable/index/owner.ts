// Main's side of the block index: counters for metrics, and recovery after a writer has died.
// Words are indexed within the regions of memory.ts.

import type { BlockIndexStats } from '#contracts/block-index.js';
import type { BlockIndexOwner } from '#contracts/core.js';
import {
  BUCKET_SLOTS,
  INDEX_WRITERS_MAX,
  MASKS,
  OWNER_SLOT_MASK,
  STATE,
  VIRTUAL_ENDPOINT,
  WRITER,
} from '#contracts/index-layout.js';
import { resetSets } from '#core/index-memory.js';
import { endpointAt, type IndexMemory, openMemory } from './memory.js';

/** Opens the index as its owner; one per buffer, on the main thread. */
export function openIndexOwner(buffer: SharedArrayBuffer): BlockIndexOwner {
  const memory = openMemory(buffer);
  const { words, state } = memory;
  return {
    stats: () => readStats(memory),
    suspend: () => {
      Atomics.store(words, state + STATE.suspended, 1);
    },
    recover: () => recover(memory),
  };
}

function readStats(memory: IndexMemory): BlockIndexStats {
  const { words, state } = memory;
  return {
    epoch: Atomics.load(words, state + STATE.epoch),
    blocks: sumCounter(memory, WRITER.blocks),
    blockCapacity: memory.bucketCount * BUCKET_SLOTS,
    sets: Atomics.load(words, state + STATE.setsUsed),
    setCapacity: memory.setCapacity,
    rejected: sumCounter(memory, WRITER.rejected) >>> 0,
    bytes: memory.totalBytes,
  };
}

function sumCounter(memory: IndexMemory, counter: number): number {
  let sum = 0;
  for (let writer = 0; writer < INDEX_WRITERS_MAX; writer++) {
    sum = (sum + Atomics.load(memory.words, memory.writers + writer * WRITER.words + counter)) | 0;
  }
  return sum;
}

function recover(memory: IndexMemory): void {
  const { words, state } = memory;
  const odd = Atomics.load(words, state + STATE.epoch) | 1;
  Atomics.store(words, state + STATE.epoch, odd);
  for (let writer = 0; writer < INDEX_WRITERS_MAX; writer++) {
    words[memory.writers + writer * WRITER.words + WRITER.blocks] = 0;
  }
  clear(words, state + STATE.internLock, STATE.words - STATE.internLock);
  for (let id = 0; id < memory.endpointCapacity; id++) closeRecord(words, endpointAt(memory, id));
  clear(words, memory.masks, MASKS.count * memory.maskWords);
  clear(words, memory.setMeta, memory.setBits - memory.setMeta);
  clear(words, memory.buckets, words.length - memory.buckets);
  resetSets(words, state);
  Atomics.add(words, state + STATE.setsGeneration, 1);
  Atomics.store(words, state + STATE.suspended, 0);
  Atomics.store(words, state + STATE.epoch, odd + 1);
}

/** Closes a generation but keeps its count: an old virtual id must not become valid again. */
function closeRecord(words: Int32Array, record: number): void {
  words[record + VIRTUAL_ENDPOINT.owner] =
    (words[record + VIRTUAL_ENDPOINT.owner] as number) & ~OWNER_SLOT_MASK;
}

/** Zeroes what is not zero: writing to pages never touched would commit all of the table. */
function clear(words: Int32Array, from: number, count: number): void {
  for (let at = from; at < from + count; at++) {
    if (words[at] !== 0) words[at] = 0;
  }
}
