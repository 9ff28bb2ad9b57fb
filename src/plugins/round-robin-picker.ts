// Picks the candidates in turn, whatever the scores. Each pool has its own turn: with one for all,
// models asked for alternately would each see only some of their endpoints.

import type { PickerDefinition } from '#contracts/plugin.js';
import { definePicker } from '#contracts/plugin.js';
import { pickerParameters } from './picker-parameters.js';

/** One endpoint after the other. */
export const roundRobinPicker: PickerDefinition = definePicker({
  type: 'round-robin-picker',
  summary: 'The next candidate of the pool in the order of the configuration.',
  parameters: pickerParameters,
  consumes: [],
  create: ({ maxNumOfEndpoints }) => {
    // Pools are base models that endpoints serve, never names a client made up: few.
    const nextSlotByPool = new Map<string, number>();
    return {
      endpointsMax: maxNumOfEndpoints,
      pick: (context, candidates, _totals, picked) => {
        const wanted = Math.min(maxNumOfEndpoints, picked.length);
        const first = candidates.next(0);
        if (first < 0) return 0;
        let slot = candidates.next(nextSlotByPool.get(context.pool) ?? 0);
        if (slot < 0) slot = first;
        const chosen = slot;
        let count = 0;
        do {
          picked[count] = slot;
          count += 1;
          slot = candidates.next(slot + 1);
          if (slot < 0) slot = first;
        } while (count < wanted && slot !== chosen);
        return count;
      },
      // Not in `pick`: who only asks where a request would go must not take its turn. A request that
      // goes on elsewhere has had its turn.
      picked: ({ pool }, slot) => {
        nextSlotByPool.set(pool, slot + 1);
        return undefined;
      },
    };
  },
});
