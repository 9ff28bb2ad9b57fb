// Clock and random numbers of a worker thread. Time is the process's monotonic clock, the same on
// every thread, so that times written into shared memory can be compared by main.

import type { Clock } from '#contracts/clock.js';
import type { Random } from '#contracts/random.js';

export function createThreadClock(): Clock {
  return {
    nowMs: () => {
      const [seconds, nanoseconds] = process.hrtime();
      return seconds * 1000 + nanoseconds / 1e6;
    },
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

/** Xorshift32: enough for jitter. */
export function createThreadRandom(seed: number): Random {
  let state = seed >>> 0 || 1;
  return {
    next: () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) / 2 ** 32;
    },
  };
}
