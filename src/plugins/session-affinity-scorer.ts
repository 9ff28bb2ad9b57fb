// Prefers the endpoint of the session, as far as other scorers let it.

import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { sessionAffinity } from './session-affinity.js';
import {
  SESSION_AFFINITY_IGNORED,
  sessionAffinityParameters,
  sessionProducers,
} from './session-affinity-parameters.js';

/** llm-d's session-affinity-scorer. */
export const sessionAffinityScorer: ScorerDefinition = defineScorer({
  type: 'session-affinity-scorer',
  summary: '1 for the endpoint of the session, 0 for the others, and for all without one.',
  parameters: sessionAffinityParameters,
  ignored: SESSION_AFFINITY_IGNORED,
  consumes: ['session'],
  needs: sessionProducers,
  create: (parameters, host) => {
    const { find, hooks } = sessionAffinity(parameters, host);
    return {
      ...hooks,
      score: (context, candidates, scores) => {
        const bound = find(context, candidates);
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          scores[slot] = slot === bound ? 1 : 0;
        }
      },
    };
  },
});
