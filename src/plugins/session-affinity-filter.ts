// Holds a session to its endpoint. Put filters that remove saturated endpoints before it: the
// session then moves once, and stays where it went.
//
// llm-d's filter lets everyone through when the session's endpoint is gone, because affinity is a matter
// of speed: any endpoint can serve any turn. An endpoint that refuses connections, or answers 503, is gone
// for this request, only not known to be yet. So the filter prefers: the others, as far as all other
// filters allow them, are tried when the session's endpoint gives no answer, and the session then
// belongs to the one that was. llm-d names no second endpoint and answers 503 in that moment.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { sessionAffinity } from './session-affinity.js';
import {
  SESSION_AFFINITY_IGNORED,
  sessionAffinityParameters,
  sessionProducers,
} from './session-affinity-parameters.js';

/** llm-d's session-affinity-filter. */
export const sessionAffinityFilter: FilterDefinition = defineFilter({
  type: 'session-affinity-filter',
  summary:
    'Keeps the endpoint of the session alone; everyone when the session has none yet, or its endpoint ' +
    'is gone, unhealthy, or removed by a filter before this one. It then belongs to whoever is picked. ' +
    'If its endpoint gives no answer the others are tried, in the order of the rest of the policy, and ' +
    'it belongs to the one that gets the request.',
  parameters: sessionAffinityParameters,
  ignored: SESSION_AFFINITY_IGNORED,
  consumes: ['session'],
  needs: sessionProducers,
  create: (parameters, host) => {
    const { find, hooks } = sessionAffinity(parameters, host);
    return {
      ...hooks,
      prefers: true,
      filter: (context, candidates) => {
        const slot = find(context, candidates);
        if (slot < 0) return;
        candidates.clear();
        candidates.add(slot);
      },
    };
  },
});
