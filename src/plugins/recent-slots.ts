// Endpoint slots in the order in which something last happened to them: a list threaded through
// arrays, so that neither touching nor reading it allocates. A slot that another endpoint has taken
// over counts as never touched.

/** The end of the list, and what a slot outside of it points to. */
const NOBODY = -1;

export class RecentSlots {
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  /** Endpoint that was touched; empty for a slot outside of the list. */
  readonly #names: string[];
  readonly #sizeMax: number;
  #oldest = NOBODY;
  #newest = NOBODY;
  #size = 0;

  /** Remembers at most `sizeMax` of `endpointCapacity` slots, the most recent ones. */
  constructor(endpointCapacity: number, sizeMax: number) {
    this.#older = new Int32Array(endpointCapacity).fill(NOBODY);
    this.#newer = new Int32Array(endpointCapacity).fill(NOBODY);
    this.#names = new Array<string>(endpointCapacity).fill('');
    this.#sizeMax = sizeMax;
  }

  /** Makes the endpoint at `slot` the most recent. */
  touch(slot: number, name: string): void {
    this.#remove(slot);
    this.#names[slot] = name;
    this.#older[slot] = this.#newest;
    if (this.#newest === NOBODY) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
    this.#size += 1;
    if (this.#size > this.#sizeMax) this.#remove(this.#oldest);
  }

  /** Whether that endpoint is remembered. */
  has(slot: number, name: string): boolean {
    return this.#names[slot] === name;
  }

  /** The least recent slot, −1 for none. Iterate: `s = first()`, `s = next(s)`. */
  first(): number {
    return this.#oldest;
  }

  next(slot: number): number {
    return this.#newer[slot] ?? NOBODY;
  }

  #remove(slot: number): void {
    if (this.#names[slot] === '') return;
    const older = this.#older[slot] as number;
    const newer = this.#newer[slot] as number;
    if (older === NOBODY) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NOBODY) this.#newest = older;
    else this.#older[newer] = older;
    this.#older[slot] = NOBODY;
    this.#newer[slot] = NOBODY;
    this.#names[slot] = '';
    this.#size -= 1;
  }
}
