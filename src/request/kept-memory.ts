// Where kept decisions have their figures: side by side, in the order in which they are written,
// because a place's memory was used long ago and the processor fetches ahead what lies in a row.

/** Memory of some decisions, equally wide and wide enough for the widest of them. */
export class KeptMemory {
  /** Refers to other memory after `reserve`, as do the bytes. */
  numbers: Float64Array;
  /** The same memory, for short texts. */
  bytes: Uint8Array;
  readonly #places: number;
  #width = 0;

  constructor(places: number) {
    this.#places = places;
    this.numbers = new Float64Array(0);
    this.bytes = new Uint8Array(0);
  }

  /** Position of a place's first number; of the last place's end for the number of places. */
  at(place: number): number {
    return place * this.#width;
  }

  /** Makes every place at least `width` numbers wide; what is kept moves along. */
  reserve(width: number): void {
    if (width <= this.#width) return;
    const grown = new Float64Array(this.#places * width);
    for (let place = 0; place < this.#places; place += 1) {
      grown.set(this.numbers.subarray(this.at(place), this.at(place + 1)), place * width);
    }
    this.#width = width;
    this.numbers = grown;
    this.bytes = new Uint8Array(grown.buffer);
  }
}
