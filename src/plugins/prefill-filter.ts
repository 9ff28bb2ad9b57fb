// Keeps the endpoints whose role is, among others, that it processes prompts.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { keepLabelled } from './keep-labelled.js';
import { ROLE_LABEL } from './labels.js';
import { noParameters } from './no-parameters.js';

const ROLES: readonly string[] = [
  'prefill',
  'encode-prefill',
  'prefill-decode',
  'both',
  'encode-prefill-decode',
];

/** llm-d's prefill-filter. */
export const prefillFilter: FilterDefinition = defineFilter({
  type: 'prefill-filter',
  summary: `Keeps the endpoints whose label \`${ROLE_LABEL}\` is ${ROLES.join(', ')}.`,
  parameters: noParameters,
  consumes: ['labels'],
  create: () => keepLabelled({ label: ROLE_LABEL, values: new Set(ROLES), unlabelled: false }),
});
