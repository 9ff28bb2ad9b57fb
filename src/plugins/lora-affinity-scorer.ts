// Prefers endpoints that have the request's adapter in memory, then those with room for it.

import type { EndpointState } from '#contracts/endpoint.js';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { isFresh, staleLoses } from './freshness.js';
import { noParameters } from './no-parameters.js';

/** llm-d's lora-affinity-scorer. */
export const loraAffinityScorer: ScorerDefinition = defineScorer({
  type: 'lora-affinity-scorer',
  summary:
    '1 where the adapter is running, 0.8 where there is room for another one (0.7 if the engine has ' +
    'to load it first, see `adapters`), 0.6 where requests wait for it, else 0; a base model counts ' +
    'as an adapter that runs nowhere.',
  parameters: noParameters,
  consumes: ['adapters'],
  create: (_parameters, { metricsStaleAfterMs }) => ({
    score: (context, candidates, scores) => {
      const ignoreStale = staleLoses(context, candidates, metricsStaleAfterMs);
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const state = candidateState(context, slot);
        const ignored = ignoreStale && !isFresh(state, context.nowMs, metricsStaleAfterMs);
        scores[slot] = ignored ? 0 : adapterScore(state, context.adapter);
      }
    },
  }),
});

function adapterScore({ endpoint, reported }: EndpointState, adapter: string): number {
  const { maxAdapters, runningAdapters, waitingAdapters } = reported;
  if (runningAdapters.has(adapter)) return 1;
  if (runningAdapters.size + waitingAdapters.size < maxAdapters) {
    const toLoad = endpoint.models.some(({ id, loaded }) => !loaded && id === adapter);
    return toLoad ? 0.7 : 0.8;
  }
  return waitingAdapters.has(adapter) ? 0.6 : 0;
}
