// Draws endpoints with a probability proportional to their totals: A-Res of Efraimidis and Spirakis
// (Weighted random sampling with a reservoir, 2006), whose key is U^(1/weight). The logarithm of the
// key orders candidates alike and does not underflow for small weights.

import type { PickerDefinition } from '#contracts/plugin.js';
import { definePicker } from '#contracts/plugin.js';
import { BestFew } from './best-few.js';
import { pickerParameters } from './picker-parameters.js';

/** llm-d's weighted-random-picker. */
export const weightedRandomPicker: PickerDefinition = definePicker({
  type: 'weighted-random-picker',
  summary:
    'Largest U^(1/total) with U drawn from (0, 1]: the first with a probability proportional to its ' +
    'total. Totals of 0 come last, and are drawn evenly when there are no others.',
  parameters: pickerParameters,
  consumes: [],
  create: ({ maxNumOfEndpoints }, { random }) => {
    const best = new BestFew();
    return {
      endpointsMax: maxNumOfEndpoints,
      pick: (_context, candidates, totals, picked) => {
        best.begin(Math.min(maxNumOfEndpoints, picked.length), picked);
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const draw = 1 - random.next();
          const total = totals[slot] as number;
          best.take(slot, total > 0 ? Math.log(draw) / total : Number.NEGATIVE_INFINITY, 0, draw);
        }
        return best.count;
      },
    };
  },
});
