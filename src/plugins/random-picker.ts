// Picks uniformly at random, whatever the scores.

import type { PickerDefinition } from '#contracts/plugin.js';
import { definePicker } from '#contracts/plugin.js';
import { pickerParameters } from './picker-parameters.js';

/** llm-d's random-picker. */
export const randomPicker: PickerDefinition = definePicker({
  type: 'random-picker',
  summary: 'Every candidate with the same probability, without repetition.',
  parameters: pickerParameters,
  consumes: [],
  create: ({ maxNumOfEndpoints }, { random }) => ({
    endpointsMax: maxNumOfEndpoints,
    pick: (_context, candidates, _totals, picked) => {
      const wanted = Math.min(maxNumOfEndpoints, picked.length);
      let count = 0;
      while (count < wanted) {
        let found = -1;
        let seen = 0;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const at = picked.indexOf(slot);
          if (at >= 0 && at < count) continue;
          seen += 1;
          if (random.next() * seen < 1) found = slot;
        }
        if (found < 0) break;
        picked[count] = found;
        count += 1;
      }
      return count;
    },
  }),
});
