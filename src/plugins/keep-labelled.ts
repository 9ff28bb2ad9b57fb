// The filter behind `by-label` and the role filters: keeps endpoints whose label has one of some
// values.

import type { Filter } from '#contracts/scheduling.js';
import { keepEndpoints } from './keep-endpoints.js';
import { labelOf } from './labels.js';

export interface LabelChoice {
  readonly label: string;
  readonly values: ReadonlySet<string>;
  /** Whether endpoints without the label are kept too. */
  readonly unlabelled: boolean;
}

/** Makes the filter. */
export function keepLabelled({ label, values, unlabelled }: LabelChoice): Filter {
  return keepEndpoints(({ labels }) => {
    const value = labelOf(labels, label);
    return value === undefined ? unlabelled : values.has(value);
  });
}
