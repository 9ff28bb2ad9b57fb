// The background sweep: strips the bits of dropped endpoints from every slot, frees slots that
// become empty, then frees the endpoint ids and all endpoint sets no slot refers to. One sweep
// goes once over all home buckets, in as many calls, by as many writers, as it takes.
//
// Why no id in use is freed: the sweep stamps every set it meets, home by home under the home's
// lock, and every set handed out since the sweep began is stamped by the interner, because raising
// `setsGeneration` emptied the writers' caches. A write that began earlier still holds its home's
// lock, so the sweep meets what it stores.

import {
  BUCKET,
  BUCKET_SLOTS,
  DISPLACEMENT_SHIFT,
  SET_ID_MASK,
  SET_META,
  SLOT,
  STATE,
} from '#contracts/index-layout.js';
import { bucketAt, deleteSlot } from './buckets.js';
import { lock, unlock } from './lock.js';
import { type IndexMemory, maskAt } from './memory.js';
import { type EndpointSets, SETS_FULL, SETS_STUCK } from './sets.js';

/** Fewer sets than this are not worth going over the table for. */
const SETS_WORTH_SWEEPING = 1024;

/** What one call of a sweep did. */
export interface SweepProgress {
  readonly outcome: 'clean' | 'more' | 'stuck';
  /** Slots freed, and slots given up because the set table was full. */
  readonly freed: number;
  readonly rejected: number;
}

/** Who sweeps. */
export interface Sweeper {
  readonly memory: IndexMemory;
  readonly sets: EndpointSets;
  readonly owner: number;
  readonly lockRounds: number;
}

/** Sweeps up to `bucketCount` home buckets. Does nothing while another writer sweeps. */
export function sweepBuckets(sweeper: Sweeper, bucketCount: number): SweepProgress {
  const { words, state } = sweeper.memory;
  const tally = { freed: 0, rejected: 0 };
  if (Atomics.compareExchange(words, state + STATE.sweepLock, 0, sweeper.owner) !== 0) {
    return { outcome: 'more', ...tally };
  }
  const outcome = advance(sweeper, bucketCount, tally);
  unlock(words, state + STATE.sweepLock);
  return { outcome, ...tally };
}

interface Tally {
  freed: number;
  rejected: number;
}

function advance(sweeper: Sweeper, bucketCount: number, tally: Tally): SweepProgress['outcome'] {
  const { memory } = sweeper;
  const { words, state } = memory;
  if (words[state + STATE.sweepActive] === 0) {
    if (!isDue(memory)) return 'clean';
    begin(memory);
  }
  const first = words[state + STATE.sweepCursor] as number;
  const end = Math.min(first + bucketCount, memory.bucketCount);
  for (let home = first; home < end; home++) {
    if (!sweepHome(sweeper, home, tally)) return 'stuck';
  }
  words[state + STATE.sweepCursor] = end;
  if (end < memory.bucketCount) return 'more';
  if (!sweeper.sets.freeUnstamped()) return 'stuck';
  finish(memory);
  return isDue(memory) ? 'more' : 'clean';
}

/** Whether there are dropped endpoints, or sets are wanted or have doubled since the last sweep. */
function isDue(memory: IndexMemory): boolean {
  const { words, state, maskWords } = memory;
  const dropped = maskAt(memory, 'dropped');
  for (let i = 0; i < maskWords; i++) {
    if (words[dropped + i] !== 0) return true;
  }
  const kept = words[state + STATE.setsKept] as number;
  const used = words[state + STATE.setsUsed] as number;
  return words[state + STATE.setsWanted] !== 0 || used > 2 * Math.max(kept, SETS_WORTH_SWEEPING);
}

function begin(memory: IndexMemory): void {
  const { words, state, maskWords } = memory;
  const dropped = maskAt(memory, 'dropped');
  const stripping = maskAt(memory, 'stripping');
  for (let i = 0; i < maskWords; i++) words[stripping + i] = Atomics.load(words, dropped + i);
  words[state + STATE.sweepCursor] = 0;
  words[state + STATE.sweepActive] = 1;
  words[state + STATE.setsWanted] = 0;
  // In this order: whoever sees the new generation stamps with the new number.
  Atomics.add(words, state + STATE.sweepCycle, 1);
  Atomics.add(words, state + STATE.setsGeneration, 1);
}

function finish(memory: IndexMemory): void {
  const { words, state, maskWords } = memory;
  const stripping = maskAt(memory, 'stripping');
  for (let i = 0; i < maskWords; i++) {
    const mask = words[stripping + i] as number;
    words[stripping + i] = 0;
    // Last of all, the ids may be opened again.
    for (const name of ['windowed', 'dropped', 'opened'] as const) {
      Atomics.and(words, maskAt(memory, name) + i, ~mask);
    }
  }
  words[state + STATE.setsKept] = words[state + STATE.setsUsed] as number;
  words[state + STATE.sweepActive] = 0;
}

function sweepHome(sweeper: Sweeper, home: number, tally: Tally): boolean {
  const { memory } = sweeper;
  const { words } = memory;
  const homeLock = bucketAt(memory, home, 0) + BUCKET.lock;
  if (isUntouched(memory, home)) return true;
  if (!lock(words, homeLock, sweeper.owner, sweeper.lockRounds)) return false;
  sweeper.sets.refresh();
  const fine = sweepHomedSlots(sweeper, home, tally);
  unlock(words, homeLock);
  return fine;
}

/**
 * Whether nothing is homed here. The lock is read first: a write that began before the sweep
 * either still holds it, or what it stored is seen. Spares committing pages never written.
 */
function isUntouched(memory: IndexMemory, home: number): boolean {
  const { words } = memory;
  const bucket = bucketAt(memory, home, 0);
  if (Atomics.load(words, bucket + BUCKET.lock) !== 0) return false;
  for (let i = 1; i < BUCKET.words; i++) {
    if (words[bucket + i] !== 0) return false;
  }
  return true;
}

function sweepHomedSlots(sweeper: Sweeper, home: number, tally: Tally): boolean {
  const { memory } = sweeper;
  const { words } = memory;
  for (let distance = 0; distance <= memory.reach; distance++) {
    const bucket = bucketAt(memory, home, distance);
    for (let i = 0; i < BUCKET_SLOTS; i++) {
      const at = bucket + BUCKET.slots + i * SLOT.words;
      if (words[at] === 0) continue;
      const setWord = words[at + SLOT.set] as number;
      if (setWord >>> DISPLACEMENT_SHIFT !== distance || setWord === 0) continue;
      if (!sweepSlot(sweeper, home, at, tally)) return false;
    }
    if (Atomics.load(words, bucket + BUCKET.overflow) === 0) break;
  }
  return true;
}

function sweepSlot(sweeper: Sweeper, home: number, at: number, tally: Tally): boolean {
  const { memory, sets } = sweeper;
  const { words, state, setMeta } = memory;
  const setWord = words[at + SLOT.set] as number;
  const setId = setWord & SET_ID_MASK;
  const stripped = sets.stripped(setId);
  if (stripped === SETS_STUCK) return false;
  if (stripped === SETS_FULL) tally.rejected++;
  if (stripped <= 0) {
    deleteSlot(memory, home, at);
    tally.freed++;
    return true;
  }
  if (stripped !== setId) {
    Atomics.store(words, at + SLOT.set, (setWord & ~SET_ID_MASK) | stripped);
  }
  const stamp = setMeta + stripped * SET_META.words + SET_META.stamp;
  words[stamp] = words[state + STATE.sweepCycle] as number;
  return true;
}
