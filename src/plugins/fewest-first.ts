// Min-max scores over the candidates for "the fewer, the better": the shared formula of the queue
// and running-requests scorers, (max − value) / (max − min), 1 for everyone when all are equal.

import type { ReportedLoad } from '#contracts/endpoint.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { isFresh, staleLoses } from './freshness.js';

/** Writes the min-max score of `figureOf` for every candidate; stale ones as freshness.ts says. */
export function scoreFewestFirst(
  context: SchedulingContext,
  candidates: CandidateSet,
  scores: Float64Array,
  staleAfterMs: number,
  figureOf: (reported: ReportedLoad) => number,
): void {
  const ignoreStale = staleLoses(context, candidates, staleAfterMs);
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const state = candidateState(context, slot);
    if (ignoreStale && !isFresh(state, context.nowMs, staleAfterMs)) continue;
    const value = figureOf(state.reported);
    if (value < least) least = value;
    if (value > most) most = value;
  }
  const range = most - least;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const state = candidateState(context, slot);
    if (ignoreStale && !isFresh(state, context.nowMs, staleAfterMs)) scores[slot] = 0;
    else scores[slot] = range === 0 ? 1 : (most - figureOf(state.reported)) / range;
  }
}
