// Keeps the endpoints whose role is, among others, that it encodes images, audio and video.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { keepLabelled } from './keep-labelled.js';
import { ROLE_LABEL } from './labels.js';
import { noParameters } from './no-parameters.js';

const ROLES: readonly string[] = ['encode', 'encode-prefill', 'encode-prefill-decode'];

/** llm-d's encode-filter. */
export const encodeFilter: FilterDefinition = defineFilter({
  type: 'encode-filter',
  summary: `Keeps the endpoints whose label \`${ROLE_LABEL}\` is ${ROLES.join(', ')}.`,
  parameters: noParameters,
  consumes: ['labels'],
  create: () => keepLabelled({ label: ROLE_LABEL, values: new Set(ROLES), unlabelled: false }),
});
