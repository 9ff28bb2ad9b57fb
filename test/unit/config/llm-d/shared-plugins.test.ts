// One plugin of an EndpointPickerConfig in several profiles: what it remembers it remembers once.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import type { Scorer } from '#contracts/scheduling.js';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const files = new ConfigurationFiles();
after(() => files.remove());

test('media: one producer in two profiles remembers once, two of different names apart', () => {
  const lines = [
    'plugins:',
    '- {type: header-profile-handler, parameters: {defaultProfile: a}}',
    '- {type: mm-embeddings-cache-producer}',
    '- {name: small, type: mm-embeddings-cache-producer, parameters: {cacheSizeInMBPerServer: 2}}',
    '- {name: media, type: mm-embeddings-cache-scorer}',
    '- {name: by-small, type: mm-embeddings-cache-scorer, parameters: {producerName: small}}',
    'schedulingProfiles:',
    '- {name: a, plugins: [{pluginRef: media}]}',
    '- {name: b, plugins: [{pluginRef: media}, {pluginRef: by-small}]}',
  ];
  files.write('epp.yaml', endpointPickerConfig(...lines));
  const { configuration, warnings } = files.load(['epp.yaml'], {
    endpoints: ['http://10.0.0.1:8000'],
  });
  assert.deepEqual(warnings, []);
  const { policy } = configuration;
  assert.deepEqual(
    policy.producers.map(({ name }) => name),
    [undefined, 'small'],
  );
  const { producers, profiles } = buildPolicy(policy, pluginHost(2));
  const fleet = fleetSnapshot([{}, {}]);
  const request = schedulingContext(fleet, { media: ['cat', 'dog'] });
  for (const { plugin } of producers) plugin.picked?.(request, 1);
  const scores = profiles.map(({ scorers }) =>
    scorers.map(({ plugin }) => {
      const written = new Float64Array(2);
      plugin.score(request, candidatesOf(fleet), written);
      return [...written];
    }),
  );
  const [both, one] = [
    [0, 1],
    [0, 0.5],
  ];
  assert.deepEqual(scores, [[both], [both, one]]);
});

test('one plugin in two profiles is one plugin; two of a type keep their names', () => {
  const lines = [
    'plugins:',
    '- {type: header-profile-handler, parameters: {defaultProfile: a}}',
    '- {name: cold, type: no-hit-lru-scorer}',
    '- {name: other-cold, type: no-hit-lru-scorer}',
    '- {name: queue, type: queue-scorer}',
    'schedulingProfiles:',
    '- {name: a, plugins: [{pluginRef: cold}, {pluginRef: queue}]}',
    '- {name: b, plugins: [{pluginRef: cold}, {pluginRef: other-cold}]}',
  ];
  files.write('epp.yaml', endpointPickerConfig(...lines));
  const { policy } = files.load(['epp.yaml'], {
    endpoints: ['http://10.0.0.1:8000'],
  }).configuration;
  assert.deepEqual(
    policy.profiles.map(({ scorers }) => scorers.map(({ name }) => name)),
    [
      ['cold', undefined],
      ['cold', 'other-cold'],
    ],
  );
  const { profiles } = buildPolicy(policy, pluginHost(2));
  const [first, second, other] = profiles.flatMap(({ scorers }) =>
    scorers.filter(({ type }) => type === 'no-hit-lru-scorer').map(({ plugin }) => plugin),
  );
  const fleet = fleetSnapshot([{}, {}]);
  const cold = schedulingContext(fleet, { totalBlocks: 4, match: promptMatch([0, 0]) });
  const scores = (scorer: Scorer | undefined): readonly number[] => {
    const written = new Float64Array(2);
    scorer?.score(cold, candidatesOf(fleet), written);
    return [...written];
  };
  assert.deepEqual(scores(first), [1, 1]);
  first?.picked?.(cold, 1);
  assert.deepEqual(scores(second), [1, 0]);
  assert.deepEqual(scores(other), [1, 1]);
});
