// Keeps the endpoints whose role is, among others, that it generates answers.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { keepLabelled } from './keep-labelled.js';
import { ROLE_LABEL } from './labels.js';
import { noParameters } from './no-parameters.js';

const ROLES: readonly string[] = ['decode', 'prefill-decode', 'both', 'encode-prefill-decode'];

/** llm-d's decode-filter. */
export const decodeFilter: FilterDefinition = defineFilter({
  type: 'decode-filter',
  summary: `Keeps the endpoints whose label \`${ROLE_LABEL}\` is ${ROLES.join(', ')}, or that have no role.`,
  parameters: noParameters,
  consumes: ['labels'],
  create: () => keepLabelled({ label: ROLE_LABEL, values: new Set(ROLES), unlabelled: true }),
});
