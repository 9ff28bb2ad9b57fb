// The schema of parameters that name a request header.

import { z } from 'zod';

/** A header name in any case, read as lower case, which is how requests carry them. */
export function headerName(sentence: string): z.ZodString {
  return z
    .string()
    .trim()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'expected the name of a header')
    .toLowerCase()
    .describe(sentence);
}
