// Writes residencies into the block index for one event worker. Any number of writers, on any
// threads, may work at once; each must have an id of its own. Word offsets come from buckets.ts
// and memory.ts, within the bounds stated there.

import { assert } from '#contracts/assert.js';
import { TIER_COUNT, type TierNumber } from '#contracts/block.js';
import type { BlockIndexWriter, IndexWriteStatus } from '#contracts/block-index.js';
import {
  BUCKET,
  INDEX_WRITERS_MAX,
  SET_ID_MASK,
  SLOT,
  STATE,
  VIRTUAL_ID_MASK,
  WRITER,
} from '#contracts/index-layout.js';
import { KV_GROUPS_MAX } from '#contracts/limits.js';
import {
  bucketAt,
  deleteSlot,
  findSlot,
  groupHigh,
  groupLow,
  homeOf,
  insertSlot,
  tagOf,
} from './buckets.js';
import { VirtualEndpoints } from './endpoints.js';
import { LOCK_ROUNDS, lock, unlock } from './lock.js';
import { type IndexMemory, openMemory } from './memory.js';
import { EndpointSets, SETS_FULL, SETS_STUCK } from './sets.js';
import { type Sweeper, sweepBuckets } from './sweep.js';

/**
 * Opens the index for writing as `writerId` (0 … 63). `lockRounds` is the patience with a lock
 * whose owner may be dead, in sleeps of 5 ms.
 */
export function openIndexWriter(
  buffer: SharedArrayBuffer,
  writerId: number,
  lockRounds: number = LOCK_ROUNDS,
): BlockIndexWriter {
  assert(
    Number.isInteger(writerId) && writerId >= 0 && writerId < INDEX_WRITERS_MAX,
    'the writer id is below INDEX_WRITERS_MAX',
  );
  return new IndexWriter(openMemory(buffer), writerId, lockRounds);
}

class IndexWriter implements BlockIndexWriter {
  readonly #memory: IndexMemory;
  readonly #words: Int32Array;
  readonly #endpoints: VirtualEndpoints;
  readonly #sets: EndpointSets;
  readonly #sweeper: Sweeper;
  readonly #owner: number;
  readonly #lockRounds: number;
  readonly #counters: number;

  constructor(memory: IndexMemory, writerId: number, lockRounds: number) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#owner = writerId + 1;
    this.#lockRounds = lockRounds;
    this.#endpoints = new VirtualEndpoints(memory);
    this.#sets = new EndpointSets(memory, this.#owner, lockRounds);
    this.#sweeper = { memory, sets: this.#sets, owner: this.#owner, lockRounds };
    this.#counters = memory.writers + writerId * WRITER.words;
  }

  openEndpoint(slot: number): number {
    return this.#endpoints.open(slot);
  }

  dropEndpoint(virtualId: number): void {
    this.#endpoints.drop(virtualId);
  }

  dropSlot(slot: number): void {
    this.#endpoints.dropSlot(slot);
  }

  setGroupWindow(virtualId: number, group: number, windowBlocks: number): void {
    this.#endpoints.setWindow(virtualId, group, windowBlocks);
  }

  setHitAlignment(virtualId: number, alignmentBlocks: number): void {
    this.#endpoints.setAlignment(virtualId, alignmentBlocks);
  }

  add(
    virtualId: number,
    tier: TierNumber,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): IndexWriteStatus {
    return this.#write(virtualId, tier, group, keyLow, keyHigh, true);
  }

  remove(
    virtualId: number,
    tier: TierNumber,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): IndexWriteStatus {
    return this.#write(virtualId, tier, group, keyLow, keyHigh, false);
  }

  sweep(bucketCount: number): boolean {
    if (this.#isSuspended()) return false;
    const { outcome, freed, rejected } = sweepBuckets(this.#sweeper, bucketCount);
    this.#count(WRITER.blocks, -freed);
    this.#count(WRITER.rejected, rejected);
    if (outcome === 'stuck') this.#suspend();
    return outcome === 'clean';
  }

  #write(
    virtualId: number,
    tier: number,
    group: number,
    keyLow: number,
    keyHigh: number,
    present: boolean,
  ): IndexWriteStatus {
    if (this.#isSuspended()) return 'stuck';
    assert(tier >= 0 && tier < TIER_COUNT, 'the tier is 0 to 3');
    assert(group >= 0 && group < KV_GROUPS_MAX, 'the group is 0 to 7');
    const home = homeOf(groupLow(keyLow, group), this.#memory.bucketCount);
    const tag = tagOf(groupHigh(keyHigh, group));
    const homeLock = bucketAt(this.#memory, home, 0) + BUCKET.lock;
    if (!lock(this.#words, homeLock, this.#owner, this.#lockRounds)) return this.#suspend();
    const status = this.#writeLocked(virtualId, tier, home, tag, present);
    unlock(this.#words, homeLock);
    return status;
  }

  #writeLocked(
    virtualId: number,
    tier: number,
    home: number,
    tag: number,
    present: boolean,
  ): IndexWriteStatus {
    // Under the lock, so that a sweep that strips this generation comes here either afterwards,
    // or before, and then the generation is seen closed.
    if (!this.#endpoints.isOpen(virtualId)) return 'unchanged';
    this.#sets.refresh();
    const bit = virtualId & VIRTUAL_ID_MASK;
    const at = findSlot(this.#memory, home, tag);
    if (at >= 0) return this.#change(bit, tier, home, at, present);
    return present ? this.#insert(bit, tier, home, tag) : 'unchanged';
  }

  #insert(bit: number, tier: number, home: number, tag: number): IndexWriteStatus {
    const setId = this.#sets.withResidency(0, bit, tier, true);
    if (setId === SETS_STUCK) return this.#suspend();
    if (setId === SETS_FULL || !insertSlot(this.#memory, home, tag, setId)) {
      this.#count(WRITER.rejected, 1);
      return 'full';
    }
    this.#count(WRITER.blocks, 1);
    return 'done';
  }

  #change(bit: number, tier: number, home: number, at: number, present: boolean): IndexWriteStatus {
    const setWord = this.#words[at + SLOT.set] as number;
    const setId = setWord & SET_ID_MASK;
    const next = this.#sets.withResidency(setId, bit, tier, present);
    if (next === setId) return 'unchanged';
    if (next === SETS_STUCK) return this.#suspend();
    if (next > 0) {
      Atomics.store(this.#words, at + SLOT.set, (setWord & ~SET_ID_MASK) | next);
      return 'done';
    }
    if (next === SETS_FULL) {
      this.#count(WRITER.rejected, 1);
      if (present) return 'full';
      // A removal must not be lost. With no id left for the smaller set the whole block goes:
      // others are claimed too little, nobody too much.
    }
    deleteSlot(this.#memory, home, at);
    this.#count(WRITER.blocks, -1);
    return 'done';
  }

  #isSuspended(): boolean {
    return this.#words[this.#memory.state + STATE.suspended] !== 0;
  }

  #suspend(): 'stuck' {
    Atomics.store(this.#words, this.#memory.state + STATE.suspended, 1);
    return 'stuck';
  }

  /** Counters are this writer's own words, so no other thread's store can be lost. */
  #count(counter: number, change: number): void {
    this.#words[this.#counters + counter] =
      (this.#words[this.#counters + counter] as number) + change;
  }
}
