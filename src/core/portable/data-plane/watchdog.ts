// A time limit between signs of life, cheap enough to be touched for every chunk: touching stores
// a time, and only an expired timer looks at it. Owned by one request.

import type { Clock } from '#contracts/clock.js';

export class Watchdog {
  readonly #clock: Clock;
  #limitMs = 0;
  #touchedAtMs = 0;
  #onExpired: (() => void) | null = null;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `onExpired` once, when nothing has touched it for `limitMs`; 0 never expires. */
  start(limitMs: number, onExpired: () => void): void {
    this.stop();
    if (limitMs === 0) return;
    this.#limitMs = limitMs;
    this.#onExpired = onExpired;
    this.touch();
    this.#wait(limitMs);
  }

  touch(): void {
    if (this.#onExpired !== null) this.#touchedAtMs = this.#clock.nowMs();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#onExpired = null;
  }

  #wait(delayMs: number): void {
    this.#cancel = this.#clock.after(delayMs, () => {
      const leftMs = this.#touchedAtMs + this.#limitMs - this.#clock.nowMs();
      const onExpired = this.#onExpired;
      // A timer may fire a fraction of a millisecond early.
      if (leftMs > 1) {
        this.#wait(leftMs);
      } else if (onExpired !== null) {
        this.stop();
        onExpired();
      }
    });
  }
}
