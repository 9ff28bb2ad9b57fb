// Lets the caller name the profile: a coordinator that schedules the stages of a request one by one
// says in a header which stage a call is for.

import { z } from 'zod';
import { PROFILE_HEADER } from '#contracts/header-names.js';
import type { ProfileHandlerDefinition } from '#contracts/plugin.js';
import { defineProfileHandler } from '#contracts/plugin.js';
import { headerName } from './header-name.js';

const parameters = z.strictObject({
  headerName: headerName('Request header whose value is the name of a profile.').prefault(
    PROFILE_HEADER,
  ),
  defaultProfile: z
    .string()
    .trim()
    .min(1)
    .max(64)
    .default('decode')
    .describe('Profile of a request without that header.'),
});

/** llm-d's header-profile-handler. */
export const headerProfileHandler: ProfileHandlerDefinition = defineProfileHandler({
  type: 'header-profile-handler',
  summary:
    'The profile that the header names; one that is not configured is refused as ' +
    '`profile_not_found`. With a single profile, always that one.',
  parameters,
  consumes: [],
  fault: ({ defaultProfile }, profiles) =>
    profiles.length === 1 || profiles.includes(defaultProfile)
      ? null
      : `its defaultProfile \`${defaultProfile}\` is none of the profiles ${profiles.join(', ')}`,
  create: (settings) => ({
    reads: [{ header: settings.headerName }],
    choose: (context) => {
      const named = context.headers()[settings.headerName]?.trim() ?? '';
      return named === '' ? settings.defaultProfile : named;
    },
  }),
});
