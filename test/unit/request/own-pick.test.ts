// What the data plane may pick by itself when the policy is late.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import type { Endpoint } from '#contracts/endpoint.js';
import type { FilterDefinition } from '#contracts/plugin.js';
import { byLabelFilter } from '#plugins/by-label-filter.js';
import { decodeFilter } from '#plugins/decode-filter.js';
import { labelSelectorFilter } from '#plugins/label-selector-filter.js';
import { utilizationFilter } from '#plugins/utilization-filter.js';
import { ownPick } from '#request/own-pick.js';
import { endpoint } from '#test/support/plane-rig.js';
import { pluginHost } from '#test/support/scheduling.js';

const MODELS = ['mine', 'other'].map((id) => ({
  id,
  parent: null,
  root: null,
  maxModelLen: null,
  loaded: true,
  raw: {},
}));

function labelled(labels: Endpoint['labels']): Endpoint {
  return endpoint(0, 'http://10.0.0.1:8000', { models: MODELS, labels });
}

/** A policy of which only the filters of its profiles matter. */
function picks(
  ...profiles: readonly (readonly (readonly [FilterDefinition, Record<string, unknown>])[])[]
) {
  const policy = buildPolicy(
    {
      producers: [],
      profileHandler: { type: 'single-profile-handler', parameters: {} },
      profiles: profiles.map((filters, position) => ({
        name: `profile ${position}`,
        filters: filters.map(([{ type }, parameters]) => ({ type, parameters })),
        scorers: [],
        picker: { type: 'max-score-picker', parameters: {} },
      })),
    },
    pluginHost(8),
  );
  return ownPick(policy, [{ match: { model: 'other' }, targets: [{ model: 'mine', weight: 1 }] }]);
}

test('a model that a rule sends elsewhere is not picked', () => {
  assert.deepEqual(picks([])(labelled({})), ['mine']);
});

test('an endpoint that a filter by role or label would remove is not picked', () => {
  const decoding = picks([[decodeFilter, {}]]);
  assert.deepEqual(decoding(labelled({ 'llm-d.ai/role': 'prefill' })), []);
  assert.deepEqual(decoding(labelled({ 'llm-d.ai/role': 'decode' })), ['mine']);
  assert.deepEqual(decoding(labelled({})), ['mine']);
  const selected = picks([[labelSelectorFilter, { matchLabels: { tier: 'a' } }]]);
  assert.deepEqual(selected(labelled({ tier: 'b' })), []);
  assert.deepEqual(selected(labelled({ tier: 'a' })), ['mine']);
});

test('with several profiles an endpoint must do for each; what changes is not asked', () => {
  const conditions = [{ metric: 'waiting-queue', maxValue: 2 }];
  const two = picks(
    [[utilizationFilter, { conditions }]],
    [[byLabelFilter, { label: 'tier', validValues: ['a'] }]],
  );
  assert.deepEqual(two(labelled({ tier: 'a' })), ['mine']);
  assert.deepEqual(two(labelled({ tier: 'b' })), []);
});
