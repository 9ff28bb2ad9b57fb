// Request key → block of a pool, without an object per block: block numbers in an open table, probed
// one by one; what follows a deleted one moves up, so that nothing is left behind. The keys
// themselves lie with the blocks. Home is the key's low half, which is a hash already. Slots are
// masked, blocks lie below the pool's capacity.

/** A table for up to `capacity` blocks whose keys are `low[block]` and `high[block]`. */
export class KeyMap {
  readonly #low: Int32Array;
  readonly #high: Int32Array;
  /** Block + 1, 0 for a free slot. At most half of them are in use. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  #size = 0;

  constructor(capacity: number, low: Int32Array, high: Int32Array) {
    const slots = 2 ** Math.ceil(Math.log2(2 * capacity));
    this.#low = low;
    this.#high = high;
    this.#slots = new Int32Array(slots);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The block with that key, −1 when there is none. */
  get(low: number, high: number): number {
    for (let at = low & this.#mask; ; at = (at + 1) & this.#mask) {
      const block = (this.#slots[at] as number) - 1;
      if (block < 0) return -1;
      if (this.#low[block] === low && this.#high[block] === high) return block;
    }
  }

  /** Adds a block whose key is set and that no other block in the table has. */
  set(block: number): void {
    let at = (this.#low[block] as number) & this.#mask;
    while (this.#slots[at] !== 0) at = (at + 1) & this.#mask;
    this.#slots[at] = block + 1;
    this.#size += 1;
  }

  /** Takes out a block that is in the table. */
  delete(block: number): void {
    let hole = (this.#low[block] as number) & this.#mask;
    while (this.#slots[hole] !== block + 1) hole = (hole + 1) & this.#mask;
    for (let at = (hole + 1) & this.#mask; this.#slots[at] !== 0; at = (at + 1) & this.#mask) {
      const home = (this.#low[(this.#slots[at] as number) - 1] as number) & this.#mask;
      // Its way from home must not lead past the hole.
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#slots[hole] = this.#slots[at] as number;
      hole = at;
    }
    this.#slots[hole] = 0;
    this.#size -= 1;
  }
}
