// Third stage: from the endpoints that serve the model to the candidates. Builtin exclusions come
// first and cannot be configured away; then the profile's filters, in order. Who was left out by
// what is kept as a small number per slot for the explanation.

import type { Profile } from '#contracts/plugin.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';

/** Reason of those that the request's gateway did not name. */
export const ENDPOINT_SUBSET = 'endpoint-subset';

/** Reasons that are not plugins; number n − BUILTINS.length is the profile's filter of that index. */
const BUILTINS = [null, 'other-model', 'unhealthy', 'draining', ENDPOINT_SUBSET] as const;

/** Name of an exclusion as it is shown to people; null for a candidate. */
export function exclusionName(exclusion: number, profile: Profile): string | null {
  return BUILTINS[exclusion] ?? profile.filters[exclusion - BUILTINS.length]?.type ?? null;
}

/** Fills `eligible` with the healthy endpoints that serve the model and may take the request. */
export function excludeUnusable(
  { fleet, subset }: Pick<SchedulingContext, 'fleet' | 'subset'>,
  serving: CandidateSet,
  eligible: CandidateSet,
  excludedBy: Uint8Array,
): void {
  eligible.clear();
  for (let slot = 0; slot < fleet.bySlot.length; slot += 1) {
    const state = fleet.bySlot[slot];
    excludedBy[slot] = 0;
    if (state === null || state === undefined) continue;
    if (!serving.has(slot)) excludedBy[slot] = 1;
    else if (!state.healthy) excludedBy[slot] = 2;
    else if (state.draining) excludedBy[slot] = 3;
    else if (subset?.has(slot) === false) excludedBy[slot] = 4;
    else eligible.add(slot);
  }
}

/** Runs the profile's filters over `candidates`; `before` is scratch space. */
export function applyFilters(
  profile: Profile,
  context: SchedulingContext,
  candidates: CandidateSet,
  before: CandidateSet,
  excludedBy: Uint8Array,
): void {
  for (let position = 0; position < profile.filters.length; position += 1) {
    before.copyFrom(candidates);
    profile.filters[position]?.plugin.filter(context, candidates);
    for (let slot = before.next(0); slot >= 0; slot = before.next(slot + 1)) {
      if (!candidates.has(slot)) excludedBy[slot] = BUILTINS.length + position;
    }
  }
}
