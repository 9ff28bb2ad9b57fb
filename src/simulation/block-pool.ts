// The physical KV blocks of one engine: reference counts, the free queue in eviction order and the
// map hash → copies. Owned by the engine model. A block that is free but still hashed stays
// hittable until an allocation takes its space, which is when its removal is announced.

import { assert } from '#contracts/assert.js';
import type { BlockHash } from './block-hash.js';

/** Neighbour value of a block that is not in the free queue. */
const UNLINKED = -1;

/** Blocks 0 … blocks − 1; every operation costs O(blocks it touches). */
export class BlockPool {
  readonly blocks: number;
  readonly #referenceCount: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #hash: (BlockHash | null)[];
  readonly #copies = new Map<string, number[]>();
  readonly #onRemoved: (hash: BlockHash) => void;
  /** Index of the queue's head and tail sentinel. */
  readonly #sentinel: number;
  #freeBlocks = 0;

  /** `onRemoved` is called for each hashed block whose space is reused, oldest first. */
  constructor(blocks: number, onRemoved: (hash: BlockHash) => void) {
    assert(Number.isInteger(blocks) && blocks > 0, 'a pool has blocks');
    this.blocks = blocks;
    this.#onRemoved = onRemoved;
    this.#sentinel = blocks;
    this.#referenceCount = new Int32Array(blocks);
    this.#next = new Int32Array(blocks + 1).fill(UNLINKED);
    this.#previous = new Int32Array(blocks + 1).fill(UNLINKED);
    this.#hash = new Array<BlockHash | null>(blocks).fill(null);
    this.#next[this.#sentinel] = this.#sentinel;
    this.#previous[this.#sentinel] = this.#sentinel;
    for (let block = 0; block < blocks; block++) this.#append(block);
  }

  get freeBlocks(): number {
    return this.#freeBlocks;
  }

  /** Whether the block is free, so that hitting it costs a free block. */
  isFree(block: number): boolean {
    return this.#referenceCount[block] === 0;
  }

  /** The blocks of the longest resident run of `chain`, at most `limit`. Changes nothing. */
  findRun(chain: readonly BlockHash[], limit: number): number[] {
    const found: number[] = [];
    for (const { key } of chain) {
      if (found.length >= limit) break;
      const copy = this.#copies.get(key)?.[0];
      if (copy === undefined) break;
      found.push(copy);
    }
    return found;
  }

  /** Takes another reference; a free block leaves the queue. */
  reference(block: number): void {
    if (this.#referenceCount[block] === 0) this.#unlink(block);
    this.#referenceCount[block] = (this.#referenceCount[block] ?? 0) + 1;
  }

  /** Takes the `count` oldest free blocks; the caller has checked that there are enough. */
  allocate(count: number): number[] {
    assert(count <= this.#freeBlocks, 'allocation fits into the free blocks');
    const taken: number[] = [];
    for (let i = 0; i < count; i++) {
      const block = this.#next[this.#sentinel] ?? this.#sentinel;
      this.#unlink(block);
      const hash = this.#hash[block] ?? null;
      if (hash !== null) {
        this.#forget(block, hash);
        this.#onRemoved(hash);
      }
      this.#referenceCount[block] = 1;
      taken.push(block);
    }
    return taken;
  }

  /** Makes a full block hittable. A hash that is already resident gets one more copy. */
  commit(block: number, hash: BlockHash): void {
    assert(this.#hash[block] === null, 'a block is committed once');
    this.#hash[block] = hash;
    const copies = this.#copies.get(hash.key);
    if (copies === undefined) this.#copies.set(hash.key, [block]);
    else copies.push(block);
  }

  /**
   * Gives back a sequence's blocks, tail first, so that the head of a prefix outlives its tail.
   * Blocks without a hash are of no use to anybody and go to the front of the queue.
   */
  release(blocks: readonly number[]): void {
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i] ?? 0;
      const count = (this.#referenceCount[block] ?? 0) - 1;
      assert(count >= 0, 'a released block was referenced');
      this.#referenceCount[block] = count;
      if (count > 0) continue;
      if (this.#hash[block] === null) this.#prepend(block);
      else this.#append(block);
    }
  }

  /** Forgets every hash; false (and nothing changes) while any block is referenced. */
  clear(): boolean {
    if (this.#freeBlocks !== this.blocks) return false;
    this.#hash.fill(null);
    this.#copies.clear();
    return true;
  }

  #forget(block: number, hash: BlockHash): void {
    this.#hash[block] = null;
    const copies = this.#copies.get(hash.key);
    assert(copies !== undefined, 'a hashed block is in the map');
    if (copies.length === 1) this.#copies.delete(hash.key);
    else copies.splice(copies.indexOf(block), 1);
  }

  #append(block: number): void {
    this.#link(block, this.#previous[this.#sentinel] ?? this.#sentinel, this.#sentinel);
  }

  #prepend(block: number): void {
    this.#link(block, this.#sentinel, this.#next[this.#sentinel] ?? this.#sentinel);
  }

  #link(block: number, before: number, after: number): void {
    assert(this.#next[block] === UNLINKED, 'a block is in the free queue once');
    this.#next[before] = block;
    this.#previous[block] = before;
    this.#next[block] = after;
    this.#previous[after] = block;
    this.#freeBlocks += 1;
  }

  #unlink(block: number): void {
    const before = this.#previous[block] ?? UNLINKED;
    const after = this.#next[block] ?? UNLINKED;
    assert(before !== UNLINKED && after !== UNLINKED, 'an unlinked block was in the free queue');
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#next[block] = UNLINKED;
    this.#previous[block] = UNLINKED;
    this.#freeBlocks -= 1;
  }
}
