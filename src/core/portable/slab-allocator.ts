// A buddy allocator over a byte range: power-of-two regions, merged again when freed. The request
// store of the main thread is its only caller; nothing here is shared between threads. Every index
// into the unit arrays is below `#units`, which is why they are read without a check.

import { assert } from '#contracts/assert.js';

const NONE = -1;
/** Marks a unit that does not begin a free region. */
const NOT_FREE = 0xff;

/** Hands out regions of `minBytes · 2^class` bytes inside [0, totalBytes). */
export class SlabAllocator {
  readonly #minBytes: number;
  readonly #classes: number;
  /** Class of the free region that begins at a unit, else NOT_FREE. */
  readonly #freeClass: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads: Int32Array;
  #usedBytes = 0;

  constructor(size: { readonly totalBytes: number; readonly minBytes: number }) {
    const units = size.totalBytes / size.minBytes;
    assert(Number.isInteger(Math.log2(units)), 'a slab is a power of two of its smallest region');
    this.#minBytes = size.minBytes;
    this.#classes = Math.log2(units) + 1;
    this.#freeClass = new Uint8Array(units).fill(NOT_FREE);
    this.#next = new Int32Array(units).fill(NONE);
    this.#previous = new Int32Array(units).fill(NONE);
    this.#heads = new Int32Array(this.#classes).fill(NONE);
    this.#link(0, this.#classes - 1);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Smallest class whose regions hold `bytes`; may be larger than any region there is. */
  classFor(bytes: number): number {
    return Math.max(0, Math.ceil(Math.log2(Math.max(1, bytes) / this.#minBytes)));
  }

  regionBytes(sizeClass: number): number {
    return this.#minBytes * 2 ** sizeClass;
  }

  /** Byte offset of a free region of that class, −1 when there is none. */
  allocate(sizeClass: number): number {
    let from = sizeClass;
    while (from < this.#classes && this.#heads[from] === NONE) from += 1;
    if (from >= this.#classes) return NONE;
    const unit = this.#heads[from] as number;
    this.#unlink(unit, from);
    // Give back the upper halves until the region fits.
    while (from > sizeClass) {
      from -= 1;
      this.#link(unit + 2 ** from, from);
    }
    this.#usedBytes += this.regionBytes(sizeClass);
    return unit * this.#minBytes;
  }

  /** Takes back a region that `allocate` gave for that class. */
  free(offset: number, sizeClass: number): void {
    let unit = offset / this.#minBytes;
    assert(this.#freeClass[unit] === NOT_FREE, 'a region is freed once');
    this.#usedBytes -= this.regionBytes(sizeClass);
    let merged = sizeClass;
    while (merged < this.#classes - 1) {
      const buddy = unit ^ (2 ** merged);
      if (this.#freeClass[buddy] !== merged) break;
      this.#unlink(buddy, merged);
      unit = Math.min(unit, buddy);
      merged += 1;
    }
    this.#link(unit, merged);
  }

  #link(unit: number, sizeClass: number): void {
    const head = this.#heads[sizeClass] as number;
    this.#freeClass[unit] = sizeClass;
    this.#next[unit] = head;
    this.#previous[unit] = NONE;
    if (head !== NONE) this.#previous[head] = unit;
    this.#heads[sizeClass] = unit;
  }

  #unlink(unit: number, sizeClass: number): void {
    const next = this.#next[unit] as number;
    const previous = this.#previous[unit] as number;
    if (previous === NONE) this.#heads[sizeClass] = next;
    else this.#next[previous] = next;
    if (next !== NONE) this.#previous[next] = previous;
    this.#freeClass[unit] = NOT_FREE;
  }
}
