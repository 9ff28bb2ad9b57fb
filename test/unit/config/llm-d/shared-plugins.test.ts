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
