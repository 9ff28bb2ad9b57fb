// Matches chains of request keys against the block index, lock-free; one instance per prompt
// worker, whose scratch memory it keeps. A match is tried again when endpoint-set ids were freed
// under it, and reports nothing while the index is being recovered. Scratch arrays are indexed by
// virtual ids and runs within the sizes they are given here.

import { assert } from '#contracts/assert.js';
import { type RequestKeys, TIER_COUNT } from '#contracts/block.js';
import type { BlockIndexReader, MatchResult } from '#contracts/block-index.js';
import { OWNER_SLOT_MASK, STATE, VIRTUAL_ENDPOINT } from '#contracts/index-layout.js';
import { endpointAt, type IndexMemory, maskAt, openMemory } from './memory.js';
import { probe, touchBuckets } from './probe.js';
import { GroupWindows } from './windows.js';

/** Keys whose buckets are touched ahead of probing them. */
const TOUCH_BLOCKS = 128;
/** Matches begun anew because a sweep freed set ids; sweeps are seconds apart. */
const ATTEMPTS_MAX = 3;
const RUNS_FIRST = 256;

/** Opens the index for matching. */
export function openIndexReader(buffer: SharedArrayBuffer): BlockIndexReader {
  return new IndexReader(openMemory(buffer));
}

class IndexReader implements BlockIndexReader {
  readonly #memory: IndexMemory;
  readonly #words: Int32Array;
  /** Endpoints alive when the match began, and those of them that hold every block so far. */
  readonly #alive: Int32Array;
  readonly #current: Int32Array;
  readonly #started: Int32Array;
  readonly #raw: Int32Array;
  readonly #windows: GroupWindows;
  /** Consecutive blocks with the same set: where each run ends, and its set. */
  #runEnd: Int32Array = new Int32Array(RUNS_FIRST);
  #runSet: Int32Array = new Int32Array(RUNS_FIRST);
  #runs = 0;
  #touched = 0;

