// The last decisions with their results, for /debug/decisions. A ring whose places are reused, so
// memory is bounded however many requests come and a decision allocates nothing.

import type { DecisionLog, LoggedDecision } from '#contracts/decision.js';
import type { FinishedRequest } from '#contracts/observer.js';
import { type Explained, KeptDecision } from './kept-decision.js';
import { KeptMemory } from './kept-memory.js';

/** So few that room for more endpoints copies little. */
const PLACES_TOGETHER = 16;

/** Keeps the last `capacity` decisions. */
export class DecisionRing implements DecisionLog {
  readonly capacity: number;
  readonly #places: KeptDecision[] = [];
  #memory = new KeptMemory(PLACES_TOGETHER);
  #decided = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Keeps a decision; what it returns holds until `capacity` others were made. */
  record(explained: Explained): KeptDecision {
    const position = this.#decided % this.capacity;
    let place = this.#places[position];
    if (place === undefined) {
      place = this.#nextPlace();
      this.#places.push(place);
    }
    place.keep(this.#decided, explained);
    this.#decided += 1;
    return place;
  }

  /** Joins the end of a request to its decision, if that is still kept. */
  finish(sequence: number, finished: FinishedRequest): void {
    const place = this.#places[sequence % this.capacity];
    if (place?.sequence === sequence) place.finish(finished);
  }

  /** A client may reuse a request id; the latest decision counts. */
  find(requestId: string): LoggedDecision | null {
    for (const place of this.#newestFirst()) {
      if (place.requestId === requestId) return logged(place);
    }
    return null;
  }

  last(count: number): readonly LoggedDecision[] {
    const found: LoggedDecision[] = [];
    for (const place of this.#newestFirst()) {
      if (found.length >= count) break;
      found.push(logged(place));
    }
    return found;
  }

  #nextPlace(): KeptDecision {
    const position = this.#places.length % PLACES_TOGETHER;
    if (position === 0) this.#memory = new KeptMemory(PLACES_TOGETHER);
    return new KeptDecision(this.#memory, position);
  }

  *#newestFirst(): Generator<KeptDecision> {
    const kept = this.#places.length;
    for (let back = 1; back <= kept; back += 1) {
      const place = this.#places[(this.#decided - back) % this.capacity];
      if (place !== undefined) yield place;
    }
  }
}

function logged(place: KeptDecision): LoggedDecision {
  return { decision: place.decision(), result: place.result() };
}
