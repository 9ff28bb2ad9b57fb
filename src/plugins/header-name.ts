// The schema of parameters that name a request header.

import { z } from 'zod';
import { droppedHeader, OWN_HEADERS } from '#contracts/header-names.js';

/**
 * A header name in any case, read as lower case, which is how requests carry them. One that no plugin
 * ever sees is refused: with it the plugin would do nothing, and nobody would be told.
 */
export function headerName(sentence: string): z.ZodString {
  return z
    .string()
    .trim()
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'expected the name of a header')
    .toLowerCase()
    .refine((name) => unseen(name) === null, { error: ({ input }) => unseen(String(input)) ?? '' })
    .describe(sentence);
}

/** Why no plugin sees the header, and what to do about it; null for one that they do. */
function unseen(name: string): string | null {
  // The host a client asked for is shown.
  if (name !== 'host' && OWN_HEADERS.includes(name)) {
    return 'expected a header that plugins see: this one is between the client and the router alone; use a name of your own';
  }
  switch (droppedHeader(name)) {
    case 'underscore':
      return 'expected a header without `_`: such headers are dropped, because some servers read `_` as `-`; let clients send it with `-`';
    case 'reserved':
      return 'expected a header that clients may send: by this one routers steer, and it is dropped; use a name of your own';
    default:
      return null;
  }
}
