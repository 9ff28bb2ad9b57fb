// How many blocks of a prompt an endpoint is believed to hold, in one place for all plugins that go
// by it.

import type { SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { publisherTrust } from './freshness.js';

/**
 * Usable blocks (half of them unless the event stream is live) or those expected within moments,
 * whichever is more; 0 when nothing was matched.
 */
export function matchedBlocks(context: SchedulingContext, slot: number): number {
  const { match } = context;
  if (match === null || context.totalBlocks === 0) return 0;
  const usable = match.usableBlocks[slot] ?? 0;
  const expected = Math.max(usable, match.speculativeBlocks[slot] ?? 0);
  // What was sent there moments ago is known here, however the event stream is.
  const trusted = usable * publisherTrust(candidateState(context, slot).publisher);
  return trusted + (expected - usable);
}

/** Share of the prompt's full blocks that the endpoint is believed to hold, 0…1. */
export function matchedShare(context: SchedulingContext, slot: number): number {
  return context.totalBlocks === 0 ? 0 : matchedBlocks(context, slot) / context.totalBlocks;
}
