// A clock whose longer timers fire together: a hundred engines are asked two things a second each,
// and waking up for each of them costs more than asking. Used by the fleet's monitors.

import type { Clock } from '#contracts/clock.js';

/** Spacing of the times at which longer timers fire. */
export const TICK_MS = 50;
/** Timers below this fire when they should: what is urgent is short. */
export const COARSE_FROM_MS: number = 10 * TICK_MS;

/** What is due at one time, and the timer that fires then. */
interface Tick {
  readonly due: Set<() => void>;
  readonly cancel: () => void;
}

/** Lets timers of COARSE_FROM_MS and more be late by less than TICK_MS, never early. */
export class CoarseClock implements Clock {
  readonly #clock: Clock;
  /** By number, that is time divided by TICK_MS. */
  readonly #ticks = new Map<number, Tick>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs < COARSE_FROM_MS) return this.#clock.after(delayMs, callback);
    const nowMs = this.#clock.nowMs();
    const number = Math.ceil((nowMs + delayMs) / TICK_MS);
    const { due, cancel } = this.#ticks.get(number) ?? this.#begin(number, nowMs);
    // A set would hold a callback once that is given twice.
    const own = (): void => callback();
    due.add(own);
    return () => {
      // A timer for nobody would keep the process from ending.
      if (due.delete(own) && due.size === 0) {
        cancel();
        this.#ticks.delete(number);
      }
    };
  }

  #begin(number: number, nowMs: number): Tick {
    const due = new Set<() => void>();
    const cancel = this.#clock.after(number * TICK_MS - nowMs, () => {
      this.#ticks.delete(number);
      for (const callback of due) {
        due.delete(callback);
        callback();
      }
    });
    const tick = { due, cancel };
    this.#ticks.set(number, tick);
    return tick;
  }
}
