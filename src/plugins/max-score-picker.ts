// Picks the endpoints with the highest totals. Equal totals go to whoever has the fewest requests
// of this router in flight, which is known at once and so keeps a burst from herding; what is
// still equal is drawn at random.

import type { PickerDefinition } from '#contracts/plugin.js';
import { definePicker } from '#contracts/plugin.js';
import { candidateState } from '#contracts/scheduling.js';
import { BestFew } from './best-few.js';
import { pickerParameters } from './picker-parameters.js';

/** llm-d's max-score-picker with in-flight tie-breaking. */
export const maxScorePicker: PickerDefinition = definePicker({
  type: 'max-score-picker',
  summary: 'Highest total; ties go to the fewest requests in flight, then to chance.',
  parameters: pickerParameters,
  consumes: [],
  create: ({ maxNumOfEndpoints }, { random }) => {
    const best = new BestFew();
    return {
      endpointsMax: maxNumOfEndpoints,
      pick: (context, candidates, totals, picked) => {
        best.begin(Math.min(maxNumOfEndpoints, picked.length), picked);
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const total = totals[slot] as number;
          if (!best.mayTake(total)) continue;
          // A number of its own orders each candidate among its equals, all orders alike likely.
          best.take(slot, total, candidateState(context, slot).inFlight.requests, random.next());
        }
        return best.count;
      },
    };
  },
});
