// The rule of hybrid models (several KV groups): an engine reuses the greatest L such that its
// group 0 holds blocks 0 … L−1 and every other group the last min(L, window) blocks before L
// (wire-formats §2), and L is a multiple of the endpoint's hit alignment. Used by the reader for
// endpoints that have one of the two; endpoint sets met are kept per match, indexed by block below
// the chain's length.

import { TIER_COUNT } from '#contracts/block.js';
import { VIRTUAL_ENDPOINT } from '#contracts/index-layout.js';
import { KV_GROUPS_MAX } from '#contracts/limits.js';
import { groupHigh, groupLow } from './buckets.js';
import { endpointAt, type IndexMemory } from './memory.js';
import { probe } from './probe.js';

const UNKNOWN = -1;

/** Applies group windows within one match at a time. */
export class GroupWindows {
  readonly #memory: IndexMemory;
  /** Per group: set id under the group's key of each block, or UNKNOWN. */
  readonly #sets: Int32Array[] = [];
  /** Per group: how low the run of resident blocks reaches that is known for this endpoint. */
  readonly #knownFrom: Int32Array = new Int32Array(KV_GROUPS_MAX);
  #keys: Uint32Array = new Uint32Array(0);
  #blockCount = 0;
  #isFresh = false;

  constructor(memory: IndexMemory) {
    this.#memory = memory;
    for (let group = 0; group < KV_GROUPS_MAX; group++) this.#sets.push(new Int32Array(0));
  }

  /** Begins a match. Costs nothing unless an endpoint with windows is met. */
  begin(keys: Uint32Array, blockCount: number): void {
    this.#keys = keys;
    this.#blockCount = blockCount;
    this.#isFresh = true;
  }

  /** Greatest usable number of blocks up to `limit`, which group 0 holds. */
  usable(id: number, limit: number): number {
    if (this.#isFresh) this.#forget();
    const endpoint = endpointAt(this.#memory, id);
    const windows = endpoint + VIRTUAL_ENDPOINT.windows;
    const alignment = (this.#memory.words[endpoint + VIRTUAL_ENDPOINT.alignment] as number) || 1;
    this.#knownFrom.fill(limit);
    let length = limit - (limit % alignment);
    // A missing block rules out every length whose window would cover it, so the length falls to
    // that block, and every group is looked at again below what is known of it.
    for (let group = 1; length > 0 && group < KV_GROUPS_MAX; group++) {
      const window = this.#memory.words[windows + group - 1] as number;
      if (window === 0) continue;
      const missing = this.#highestMissing(id, group, length, Math.max(0, length - window));
      if (missing === UNKNOWN) continue;
      length = missing - (missing % alignment);
      group = 0;
    }
    return length;
  }

  /** The highest block in [bottom, length) that the group lacks, UNKNOWN when it has them all. */
  #highestMissing(id: number, group: number, length: number, bottom: number): number {
    const from = Math.min(this.#knownFrom[group] as number, length);
    for (let block = from - 1; block >= bottom; block--) {
      if (this.#holds(id, group, block)) continue;
      this.#knownFrom[group] = block;
      return block;
    }
    this.#knownFrom[group] = Math.min(from, bottom);
    return UNKNOWN;
  }

  #holds(id: number, group: number, block: number): boolean {
    const { words, setBits, maskWords } = this.#memory;
    const setId = this.#setOf(group, block);
    if (setId === 0) return false;
    const bits = setBits + setId * TIER_COUNT * maskWords + (id >> 5);
    let holders = 0;
    for (let tier = 0; tier < TIER_COUNT; tier++) {
      holders |= words[bits + tier * maskWords] as number;
    }
    return ((holders >>> (id & 31)) & 1) === 1;
  }

  #setOf(group: number, block: number): number {
    const sets = this.#sets[group] as Int32Array;
    const known = sets[block] as number;
    if (known !== UNKNOWN) return known;
    const low = groupLow(this.#keys[2 * block] as number, group);
    const high = groupHigh(this.#keys[2 * block + 1] as number, group);
    const setId = probe(this.#memory, low, high);
    sets[block] = setId;
    return setId;
  }

  #forget(): void {
    this.#isFresh = false;
    for (let group = 1; group < KV_GROUPS_MAX; group++) {
      if ((this.#sets[group] as Int32Array).length < this.#blockCount) {
        this.#sets[group] = new Int32Array(this.#blockCount * 2);
      }
      (this.#sets[group] as Int32Array).fill(UNKNOWN, 0, this.#blockCount);
    }
  }
}
