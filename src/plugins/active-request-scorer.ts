// Prefers endpoints with few requests of this router in flight: known at once, however old the
// engines' own figures are.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { IGNORED_LOAD_PRODUCER } from './ignored.js';

const parameters = z.strictObject({
  idleThreshold: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe('Requests up to which an endpoint counts as idle.'),
  maxBusyScore: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('Score that no endpoint above that reaches, so that idle ones stand out.'),
  requestTimeout: z.union([z.string(), z.number()]).optional().describe('Deprecated by llm-d.'),
  inFlightLoadProducerName: z.string().optional().describe('Producer of the count in flight.'),
});

/** llm-d's active-request-scorer. */
export const activeRequestScorer: ScorerDefinition = defineScorer({
  type: 'active-request-scorer',
  summary:
    '1 up to `idleThreshold` requests in flight, else `maxBusyScore` · (max − requests) / max over ' +
    'the candidates.',
  parameters,
  ignored: [
    IGNORED_LOAD_PRODUCER,
    { paths: ['requestTimeout'], why: 'A request counts until it ends, whenever that is.' },
  ],
  consumes: ['in-flight'],
  create: ({ idleThreshold, maxBusyScore }) => ({
    score: (context, candidates, scores) => {
      let most = 0;
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        most = Math.max(most, candidateState(context, slot).inFlight.requests);
      }
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const { requests } = candidateState(context, slot).inFlight;
        scores[slot] = requests <= idleThreshold ? 1 : ((most - requests) / most) * maxBusyScore;
      }
    },
  }),
});
