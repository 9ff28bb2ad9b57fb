// The parameter schema of plugins that take none.

import { z } from 'zod';
import type { ParameterSchema } from '#contracts/plugin.js';

/** Accepts the empty object only. */
export const noParameters: ParameterSchema<Readonly<Record<string, never>>> = z.strictObject({});
