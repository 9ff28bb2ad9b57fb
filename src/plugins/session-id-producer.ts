// Finds the session's id in a header or a cookie, for plugins that go by sessions.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { headerName } from './header-name.js';

const parameters = z
  .strictObject({
    headerName: headerName('Request header that has the id.').optional(),
    cookieName: z
      .string()
      .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'expected the name of a cookie')
      .optional()
      .describe('Cookie that has the id.'),
  })
  .refine(
    ({ headerName: header, cookieName }) => (header === undefined) !== (cookieName === undefined),
    {
      error: 'expected either `headerName` or `cookieName`',
    },
  );

/** llm-d's session-id-producer. */
export const sessionIdProducer: ProducerDefinition = defineProducer({
  type: 'session-id-producer',
  summary:
    'The id of the session from the header or the cookie, for plugins that name the attribute ' +
    '`session-id`.',
  parameters,
  consumes: [],
  create: ({ headerName: header, cookieName }) => ({
    reads:
      cookieName === undefined
        ? [{ header: header ?? '' }]
        : [{ header: 'cookie', cookie: cookieName }],
    produce: ({ headers, signals }) => {
      signals.sessionId =
        header === undefined
          ? cookieOf(headers()['cookie'] ?? '', `${cookieName}=`)
          : (headers()[header] ?? '');
    },
  }),
});

/** Value of the first cookie that begins with `opening` (`name=`), empty when there is none. */
function cookieOf(cookies: string, opening: string): string {
  for (let from = 0; from < cookies.length; ) {
    const found = cookies.indexOf(';', from);
    const end = found < 0 ? cookies.length : found;
    const cookie = cookies.slice(from, end).trim();
    if (cookie.startsWith(opening)) return cookie.slice(opening.length);
    from = end + 1;
  }
  return '';
}
