// Keeps endpoints by their labels, with the semantics of Kubernetes label selectors: every
// requirement must hold, and NotIn holds for an endpoint without the label.

import { z } from 'zod';
import { assertNever } from '#contracts/assert.js';
import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { keepEndpoints } from './keep-endpoints.js';
import type { Labels } from './labels.js';
import { labelOf } from './labels.js';

const key = z.string().min(1).max(317).describe('Label name.');
const values = z.array(z.string().max(63)).min(1).max(256).describe('Accepted or refused values.');

const parameters = z.strictObject({
  matchLabels: z
    .record(z.string(), z.string())
    .default({})
    .describe('Labels an endpoint must have, with exactly these values.'),
  matchExpressions: z
    .array(
      z.discriminatedUnion('operator', [
        z.strictObject({ key, operator: z.enum(['In', 'NotIn']), values }),
        z.strictObject({ key, operator: z.enum(['Exists', 'DoesNotExist']) }),
      ]),
    )
    .max(64)
    .default([])
    .describe('Requirements by operator: In, NotIn, Exists, DoesNotExist.'),
});

type Parameters = z.output<typeof parameters>;

/** llm-d's label-selector-filter. */
export const labelSelectorFilter: FilterDefinition = defineFilter({
  type: 'label-selector-filter',
  aliases: ['by-label-selector'],
  summary: 'Keeps the endpoints whose labels meet every one of the requirements.',
  parameters,
  consumes: ['labels'],
  create: (selector) => keepEndpoints(({ labels }) => selects(selector, labels)),
});

function selects({ matchLabels, matchExpressions }: Parameters, labels: Labels): boolean {
  for (const name of Object.keys(matchLabels)) {
    if (labelOf(labels, name) !== matchLabels[name]) return false;
  }
  return matchExpressions.every((expression) => meets(expression, labelOf(labels, expression.key)));
}

function meets(
  expression: Parameters['matchExpressions'][number],
  value: string | undefined,
): boolean {
  switch (expression.operator) {
    case 'In':
      return value !== undefined && expression.values.includes(value);
    case 'NotIn':
      return value === undefined || !expression.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return assertNever(expression);
  }
}
