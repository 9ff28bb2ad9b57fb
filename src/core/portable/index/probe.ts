// The reader's side of the table: one key's endpoint set, without a lock. Used by matching only.
// Buckets are indexed below bucketCount (wrapping), slots below BUCKET_SLOTS.

import {
  BUCKET,
  BUCKET_SLOTS,
  DISPLACEMENT_SHIFT,
  SET_ID_MASK,
  SLOT,
} from '#contracts/index-layout.js';
import { bucketAt, homeOf, tagOf } from './buckets.js';
import type { IndexMemory } from './memory.js';

const SLOTS_END = BUCKET.slots + BUCKET_SLOTS * SLOT.words;
/** A slot that changes under the reader this often is reported absent. */
const RETRIES_MAX = 3;

/** Id of the endpoint set stored under a key, 0 when there is none. */
export function probe(memory: IndexMemory, keyLow: number, keyHigh: number): number {
  const { words } = memory;
  const home = homeOf(keyLow, memory.bucketCount);
  const tag = tagOf(keyHigh);
  let retries = 0;
  for (let distance = 0; distance <= memory.reach; distance++) {
    const bucket = bucketAt(memory, home, distance);
    for (let at = bucket + BUCKET.slots; at < bucket + SLOTS_END; at += SLOT.words) {
      if (words[at] !== tag) continue;
      const setWord = Atomics.load(words, at + SLOT.set);
      if (Atomics.load(words, at) !== tag) {
        // The slot changed hands between the loads, so its set may be another key's.
        if (++retries > RETRIES_MAX) return 0;
        at -= SLOT.words;
      } else if (setWord >>> DISPLACEMENT_SHIFT === distance) {
        return setWord & SET_ID_MASK;
      }
    }
    if (words[bucket + BUCKET.overflow] === 0) return 0;
  }
  return 0;
}

/**
 * Touches the home buckets of keys [from, to): the loads do not depend on each other, so their
 * cache misses overlap, which makes the probes that follow 2-3 times faster. The sum keeps the
 * loads from being optimised away.
 */
export function touchBuckets(
  memory: IndexMemory,
  keys: Uint32Array,
  from: number,
  to: number,
): number {
  const { words, buckets, bucketCount } = memory;
  let sum = 0;
  for (let i = from; i < to; i++) {
    sum += words[buckets + homeOf(keys[2 * i] as number, bucketCount) * BUCKET.words] as number;
  }
  return sum;
}
