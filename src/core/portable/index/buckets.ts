// Finding, inserting and deleting a key's slot on the writer's side. Callers hold the lock of the
// key's home bucket, so the slots homed there are theirs alone; free slots and overflow counts are
// shared with writers of other homes and touched atomically. Buckets are indexed below bucketCount.

import { BUCKET, BUCKET_SLOTS, DISPLACEMENT_SHIFT, SLOT } from '#contracts/index-layout.js';
import type { IndexMemory } from './memory.js';

const SLOTS_END = BUCKET.slots + BUCKET_SLOTS * SLOT.words;
/** Multipliers that give each KV group keys of its own; odd, so no group shares bits with another. */
const GROUP_LOW = 0x9e3779b1;
const GROUP_HIGH = 0x85ebca77;

/** Low word of a key in KV group `group`: keyLow xor group × 0x9e3779b1. */
export function groupLow(keyLow: number, group: number): number {
  return keyLow ^ Math.imul(group, GROUP_LOW);
}

/** High word of a key in KV group `group`: keyHigh xor group × 0x85ebca77. */
export function groupHigh(keyHigh: number, group: number): number {
  return keyHigh ^ Math.imul(group, GROUP_HIGH);
}

/** Home bucket of a key; exact, because 28 bits times at most 2^25 buckets fit into a double. */
export function homeOf(keyLow: number, bucketCount: number): number {
  return (((keyLow >>> 4) * bucketCount) / 2 ** 28) | 0;
}

/** Tag of a key as a signed word, never 0. */
export function tagOf(keyHigh: number): number {
  return keyHigh === 0 ? 1 : keyHigh | 0;
}

/** Word offset of the bucket `distance` after `home`, wrapping. */
export function bucketAt(memory: IndexMemory, home: number, distance: number): number {
  const bucket = home + distance;
  const wrapped = bucket < memory.bucketCount ? bucket : bucket - memory.bucketCount;
  return memory.buckets + wrapped * BUCKET.words;
}

/** Word offset of the slot that holds `tag` of `home`, −1 when there is none. */
export function findSlot(memory: IndexMemory, home: number, tag: number): number {
  const { words } = memory;
  for (let distance = 0; distance <= memory.reach; distance++) {
    const bucket = bucketAt(memory, home, distance);
    for (let at = bucket + BUCKET.slots; at < bucket + SLOTS_END; at += SLOT.words) {
      if (words[at] !== tag) continue;
      if ((words[at + SLOT.set] as number) >>> DISPLACEMENT_SHIFT === distance) return at;
    }
    // Counts of this home's own keys change under its lock only, so a plain load sees them.
    if (words[bucket + BUCKET.overflow] === 0) return -1;
  }
  return -1;
}

/** Stores a key that is not there yet; false when every bucket it may lie in is full. */
export function insertSlot(memory: IndexMemory, home: number, tag: number, setId: number): boolean {
  const { words } = memory;
  for (let distance = 0; distance <= memory.reach; distance++) {
    const bucket = bucketAt(memory, home, distance);
    const setWord = (distance << DISPLACEMENT_SHIFT) | setId;
    for (let at = bucket + BUCKET.slots; at < bucket + SLOTS_END; at += SLOT.words) {
      if (words[at + SLOT.set] !== 0) continue;
      if (Atomics.compareExchange(words, at + SLOT.set, 0, setWord) !== 0) continue;
      Atomics.store(words, at, tag);
      return true;
    }
    // Counted before the key is stored further on, so that no reader stops short of it.
    Atomics.add(words, bucket + BUCKET.overflow, 1);
  }
  releaseOverflow(memory, home, memory.reach + 1);
  return false;
}

/** Deletes the slot at word offset `at`, homed at `home`. */
export function deleteSlot(memory: IndexMemory, home: number, at: number): void {
  const { words } = memory;
  const distance = (words[at + SLOT.set] as number) >>> DISPLACEMENT_SHIFT;
  Atomics.store(words, at, 0);
  Atomics.store(words, at + SLOT.set, 0);
  releaseOverflow(memory, home, distance);
}

function releaseOverflow(memory: IndexMemory, home: number, bucketCount: number): void {
  for (let distance = 0; distance < bucketCount; distance++) {
    Atomics.sub(memory.words, bucketAt(memory, home, distance) + BUCKET.overflow, 1);
  }
}
