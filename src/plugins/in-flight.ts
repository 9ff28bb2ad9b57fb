// What this router has in flight at an endpoint, as plugins compare it.

import type { EndpointState } from '#contracts/endpoint.js';

/** Prompt tokens still to be computed, and estimated tokens of answers where they are estimated. */
export function inFlightTokens({ inFlight }: EndpointState): number {
  return inFlight.uncachedPromptTokens + inFlight.outputTokens;
}
