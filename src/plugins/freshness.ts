// How plugins treat old knowledge, in one place. Scraped load: as long as one candidate's figures
// are fresh, stale candidates are not compared by theirs and score 0; when all are stale the last
// known figures count as if they were fresh (a monitoring outage must not stop routing).
// Event streams: blocks of a publisher that is not `live` are discounted by `publisherTrust`; those of
// an endpoint's routing history are not.

import type { EndpointState, PublisherState } from '#contracts/endpoint.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';

/** Whether the endpoint was scraped within `staleAfterMs`. */
export function isFresh(state: EndpointState, nowMs: number, staleAfterMs: number): boolean {
  return nowMs - state.scrapedAtMs <= staleAfterMs;
}

/** Whether the figures of stale candidates are to be ignored: some candidate has fresh ones. */
export function staleLoses(
  context: SchedulingContext,
  candidates: CandidateSet,
  staleAfterMs: number,
): boolean {
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    if (isFresh(candidateState(context, slot), context.nowMs, staleAfterMs)) return true;
  }
  return false;
}

/**
 * Share of matched blocks to believe. A stream with a hole or without a follower may still name
 * blocks that the engine has evicted, but most of what it told is true; one that was never heard
 * or is gone says nothing.
 */
export function publisherTrust(state: PublisherState): number {
  switch (state) {
    case 'live':
    // A history is led through the engine's own rule: it is as good as what it is told of.
    case 'history':
      return 1;
    case 'replaying':
    case 'gapped':
    case 'stale':
      return 0.5;
    case 'cold':
    case 'dead':
      return 0;
  }
}
