// A clock whose longer timers fire together: a hundred engines are asked two things a second each,
// and waking up for each of them costs more than asking. Used by the fleet's monitors.

import type { Clock } from '#contracts/clock.js';

/** Spacing of the times at which longer timers fire. */
export const TICK_MS = 50;
/** Timers below this fire when they should: what is urgent is short. */
export const COARSE_FROM_MS: number = 10 * TICK_MS;

/** Lets timers of COARSE_FROM_MS and more be late by less than TICK_MS, never early. */
export class CoarseClock implements Clock {
  readonly #clock: Clock;
  /** What is due, by the number of the tick. */
  readonly #ticks = new Map<number, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs < COARSE_FROM_MS) return this.#clock.after(delayMs, callback);
    const nowMs = this.#clock.nowMs();
    const tick = Math.ceil((nowMs + delayMs) / TICK_MS);
    const due = this.#ticks.get(tick) ?? this.#begin(tick, nowMs);
    // A set would hold a callback once that is given twice.
    const own = (): void => callback();
    due.add(own);
    return () => {
      due.delete(own);
    };
  }

  /** The timer of a tick runs on when all that was due has been cancelled: that is rare. */
  #begin(tick: number, nowMs: number): Set<() => void> {
    const due = new Set<() => void>();
    this.#ticks.set(tick, due);
    this.#clock.after(tick * TICK_MS - nowMs, () => {
      this.#ticks.delete(tick);
      for (const callback of due) callback();
    });
    return due;
  }
}
