// Sessions named by what a producer finds out: the producer is there, is made, or is asked for.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());
const FLAGS = { endpoints: ['http://10.0.0.1:8000'] };

const sessions = (source: string): string =>
  `{type: session-affinity-scorer, parameters: {strategy: session_id, sessionIdConfig: {sources: [{header: x-a}, {attribute: ${source}}]}}}`;

function ownProducers(scorer: string, producers: string): readonly unknown[] {
  files.write(
    'warmpath.yaml',
    `scheduling:\n  producers: ${producers}\n  profile: {scorers: [${scorer}]}\n`,
  );
  return files.load(['warmpath.yaml'], FLAGS).configuration.policy.producers;
}

test('agent-identity is made where it is needed, once, and not where it is there', () => {
  const needed = sessions('agent-identity');
  const made = { type: 'agent-identity', parameters: {} };
  assert.deepEqual(ownProducers(needed, '[]'), [made]);
  assert.deepEqual(ownProducers(`${needed}, ${needed}`, '[{type: token-producer}]'), [
    { type: 'token-producer', parameters: {} },
    made,
  ]);
  const there = { type: 'agent-identity', parameters: { additionalSessionHeaders: ['x-b'] } };
  const written = '[{type: agent-identity, parameters: {additionalSessionHeaders: [x-b]}}]';
  assert.deepEqual(ownProducers(needed, written), [there]);
  // The other strategy never looks at the sources.
  assert.deepEqual(
    ownProducers(needed.replace('session_id,', 'encoded_endpoint_header,'), '[]'),
    [],
  );
});

test('session-id-producer must say where the id is, so it is asked for', () => {
  const needed = sessions('session-id');
  assert.throws(() => ownProducers(needed, '[]'), {
    message: new RegExp(
      'warmpath.yaml:3:\\d+: scheduling.profile.scorers\\[0\\].parameters.sessionIdConfig.sources\\[1\\].attribute: ' +
        '`session-id` is what a `session-id-producer` finds out, and there is none: add one with its parameters$',
    ),
  });
  const written = '[{type: session-id-producer, parameters: {cookieName: sid}}]';
  assert.equal(ownProducers(needed, written).length, 1);
});

test("llm-d's files are read the same way", () => {
  const plugins = (attribute: string): string =>
    endpointPickerConfig(
      'plugins:',
      '- type: session-affinity-filter',
      '  parameters:',
      '    strategy: session_id',
      '    sessionIdConfig:',
      '      sources:',
      `      - attribute: ${attribute}`,
    );
  files.write('epp.yaml', plugins('agent-identity'));
  const { policy } = files.load(['epp.yaml'], FLAGS).configuration;
  assert.deepEqual(policy.producers, [{ type: 'agent-identity', parameters: {} }]);
  files.write('epp.yaml', plugins('session-id'));
  assert.deepEqual(files.mistakes(['epp.yaml'], FLAGS), [
    'epp.yaml:9:20: plugins[0].parameters.sessionIdConfig.sources[0].attribute: `session-id` is what a `session-id-producer` finds out, and there is none: add one with its parameters',
  ]);
});
