// The filter behind those that go by nothing but what an endpoint is: what it keeps does not change
// from one request to the next.

import type { Endpoint } from '#contracts/endpoint.js';
import type { Filter } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';

/** Makes a filter that keeps an endpoint when `keeps` says so. */
export function keepEndpoints(keeps: (endpoint: Endpoint) => boolean): Filter {
  return {
    keeps,
    filter: (context, candidates) => {
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        if (!keeps(candidateState(context, slot).endpoint)) candidates.remove(slot);
      }
    },
  };
}
