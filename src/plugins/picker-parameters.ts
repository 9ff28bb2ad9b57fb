// The parameters every picker takes.

import { z } from 'zod';
import { ATTEMPTS_MAX, ENDPOINTS_MAX } from '#contracts/limits.js';

export interface PickerParameters {
  readonly maxNumOfEndpoints: number;
}

/** How many endpoints a picker names, best first. */
export const pickerParameters: z.ZodType<PickerParameters> = z.strictObject({
  maxNumOfEndpoints: z
    .number()
    .int()
    .min(1)
    .max(ENDPOINTS_MAX)
    .default(ATTEMPTS_MAX)
    .describe(
      'Endpoints to name, best first: the ones after the first are tried while it cannot be ' +
        `reached. Never more than ${ATTEMPTS_MAX} are tried.`,
    ),
});
