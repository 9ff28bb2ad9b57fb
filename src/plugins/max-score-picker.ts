// Picks the endpoints with the highest totals. Equal totals go to whoever has the fewest requests
// of this router in flight, which is known at once and so keeps a burst from herding; what is
// still equal is drawn at random.

import type { PickerDefinition } from '#contracts/plugin.js';
import { definePicker } from '#contracts/plugin.js';
import type { Random } from '#contracts/random.js';
import type { CandidateSet, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { pickerParameters } from './picker-parameters.js';

/** llm-d's max-score-picker with in-flight tie-breaking. */
export const maxScorePicker: PickerDefinition = definePicker({
  type: 'max-score-picker',
  summary: 'Highest total; ties go to the fewest requests in flight, then to chance.',
  parameters: pickerParameters,
  consumes: [],
  create: ({ maxNumOfEndpoints }, { random }) => ({
    pick: (context, candidates, totals, picked) => {
      const wanted = Math.min(maxNumOfEndpoints, picked.length);
      let count = 0;
      while (count < wanted) {
        const slot = best(context, candidates, totals, picked, count, random);
        if (slot < 0) break;
        picked[count] = slot;
        count += 1;
      }
      return count;
    },
  }),
});

/** Best candidate that is not among the first `count` of `picked`, −1 when there is none. */
function best(
  context: SchedulingContext,
  candidates: CandidateSet,
  totals: Float64Array,
  picked: Uint32Array,
  count: number,
  random: Random,
): number {
  let found = -1;
  let foundTotal = 0;
  let foundInFlight = 0;
  let equals = 0;
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const at = picked.indexOf(slot);
    if (at >= 0 && at < count) continue;
    const total = totals[slot] ?? 0;
    const inFlight = candidateState(context, slot).inFlight.requests;
    const order = found < 0 ? 1 : total - foundTotal || foundInFlight - inFlight;
    if (order < 0) continue;
    // Reservoir sampling: each of n equals is kept with probability 1/n.
    equals = order > 0 ? 1 : equals + 1;
    if (order === 0 && random.next() * equals >= 1) continue;
    found = slot;
    foundTotal = total;
    foundInFlight = inFlight;
  }
  return found;
}
