// Spreads a prefix that is in demand: where its holders have so many prompts to compute that it is
// sooner computed anew on an endpoint with none, it goes there. Endpoints that have prompts of their own are
// no such place: whatever is added delays all that wait there.

import { z } from 'zod';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { matchedBlocks } from './prefix-match.js';

const parameters = z.strictObject({
  margin: z
    .number()
    .min(0)
    .max(100)
    .default(0.25)
    .describe(
      'Share of the tokens to compute by which waiting must be longer: a prefix that is computed ' +
        'once more takes the time of an engine, and room in its cache.',
    ),
});

/** Warmpath's own. */
export const prefillWaitFilter: FilterDefinition = defineFilter({
  type: 'prefill-wait-filter',
  summary:
    'Where some candidates have no prompt tokens in flight, removes those with ' +
    'w + u > (1 + `margin`) · min(u of the candidates without), where an endpoint has w prompt tokens ' +
    'in flight and u tokens of this prompt still to compute.',
  parameters,
  consumes: ['in-flight', 'prefix-match', 'prompt-tokens'],
  create: ({ margin }) => ({
    filter: (context, candidates) => {
      // Without a count of the prompt's tokens there is nothing to compare.
      if (context.promptTokens === 0) return;
      const least = leastTokens(context, candidates);
      const bound = (1 + margin) * least.free;
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const waiting = waitingTokens(context, slot);
        if (waiting === 0) continue;
        const uncached = uncachedTokens(context, slot);
        const done = uncached === context.promptTokens ? least.done : least.doneByHolder;
        if (done <= waiting || bound < waiting + uncached) candidates.remove(slot);
      }
    },
  }),
});

/** Tokens until the prompt is computed where that is soonest. */
interface LeastTokens {
  /** On an endpoint without prompt tokens in flight. */
  free: number;
  /** On one that holds as much of it as anybody. */
  doneByHolder: number;
  /** On any. */
  done: number;
}

function leastTokens(context: SchedulingContext, candidates: CandidateSet): LeastTokens {
  const least: LeastTokens = { free: Infinity, doneByHolder: Infinity, done: Infinity };
  let leastUncached = Infinity;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const waiting = waitingTokens(context, slot);
    const uncached = uncachedTokens(context, slot);
    const done = waiting + uncached;
    least.done = Math.min(least.done, done);
    if (waiting === 0) least.free = Math.min(least.free, uncached);
    if (uncached > leastUncached) continue;
    least.doneByHolder = uncached < leastUncached ? done : Math.min(least.doneByHolder, done);
    leastUncached = uncached;
  }
  return least;
}

function waitingTokens(context: SchedulingContext, slot: number): number {
  return candidateState(context, slot).inFlight.uncachedPromptTokens;
}

function uncachedTokens(context: SchedulingContext, slot: number): number {
  return context.promptTokens - matchedBlocks(context, slot) * context.blockSize;
}
