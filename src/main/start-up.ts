// Small decisions of the start: how many threads, how long to wait for the fleet.

import { availableParallelism } from 'node:os';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import { processClock } from '#workers/process-clock.js';

/** Engines that have not said within this what they are do not hold the start up. */
const DISCOVERY_WAIT_MS = 2000;
/** Lines that show a match are not held back longer for a proof that does not come. */
const PROOF_WAIT_MS = 10_000;
const POLL_MS = 10;
/** A prompt worker holds its own copy of every tokenizer, about 100 MB each. */
const PROMPT_WORKERS_MAX = 8;

/** Waits until every endpoint has told its models and is healthy, but not for long. */
export function untilDiscovered(snapshot: () => FleetSnapshot): Promise<void> {
  return patiently(DISCOVERY_WAIT_MS, () => {
    const states = snapshot().bySlot.filter((state) => state !== null);
    return states.every(({ endpoint, healthy }) => healthy && endpoint.models.length > 0);
  });
}

/** Waits until no tokenizer's first proof is under way, but not for long. */
export function untilProven(isProving: () => boolean): Promise<void> {
  return patiently(PROOF_WAIT_MS, () => !isProving());
}

async function patiently(limitMs: number, done: () => boolean): Promise<void> {
  const deadlineMs = processClock.nowMs() + limitMs;
  while (!done() && processClock.nowMs() < deadlineMs) {
    await new Promise<void>((resolve) => processClock.after(POLL_MS, resolve));
  }
}

/** Threads for prompts: one core stays for sockets and events; two at least, so that one may die. */
export function promptWorkerCount(configured: number | null): number {
  return configured ?? Math.min(PROMPT_WORKERS_MAX, Math.max(2, availableParallelism() - 1));
}

/** Threads that carry bytes: half of the cores, the rest is for policy, prompts and events. */
export function dataPlaneThreadCount(configured: number | null): number {
  return configured ?? Math.max(1, Math.floor(availableParallelism() / 2));
}
