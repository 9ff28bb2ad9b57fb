// Fifth stage: chooses among the scored candidates. What a picker names is checked before anyone
// believes it; the pick by fewest in flight stands in when a policy fails.

import { assert } from '#contracts/assert.js';
import type { CandidateSet, Picker, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';

/** Runs the picker; throws when it names nobody, a stranger, or somebody twice. */
export function pick(
  picker: Picker,
  context: SchedulingContext,
  candidates: CandidateSet,
  totals: Float64Array,
  picked: Uint32Array,
): number {
  const count = picker.pick(context, candidates, totals, picked);
  // Texts without figures: what a function for them refers to would be an object in every turn.
  const inRange = Number.isInteger(count) && count > 0 && count <= picked.length;
  assert(inRange, 'the picker named no endpoint, or more than may be tried');
  for (let position = 0; position < count; position += 1) {
    const slot = picked[position] ?? -1;
    assert(candidates.has(slot), 'the picker named an endpoint that is no candidate');
    for (let before = 0; before < position; before += 1) {
      assert(picked[before] !== slot, 'the picker named an endpoint twice');
    }
  }
  return count;
}

/** Picks the candidates with the fewest requests in flight; the lowest slot among equals. */
export function pickFewestInFlight(
  context: SchedulingContext,
  candidates: CandidateSet,
  picked: Uint32Array,
): number {
  let count = 0;
  while (count < picked.length) {
    let found = -1;
    let fewest = Number.POSITIVE_INFINITY;
    for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
      const at = picked.indexOf(slot);
      if (at >= 0 && at < count) continue;
      const requests = candidateState(context, slot).inFlight.requests;
      if (requests >= fewest) continue;
      found = slot;
      fewest = requests;
    }
    if (found < 0) break;
    picked[count] = found;
    count += 1;
  }
  return count;
}
