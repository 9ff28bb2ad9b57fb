// Whom to try when nobody of those a policy prefers gives an answer. Filters that only prefer are left
// out and the rest of the policy orders who remains: they come after the picked ones, and only where
// those are fewer than may be tried. Profiles without such a filter have none of this.

import type { Placed, Profile } from '#contracts/plugin.js';
import type { Filter, SchedulingContext } from '#contracts/scheduling.js';
import { CandidateSet } from '#contracts/scheduling.js';
import { pick } from './pick.js';
import type { ScoreBoard } from './score.js';
import { score, scoreBoard } from './score.js';

/** The arrays in which fallbacks are found. */
export interface FallbackCycle {
  /** Filters whose removals are final. */
  readonly filters: readonly Placed<Filter>[];
  readonly candidates: CandidateSet;
  readonly board: ScoreBoard;
}

/** Null for a profile whose filters are all final. */
export function fallbackCycle(profile: Profile, endpointCapacity: number): FallbackCycle | null {
  const filters = profile.filters.filter(({ plugin }) => plugin.prefers !== true);
  if (filters.length === profile.filters.length) return null;
  return {
    filters,
    candidates: new CandidateSet(endpointCapacity),
    board: scoreBoard(profile, endpointCapacity),
  };
}

/** Rates who is `eligible` and may be tried after `candidates`; false when there is nobody, or no need. */
export function rateFallbacks(
  { filters, candidates: others, board }: FallbackCycle,
  profile: Profile,
  context: SchedulingContext,
  sets: {
    readonly eligible: CandidateSet;
    readonly candidates: CandidateSet;
    readonly wanted: number;
  },
): boolean {
  const { eligible, candidates, wanted } = sets;
  let count = 0;
  let removed = false;
  for (let slot = eligible.next(0); slot >= 0; slot = eligible.next(slot + 1)) {
    if (!candidates.has(slot)) removed = true;
    else count += 1;
    if (count === wanted) return false;
  }
  if (!removed) return false;
  others.copyFrom(eligible);
  for (const { plugin } of filters) plugin.filter(context, others);
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    others.remove(slot);
  }
  if (others.next(0) < 0) return false;
  score(profile, context, others, board);
  return true;
}

/** Picks among those just rated into the rest of `picked`; returns how many. */
export function pickFallbacks(
  { candidates, board }: FallbackCycle,
  profile: Profile,
  context: SchedulingContext,
  picked: Uint32Array,
): number {
  if (picked.length === 0) return 0;
  return pick(profile.picker.plugin, context, candidates, board.totals, picked);
}
