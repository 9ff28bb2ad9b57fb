// What scenarios in virtual time have in common: sending at an even pace, and quantiles.

import type { Clock } from '#contracts/clock.js';

/** Calls `send` with 0, 1, … at an even pace; each call schedules the next, so timers stay few. */
export function inOrder(
  clock: Clock,
  count: number,
  intervalMs: number,
  send: (number: number) => void,
): void {
  const next = (number: number): void => {
    if (number === count) return;
    clock.after(intervalMs, () => next(number + 1));
    send(number);
  };
  clock.after(0, () => next(0));
}

/** The smallest value that a share of the values do not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
}
