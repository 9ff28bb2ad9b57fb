// The filter behind `by-label` and the role filters: keeps endpoints whose label has one of some
// values.

import type { Filter } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { labelOf } from './labels.js';

export interface LabelChoice {
  readonly label: string;
  readonly values: ReadonlySet<string>;
  /** Whether endpoints without the label are kept too. */
  readonly unlabelled: boolean;
}

/** Makes the filter. */
export function keepLabelled({ label, values, unlabelled }: LabelChoice): Filter {
  return {
    filter: (context, candidates) => {
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        const value = labelOf(candidateState(context, slot).endpoint.labels, label);
        if (value === undefined ? !unlabelled : !values.has(value)) candidates.remove(slot);
      }
    },
  };
}
