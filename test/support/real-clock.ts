// Real time behind the Clock contract, for tests with sockets.

import type { Clock } from '#contracts/clock.js';

export const realClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Waits until `condition` holds; fails after `limitMs` saying what was waited for. */
export async function eventually(
  what: string,
  condition: () => boolean,
  limitMs = 8000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
