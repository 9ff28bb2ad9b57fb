// Which endpoints are to have a routing history, and how large each is: those whose engine publishes
// no events, sized to what the engine can hold. Pure; the fleet manager asks after every change.

import type { Endpoint } from '#contracts/endpoint.js';
import { HISTORY_TOKENS_DEFAULT } from '#contracts/limits.js';
import type { HistoryPlan } from '#contracts/routing-history.js';
import { greatestCommonDivisor } from './models.js';

/** Histories by slot for endpoints by pool. */
export function historyPlans(
  pools: ReadonlyMap<string, readonly Endpoint[]>,
  blockSizes: ReadonlyMap<string, number>,
): ReadonlyMap<number, HistoryPlan> {
  const plans = new Map<number, HistoryPlan>();
  for (const [pool, endpoints] of pools) {
    const blockSize = blockSizes.get(pool);
    if (blockSize === undefined) continue;
    for (const endpoint of endpoints) {
      const plan = planFor(endpoint, blockSize);
      if (plan !== null) plans.set(endpoint.slot, plan);
    }
  }
  return plans;
}

function planFor(endpoint: Endpoint, blockSize: number): HistoryPlan | null {
  const { name, events, blockSize: engineBlock, cacheTokens } = endpoint;
  const capacityBlocks = Math.floor((cacheTokens ?? HISTORY_TOKENS_DEFAULT) / blockSize);
  // An engine without prefix caching holds nothing between requests.
  if (events !== null || capacityBlocks < 1) return null;
  // Canonical blocks from one end of an engine's block that is one of ours to the next: hits end there.
  const step = engineBlock ?? blockSize;
  const alignmentBlocks = step / greatestCommonDivisor(step, blockSize);
  return { endpoint: name, capacityBlocks, blockSize, alignmentBlocks };
}
