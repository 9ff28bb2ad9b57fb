// Keeps endpoints that are over no cap: a hard limit on what an endpoint may have, whatever its
// scores are.

import { z } from 'zod';
import type { EndpointState } from '#contracts/endpoint.js';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { CandidateSet, candidateState } from '#contracts/scheduling.js';
import { IGNORED_LOAD_PRODUCER } from './ignored.js';

const FIGURES = {
  'active-requests': ({ inFlight }: EndpointState) => inFlight.requests,
  'running-requests': ({ reported }: EndpointState) => reported.runningRequests,
  'waiting-queue': ({ reported }: EndpointState) => reported.waitingRequests,
  'kv-cache-utilization': ({ reported }: EndpointState) => reported.kvCacheUsage,
} as const;
type Metric = keyof typeof FIGURES;
const METRICS = Object.keys(FIGURES) as [Metric, ...Metric[]];

const parameters = z.strictObject({
  conditions: z
    .array(
      z.strictObject({
        metric: z.enum(METRICS).describe('What is capped.'),
        maxValue: z.number().min(0).describe('Largest value an endpoint may have and stay.'),
      }),
    )
    .min(1)
    .max(16)
    .describe('Caps; an endpoint over any of them is removed.'),
  fallbackOnEmpty: z
    .boolean()
    .default(false)
    .describe('Whether everyone stays when everyone is over a cap; otherwise the answer is 429.'),
  inFlightLoadProducerName: z.string().optional().describe('Producer of the count in flight.'),
});

/** llm-d's utilization-filter. */
export const utilizationFilter: FilterDefinition = defineFilter({
  type: 'utilization-filter',
  summary:
    'Keeps the endpoints of which no capped figure is above its cap: requests this router has in ' +
    'flight there, or running requests, waiting requests and KV usage as last scraped (0 before the ' +
    'first scrape).',
  parameters,
  ignored: [IGNORED_LOAD_PRODUCER],
  consumes: ['in-flight', 'running', 'waiting', 'kv-cache-usage'],
  create: ({ conditions, fallbackOnEmpty }, { endpointCapacity }) => {
    const caps = conditions.map(({ metric, maxValue }) => ({ of: FIGURES[metric], maxValue }));
    const before = new CandidateSet(endpointCapacity);
    return {
      filter: (context, candidates) => {
        before.copyFrom(candidates);
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const state = candidateState(context, slot);
          for (const cap of caps) if (cap.of(state) > cap.maxValue) candidates.remove(slot);
        }
        if (fallbackOnEmpty && candidates.next(0) < 0) candidates.copyFrom(before);
      },
    };
  },
});
