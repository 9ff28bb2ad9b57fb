// Waiting for what happens on other threads and sockets: a bounded poll, no fixed sleeps.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 5;
/** Long enough for a loaded machine; a condition that holds is seen at once. */
const WITHIN_MS = 30_000;

/** Resolves as soon as `condition` holds; fails, saying what it waited for, when it never does. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs: number = WITHIN_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) assert.fail(`waited in vain until ${what}`);
    await pause(POLL_MS);
  }
}
