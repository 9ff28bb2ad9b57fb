// Keeps a prompt from waiting for prefills of others when it need not. A prefix in demand goes on to
// an endpoint that has nothing to compute, once its holders have so much that computing it anew is
// sooner done; endpoints with prompts of their own are no such place, because all that wait there would
// wait longer. Where it has to be one of them, it goes where all that wait there wait least together;
// among holders where it is done before the other has begun. Waiting is better than no answer: those
// it removes are tried when the others give none.

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
    .default(0.02)
    .describe(
      'Share by which waiting must be longer than computing it a second time, which takes the time of ' +
        'an engine and room in its cache. Where two hold it already it is in demand, and goes on at once.',
    ),
});

/** Warmpath's own. */
export const prefillWaitFilter: FilterDefinition = defineFilter({
  type: 'prefill-wait-filter',
  summary:
    'With w prompt tokens in flight at an endpoint and u tokens of this prompt still to compute there, ' +
    'removes endpoints with w > 0 where w + u > (1 + `margin`) · u of one that has w = 0 (more than u, ' +
    'if several hold most of the prompt), or where w is at least w + u of one that holds most of it; of ' +
    'those that hold nothing of it, and have r requests in flight, all whose (r + 1) · (w + u) is more ' +
    'than (1 + `margin`) times the least. ' +
    'Those it removes are tried when the others give no answer.',
  parameters,
  consumes: ['in-flight', 'prefix-match', 'prompt-tokens'],
  create: ({ margin }) => {
    const least: LeastTokens = { free: 0, doneByHolder: 0, holders: 0, together: 0 };
    return {
      prefers: true,
      filter: (context, candidates) => {
        // Without a count of the prompt's tokens there is nothing to compare.
        if (context.promptTokens === 0) return;
        readLeastTokens(context, candidates, least);
        const bound = least.holders > 1 ? least.free : (1 + margin) * least.free;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const waiting = waitingTokens(context, slot);
          if (waiting === 0) continue;
          const uncached = uncachedTokens(context, slot);
          const isCold = uncached === context.promptTokens;
          if (
            least.doneByHolder <= waiting ||
            bound < waiting + uncached ||
            (isCold && (1 + margin) * least.together < together(context, slot, waiting + uncached))
          ) {
            candidates.remove(slot);
          }
        }
      },
    };
  },
});

/** Tokens until the prompt is computed where that is soonest. */
interface LeastTokens {
  /** On an endpoint without prompt tokens in flight. */
  free: number;
  /** On one that holds some of it, and as much as anybody. */
  doneByHolder: number;
  /** How many there are of those. */
  holders: number;
  /** On one that holds nothing of it, for each request there and the prompt itself. */
  together: number;
}

function readLeastTokens(
  context: SchedulingContext,
  candidates: CandidateSet,
  least: LeastTokens,
): void {
  least.free = Number.POSITIVE_INFINITY;
  least.doneByHolder = Number.POSITIVE_INFINITY;
  least.holders = 0;
  least.together = Number.POSITIVE_INFINITY;
  let leastUncached = context.promptTokens;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const waiting = waitingTokens(context, slot);
    const uncached = uncachedTokens(context, slot);
    const done = waiting + uncached;
    if (waiting === 0) least.free = Math.min(least.free, uncached);
    if (uncached === context.promptTokens) {
      least.together = Math.min(least.together, together(context, slot, done));
    } else if (uncached <= leastUncached) {
      const holdsMore = uncached < leastUncached;
      least.doneByHolder = holdsMore ? done : Math.min(least.doneByHolder, done);
      least.holders = holdsMore ? 1 : least.holders + 1;
      leastUncached = uncached;
    }
  }
}

/** What all requests there would wait for if each waited for so many tokens, the prompt's own too. */
function together(context: SchedulingContext, slot: number, tokens: number): number {
  return (candidateState(context, slot).inFlight.requests + 1) * tokens;
}

function waitingTokens(context: SchedulingContext, slot: number): number {
  return candidateState(context, slot).inFlight.uncachedPromptTokens;
}

function uncachedTokens(context: SchedulingContext, slot: number): number {
  return context.promptTokens - matchedBlocks(context, slot) * context.blockSize;
}
