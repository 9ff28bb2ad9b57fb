// Keeps endpoints by the value of one label: the older, narrower form of label-selector-filter.

import { z } from 'zod';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { keepLabelled } from './keep-labelled.js';

const parameters = z.strictObject({
  label: z.string().min(1).max(317).describe('Label name.'),
  validValues: z.array(z.string().max(63)).max(256).default([]).describe('Accepted values.'),
  allowsNoLabel: z
    .boolean()
    .default(false)
    .describe('Whether endpoints without the label are kept too.'),
});

/** llm-d's by-label, which it has deprecated. */
export const byLabelFilter: FilterDefinition = defineFilter({
  type: 'by-label',
  summary:
    'Keeps the endpoints whose label has one of the values; `label-selector-filter` can do more.',
  parameters,
  consumes: ['labels'],
  create: ({ label, validValues, allowsNoLabel }) =>
    keepLabelled({ label, values: new Set(validValues), unlabelled: allowsNoLabel }),
});
