// Small decisions of the start: how many threads, how long to wait for the fleet.

import { availableParallelism } from 'node:os';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import { processClock } from '#workers/process-clock.js';

/** Engines that have not said within this what they are do not hold the start up. */
const DISCOVERY_WAIT_MS = 2000;
const DISCOVERY_POLL_MS = 10;
/** A prompt worker holds its own copy of every tokenizer, about 100 MB each. */
const PROMPT_WORKERS_MAX = 8;

/** Waits until every endpoint has told its models, but not for long. */
export async function untilDiscovered(snapshot: () => FleetSnapshot): Promise<void> {
  const deadlineMs = processClock.nowMs() + DISCOVERY_WAIT_MS;
  while (processClock.nowMs() < deadlineMs) {
    const states = snapshot().bySlot.filter((state) => state !== null);
    if (states.every((state) => state.endpoint.models.length > 0)) return;
    await new Promise<void>((resolve) => processClock.after(DISCOVERY_POLL_MS, resolve));
  }
}

/** Threads for prompts: one core stays for sockets and events; two at least, so that one may die. */
export function promptWorkerCount(configured: number | null): number {
  return configured ?? Math.min(PROMPT_WORKERS_MAX, Math.max(2, availableParallelism() - 1));
}
