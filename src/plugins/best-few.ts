// The few best of many candidates in one pass and without allocation, for pickers that order them.

import { ATTEMPTS_MAX } from '#contracts/limits.js';

/** The best candidates seen so far, best first, in arrays as long as there may be attempts. */
export class BestFew {
  readonly #totals = new Float64Array(ATTEMPTS_MAX);
  readonly #inFlight = new Float64Array(ATTEMPTS_MAX);
  readonly #draws = new Float64Array(ATTEMPTS_MAX);
  #picked: Uint32Array = new Uint32Array(0);
  #wanted = 0;
  count = 0;

  begin(wanted: number, picked: Uint32Array): void {
    this.#wanted = wanted;
    this.#picked = picked;
    this.count = 0;
  }

  /** False when so low a total cannot be among the best: most candidates of a large fleet. */
  mayTake(total: number): boolean {
    return this.count < this.#wanted || total >= (this.#totals[this.count - 1] as number);
  }

  take(slot: number, total: number, inFlight: number, draw: number): void {
    let at = Math.min(this.count, this.#wanted - 1);
    if (this.count === this.#wanted && !this.#precedes(total, inFlight, draw, at)) return;
    for (; at > 0 && this.#precedes(total, inFlight, draw, at - 1); at -= 1) this.#move(at - 1, at);
    this.#picked[at] = slot;
    this.#totals[at] = total;
    this.#inFlight[at] = inFlight;
    this.#draws[at] = draw;
    this.count = Math.min(this.count + 1, this.#wanted);
  }

  #precedes(total: number, inFlight: number, draw: number, at: number): boolean {
    const order =
      total - (this.#totals[at] as number) ||
      (this.#inFlight[at] as number) - inFlight ||
      draw - (this.#draws[at] as number);
    return order > 0;
  }

  #move(from: number, to: number): void {
    this.#picked[to] = this.#picked[from] as number;
    this.#totals[to] = this.#totals[from] as number;
    this.#inFlight[to] = this.#inFlight[from] as number;
    this.#draws[to] = this.#draws[from] as number;
  }
}
