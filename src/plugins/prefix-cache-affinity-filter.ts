// Keeps a prompt with the endpoints that hold most of it, unless they are so far behind with their
// prefills that computing the prompt elsewhere is sooner done. The others could compute it too, and are
// tried when the holders give no answer.

import { z } from 'zod';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { CandidateSet, candidateState } from '#contracts/scheduling.js';
import { IGNORED_LOAD_PRODUCER, IGNORED_MATCH_PRODUCER } from './ignored.js';
import { inFlightTokens } from './in-flight.js';
import { matchedShare } from './prefix-match.js';

const parameters = z.strictObject({
  affinityThreshold: z
    .number()
    .min(0)
    .max(1)
    .default(0.8)
    .describe('Share of the prompt an endpoint must hold to count as one of its own; 0 is off.'),
  explorationProbability: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('Probability of keeping everyone, whoever holds what.'),
  maxTTFTPenaltyMs: z
    .number()
    .min(0)
    .default(18_000)
    .describe(
      'Milliseconds by which the least busy holder may be behind the least busy other; 0: any.',
    ),
  ttftSource: z
    .enum(['prefillThroughput', 'latencyPredictor'])
    .refine((source) => source !== 'latencyPredictor', {
      error: 'latencyPredictor needs latency prediction, which this version does not have',
    })
    .default('prefillThroughput')
    .describe('How the time to the first token is estimated: from what is in flight.'),
  peakPrefillThroughput: z
    .number()
    .positive()
    .default(15_928)
    .describe('Prompt tokens an endpoint computes per second; turns tokens in flight into time.'),
  prefixMatchInfoProducerName: z.string().optional().describe('Producer of the match.'),
  inFlightLoadProducerName: z.string().optional().describe('Producer of the count in flight.'),
});

/** llm-d's prefix-cache-affinity-filter. */
export const prefixCacheAffinityFilter: FilterDefinition = defineFilter({
  type: 'prefix-cache-affinity-filter',
  summary:
    'Keeps the endpoints that hold `affinityThreshold` of the prompt; everyone when nobody does, and ' +
    'when min(t of those) − min(t of the others) > `maxTTFTPenaltyMs` with ' +
    't = tokensInFlight / `peakPrefillThroughput` · 1,000. Those it removes are tried when the others ' +
    'give no answer.',
  parameters,
  ignored: [IGNORED_MATCH_PRODUCER, IGNORED_LOAD_PRODUCER],
  consumes: ['prefix-match', 'in-flight'],
  create: (settings, { endpointCapacity, random }) => {
    const holders = new CandidateSet(endpointCapacity);
    const { affinityThreshold, explorationProbability } = settings;
    return {
      prefers: true,
      filter: (context, candidates) => {
        if (affinityThreshold === 0) return;
        if (explorationProbability > 0 && random.next() < explorationProbability) return;
        holders.clear();
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          if (matchedShare(context, slot) >= affinityThreshold) holders.add(slot);
        }
        if (holders.next(0) < 0 || tooFarBehind(context, candidates, holders, settings)) return;
        candidates.copyFrom(holders);
      },
    };
  },
});

/** Whether waiting for the least busy holder costs more than the penalty allows. */
function tooFarBehind(
  context: SchedulingContext,
  candidates: CandidateSet,
  holders: CandidateSet,
  settings: { readonly maxTTFTPenaltyMs: number; readonly peakPrefillThroughput: number },
): boolean {
  if (settings.maxTTFTPenaltyMs === 0) return false;
  let holding = Number.POSITIVE_INFINITY;
  let other = Number.POSITIVE_INFINITY;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const tokens = inFlightTokens(candidateState(context, slot));
    if (holders.has(slot)) holding = Math.min(holding, tokens);
    else other = Math.min(other, tokens);
  }
  // With nobody else this is −Infinity: there is nowhere to go.
  const penaltyMs = ((holding - other) / settings.peakPrefillThroughput) * 1000;
  return penaltyMs > settings.maxTTFTPenaltyMs;
}
