// Kubernetes label-selector semantics, operator by operator.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labelSelectorFilter } from '#plugins/label-selector-filter.js';
import { keptBy } from '#test/support/plugins.js';

const fleet = [
  { labels: { role: 'decode', zone: 'a' } },
  { labels: { role: 'prefill', zone: 'a' } },
  { labels: { role: 'decode' } },
  { labels: {} },
];

const kept = (parameters: unknown): readonly number[] =>
  keptBy(labelSelectorFilter, fleet, { parameters });

const expression = (operator: string, ...values: readonly string[]): unknown => ({
  matchExpressions: [{ key: 'role', operator, ...(values.length > 0 ? { values } : {}) }],
});

test('an empty selector keeps everyone', () => assert.deepEqual(kept({}), [0, 1, 2, 3]));

test('matchLabels: all of them, exactly', () => {
  assert.deepEqual(kept({ matchLabels: { role: 'decode' } }), [0, 2]);
  assert.deepEqual(kept({ matchLabels: { role: 'decode', zone: 'a' } }), [0]);
  assert.deepEqual(kept({ matchLabels: { role: 'encode' } }), []);
});

test('matchExpressions: In, NotIn (also without the label), Exists, DoesNotExist', () => {
  assert.deepEqual(kept(expression('In', 'decode', 'both')), [0, 2]);
  assert.deepEqual(kept(expression('NotIn', 'decode')), [1, 3]);
  assert.deepEqual(kept(expression('Exists')), [0, 1, 2]);
  assert.deepEqual(kept(expression('DoesNotExist')), [3]);
});

test('labels and expressions must all hold', () => {
  const both = {
    matchLabels: { zone: 'a' },
    matchExpressions: [{ key: 'role', operator: 'NotIn', values: ['prefill'] }],
  };
  assert.deepEqual(kept(both), [0]);
});

test('names of object members are no labels', () => {
  assert.deepEqual(kept({ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }), []);
});

test('wrong operators, missing and superfluous values are refused', () => {
  for (const parameters of [expression('Equals', 'x'), expression('In'), expression('Exists', 'x')])
    assert.throws(() => kept(parameters));
});
