// Parameters of session-affinity-filter and session-affinity-scorer.

import { z } from 'zod';
import { SESSION_TOKEN_HEADER } from '#contracts/header-names.js';
import type { IgnoredParameters, NeededProducer } from '#contracts/plugin.js';
import { headerName } from './header-name.js';

/** Where the id of a session is: in a header, or found out by a producer. */
export interface SessionSource {
  readonly header?: string | undefined;
  readonly attribute?: 'agent-identity' | 'session-id' | undefined;
}

/** Parameters of both plugins. */
export interface SessionAffinityParameters {
  readonly strategy: 'encoded_endpoint_header' | 'session_id';
  readonly encodedEndpointHeaderConfig: { readonly header: string };
  readonly sessionIdConfig: {
    readonly sources: readonly SessionSource[];
    readonly evictionTtlSeconds: number;
  };
}

const source = z
  .strictObject({
    header: headerName('Request header that has the id.').optional(),
    attribute: z
      .enum(['agent-identity', 'session-id'])
      .optional()
      .describe(
        'What the producer `agent-identity`, made when there is none, or `session-id-producer` found out.',
      ),
  })
  .refine(({ header, attribute }) => (header === undefined) !== (attribute === undefined), {
    error: 'expected either `header` or `attribute`',
  });

export const sessionAffinityParameters: z.ZodType<SessionAffinityParameters> = z.strictObject({
  strategy: z
    .enum(['encoded_endpoint_header', 'session_id'])
    .default('encoded_endpoint_header')
    .describe(
      'Who remembers: the client, by a header of the answer that it sends back, or the router, by ' +
        'the id of the session.',
    ),
  profileName: z.string().optional().describe('Profile whose pick counts.'),
  encodedEndpointHeaderConfig: z
    .strictObject({
      header: headerName('Header of answers and requests that carries the endpoint.').prefault(
        SESSION_TOKEN_HEADER,
      ),
    })
    .prefault({})
    .describe('For `encoded_endpoint_header`.'),
  sessionIdConfig: z
    .strictObject({
      sources: z
        .array(source)
        .min(1)
        .max(16)
        .prefault([{ header: 'x-session-id' }])
        .describe('Where the id is looked for; the first that is there counts.'),
      evictionTtlSeconds: z
        .number()
        .min(0)
        .max(31_536_000)
        .default(300)
        .describe('Seconds without a request after which a session is forgotten; 0: never.'),
      evictionSweepSeconds: z.number().positive().default(10).describe('Seconds between sweeps.'),
    })
    .prefault({})
    .describe('For `session_id`.'),
});

const PRODUCERS = { 'agent-identity': 'agent-identity', 'session-id': 'session-id-producer' };

/** Producers of the attributes among the sources. */
export function sessionProducers({
  strategy,
  sessionIdConfig: { sources },
}: SessionAffinityParameters): readonly NeededProducer[] {
  if (strategy !== 'session_id') return [];
  return sources.flatMap(({ attribute }, position) => {
    if (attribute === undefined) return [];
    const at = ['sessionIdConfig', 'sources', position, 'attribute'];
    return [{ type: PRODUCERS[attribute], called: attribute, at }];
  });
}

/** What has no effect on either of the two. */
export const SESSION_AFFINITY_IGNORED: readonly IgnoredParameters[] = [
  { paths: ['profileName'], why: 'A plugin notes the picks of the profile it stands in.' },
  {
    paths: ['sessionIdConfig.evictionSweepSeconds'],
    why: 'Expired sessions are never used, and leave memory as others are bound.',
  },
];
