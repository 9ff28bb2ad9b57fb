// The handler of a policy with one profile: there is nothing to choose.

import type { ProfileHandlerDefinition } from '#contracts/plugin.js';
import { defineProfileHandler } from '#contracts/plugin.js';
import { noParameters } from './no-parameters.js';

/** llm-d's single-profile-handler. */
export const singleProfileHandler: ProfileHandlerDefinition = defineProfileHandler({
  type: 'single-profile-handler',
  summary: 'The only profile.',
  parameters: noParameters,
  consumes: [],
  fault: (_parameters, { length }) =>
    length === 1
      ? null
      : `it handles a single profile and there are ${length}; \`header-profile-handler\` chooses`,
  create: () => ({
    choose: () => {
      throw new Error('a single profile is not chosen');
    },
  }),
});
