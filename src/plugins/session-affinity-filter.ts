// Holds a session to its endpoint. Put filters that remove saturated endpoints before it: the
// session then moves once, and stays where it went.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { sessionAffinity } from './session-affinity.js';
import {
  SESSION_AFFINITY_IGNORED,
  sessionAffinityParameters,
} from './session-affinity-parameters.js';

/** llm-d's session-affinity-filter. */
export const sessionAffinityFilter: FilterDefinition = defineFilter({
  type: 'session-affinity-filter',
  summary:
    'Keeps the endpoint of the session alone; everyone when the session has none yet, or its endpoint ' +
    'is gone, unhealthy, or removed by a filter before this one. It then belongs to whoever is picked.',
  parameters: sessionAffinityParameters,
  ignored: SESSION_AFFINITY_IGNORED,
  consumes: ['session'],
  create: (parameters, host) => {
    const { find, hooks } = sessionAffinity(parameters, host);
    return {
      ...hooks,
      filter: (context, candidates) => {
        const slot = find(context, candidates);
        if (slot < 0) return;
        candidates.clear();
        candidates.add(slot);
      },
    };
  },
});
