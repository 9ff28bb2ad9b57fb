// Keeps a burst from piling up on one endpoint, however well it scores: the rule of consistent
// hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016), over requests in flight. The
// capacity of all together is always more than what is in flight, so somebody is always left. It spreads
// and protects nobody: those above the bound are tried when the others give no answer.

import { z } from 'zod';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';

const parameters = z.strictObject({
  slack: z
    .number()
    .min(0.01)
    .max(10)
    .default(0.5)
    .describe(
      'Share by which an endpoint may be above the mean. With 0.25 ten prefixes on eight endpoints ' +
        'are computed 15 times instead of 13.',
    ),
  freeRequests: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(16)
    .describe(
      'Requests an endpoint may always have: in a quiet fleet the mean says little, and spreading ' +
        'prompts that share a prefix costs a prefill each.',
    ),
});

/** Warmpath's own. */
export const boundedLoadFilter: FilterDefinition = defineFilter({
  type: 'bounded-load-filter',
  summary:
    'Removes the endpoints that have at least max(`freeRequests`, ⌈(1 + `slack`) · (m + 1) / n⌉) ' +
    'requests of this router in flight, where the n candidates have m together. Those it removes are ' +
    'tried when the others give no answer.',
  parameters,
  consumes: ['in-flight'],
  create: ({ slack, freeRequests }) => ({
    prefers: true,
    filter: (context, candidates) => {
      let endpoints = 0;
      let requests = 0;
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        endpoints += 1;
        requests += candidateState(context, slot).inFlight.requests;
      }
      const bound = Math.max(freeRequests, Math.ceil(((1 + slack) * (requests + 1)) / endpoints));
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        if (candidateState(context, slot).inFlight.requests >= bound) candidates.remove(slot);
      }
    },
  }),
});