  constructor(memory: IndexMemory) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#alive = new Int32Array(memory.maskWords);
    this.#current = new Int32Array(memory.maskWords);
    this.#started = new Int32Array(memory.maskWords);
    this.#raw = new Int32Array(memory.endpointCapacity);
    this.#windows = new GroupWindows(memory);
  }

  match(keys: RequestKeys, blockCount: number, blockLimit: number, result: MatchResult): number {
    assert(keys.length >= 2 * blockCount, 'there is a key for every block');
    assert(blockLimit <= blockCount, 'the limit is at most the number of blocks');
    const { state } = this.#memory;
    let epoch = 0;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      clearResult(result);
      epoch = Atomics.load(this.#words, state + STATE.epoch);
      const generation = Atomics.load(this.#words, state + STATE.setsGeneration);
      if (!this.#isUsable(epoch)) return epoch;
      this.#walk(keys, blockCount);
      this.#report(keys, blockCount, blockLimit, result);
      if (!this.#isUsable(epoch)) break;
      if (Atomics.load(this.#words, state + STATE.setsGeneration) === generation) return epoch;
    }
    clearResult(result);
    return epoch;
  }

  #isUsable(epoch: number): boolean {
    const { state } = this.#memory;
    if ((epoch & 1) === 1 || Atomics.load(this.#words, state + STATE.epoch) !== epoch) return false;
    return Atomics.load(this.#words, state + STATE.suspended) === 0;
  }

  /** Follows the chain while some endpoint holds all of it, noting runs and each raw depth. */
  #walk(keys: RequestKeys, blockCount: number): void {
    const alive = maskAt(this.#memory, 'alive');
    for (let i = 0; i < this.#alive.length; i++) {
      this.#alive[i] = this.#words[alive + i] as number;
      this.#started[i] = 0;
    }
    this.#runs = 0;
    let setId = 0;
    let block = 0;
    for (let touched = 0; block < blockCount; block++) {
      if (block === touched) {
        touched = Math.min(touched + TOUCH_BLOCKS, blockCount);
        this.#touched ^= touchBuckets(this.#memory, keys, block, touched);
      }
      const low = keys[2 * block] as number;
      const found = probe(this.#memory, low, keys[2 * block + 1] as number);
      if (found === setId && setId !== 0) continue;
      this.#endRun(block);
      if (found === 0 || !this.#narrow(found, block)) break;
      this.#beginRun(found);
      setId = found;
    }
    this.#endRun(block);
    this.#finishDepths(block);
  }

  #beginRun(setId: number): void {
    if (this.#runs === this.#runSet.length) {
      this.#runEnd = doubled(this.#runEnd);
      this.#runSet = doubled(this.#runSet);
    }
    this.#runSet[this.#runs++] = setId;
  }

  #endRun(block: number): void {
    if (this.#runs > 0) this.#runEnd[this.#runs - 1] = block;
  }

  /** Leaves only endpoints of `setId`; the others' raw depth is `block`. False when none is left. */
  #narrow(setId: number, block: number): boolean {
    const { words, setBits, maskWords } = this.#memory;
    const bits = setBits + setId * TIER_COUNT * maskWords;
    let any = 0;
    for (let i = 0; i < maskWords; i++) {
      let holders = 0;
      for (let tier = 0; tier < TIER_COUNT; tier++) {
        holders |= words[bits + tier * maskWords + i] as number;
      }
      const before = (block === 0 ? this.#alive[i] : this.#current[i]) as number;
      const after = before & holders;
      this.#current[i] = after;
      if (block === 0) this.#started[i] = after;
      else this.#noteDepths(before & ~holders, i, block);
      any |= after;
    }
    return any !== 0;
  }

  #noteDepths(mask: number, word: number, depth: number): void {
    for (let left = mask; left !== 0; left &= left - 1) {
      this.#raw[word * 32 + lowestBit(left)] = depth;
    }
  }

  #finishDepths(depth: number): void {
    for (let i = 0; i < this.#started.length; i++) {
      if (this.#started[i] !== 0) this.#noteDepths(this.#current[i] as number, i, depth);
    }
  }

  /** Per endpoint that holds the first block: usable blocks, their tiers, raw depth. */
  #report(keys: RequestKeys, blockCount: number, blockLimit: number, result: MatchResult): void {
    const windowed = maskAt(this.#memory, 'windowed');
    this.#windows.begin(keys, blockCount);
    for (let i = 0; i < this.#started.length; i++) {
      const windowedHere = this.#words[windowed + i] as number;
      for (let left = this.#started[i] as number; left !== 0; left &= left - 1) {
        const bit = lowestBit(left);
        const id = i * 32 + bit;
        const raw = this.#raw[id] as number;
        const limit = Math.min(raw, blockLimit);
        const hasWindows = ((windowedHere >>> bit) & 1) === 1;
        this.#reportEndpoint(id, raw, hasWindows ? this.#windows.usable(id, limit) : limit, result);
      }
    }
  }

  /** Of several generations of one endpoint the one with more to reuse is reported. */
  #reportEndpoint(id: number, raw: number, usable: number, result: MatchResult): void {
    const owner = this.#words[endpointAt(this.#memory, id) + VIRTUAL_ENDPOINT.owner] as number;
    const slot = (owner & OWNER_SLOT_MASK) - 1;
    if (slot < 0 || slot >= result.usableBlocks.length) return;
    const usableBefore = result.usableBlocks[slot] as number;
    const rawBefore = result.rawBlocks[slot] as number;
    if (usable < usableBefore || (usable === usableBefore && raw <= rawBefore)) return;
    result.usableBlocks[slot] = usable;
    result.rawBlocks[slot] = raw;
    this.#countTiers(id, usable, result.tierBlocks, slot * TIER_COUNT);
  }

  #countTiers(id: number, usable: number, tierBlocks: Uint32Array, at: number): void {
    const { words, setBits, maskWords } = this.#memory;
    tierBlocks.fill(0, at, at + TIER_COUNT);
    let from = 0;
    for (let run = 0; from < usable; run++) {
      const end = Math.min(this.#runEnd[run] as number, usable);
      const bits = setBits + (this.#runSet[run] as number) * TIER_COUNT * maskWords + (id >> 5);
      for (let tier = 0; tier < TIER_COUNT; tier++) {
        if ((((words[bits + tier * maskWords] as number) >>> (id & 31)) & 1) === 0) continue;
        tierBlocks[at + tier] = (tierBlocks[at + tier] as number) + end - from;
        break;
      }
      from = end;
    }
  }
}

function clearResult(result: MatchResult): void {
  result.usableBlocks.fill(0);
  result.tierBlocks.fill(0);
  result.rawBlocks.fill(0);
}

function lowestBit(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

function doubled(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
