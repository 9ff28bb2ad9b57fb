// Fourth stage: every scorer rates every candidate; ratings are clamped to [0, 1], weighted and
// summed. A rating outside the range, or none at all, is a fault of the scorer: counted, not fatal.

import { assert } from '#contracts/assert.js';
import type { Profile } from '#contracts/plugin.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';

/** Arrays one cycle of scoring writes, by slot; `raw` and `violations` by scorer first. */
export interface ScoreBoard {
  readonly totals: Float64Array;
  readonly raw: readonly Float64Array[];
  readonly violations: Uint32Array;
}

/** Makes the arrays for a profile. */
export function scoreBoard(profile: Profile, endpointCapacity: number): ScoreBoard {
  return {
    totals: new Float64Array(endpointCapacity),
    raw: profile.scorers.map(() => new Float64Array(endpointCapacity)),
    violations: new Uint32Array(profile.scorers.length),
  };
}

/** Fills the board for the candidates of one request. */
export function score(
  profile: Profile,
  context: SchedulingContext,
  candidates: CandidateSet,
  board: ScoreBoard,
): void {
  const { totals } = board;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) totals[slot] = 0;
  // By position: an iterator of entries would leave a pair behind for every scorer.
  for (let position = 0; position < profile.scorers.length; position += 1) {
    const scorer = profile.scorers[position];
    const raw = board.raw[position];
    assert(scorer !== undefined && raw !== undefined, () => `the board has no row ${position}`);
    const { plugin, weight } = scorer;
    // A scorer that forgets a candidate must not leave the previous request's rating there.
    forget(raw, candidates);
    plugin.score(context, candidates, raw);
    board.violations[position] = addWeighted(raw, weight, candidates, totals);
  }
}

function forget(raw: Float64Array, candidates: CandidateSet): void {
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    raw[slot] = Number.NaN;
  }
}

/** Clamps `raw` in place, adds it to `totals`, returns how many values had to be changed. */
function addWeighted(
  raw: Float64Array,
  weight: number,
  candidates: CandidateSet,
  totals: Float64Array,
): number {
  let violations = 0;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    let rating = raw[slot] ?? Number.NaN;
    if (!(rating >= 0 && rating <= 1)) {
      violations += 1;
      rating = rating > 1 ? 1 : 0;
      raw[slot] = rating;
    }
    totals[slot] = (totals[slot] ?? 0) + weight * rating;
  }
  return violations;
}
