// The clock of this process: CLOCK_MONOTONIC in milliseconds, the same on every thread, so that ages
// and expiries written by one thread can be read by another.

import type { Clock } from '#contracts/clock.js';

// performance.now() starts at each thread's own origin; hrtime does not, but allocates. A thread that
// is put aside between the two readings sees its origin too early, so the latest of several counts.
const originMs = Math.max(...Array.from({ length: 16 }, readOrigin));

function readOrigin(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6 - performance.now();
}

/** Monotonic clock shared by all threads of the process. */
export const processClock: Clock = {
  nowMs: () => originMs + performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
