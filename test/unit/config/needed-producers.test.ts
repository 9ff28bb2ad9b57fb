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

const media = (producerName = ''): string =>
  `{type: mm-embeddings-cache-scorer, parameters: {producerName: "${producerName}"}}`;

function said(scorers: string, producers: string): readonly string[] {
  files.write(
    'warmpath.yaml',
    `scheduling: {producers: ${producers}, profile: {scorers: ${scorers}}}\n`,
  );
  return files.load(['warmpath.yaml'], FLAGS).warnings;
}

test('a producer is needed by name: the one without is made, another one is asked for', () => {
  const type = 'mm-embeddings-cache-producer';
  const images = { type, name: 'images', parameters: {} };
  assert.deepEqual(ownProducers(media(), '[]'), [{ type, parameters: {} }]);
  assert.deepEqual(ownProducers(media(), `[{type: ${type}}]`), [{ type, parameters: {} }]);
  assert.deepEqual(ownProducers(media(type), `[{type: ${type}, name: images}]`), [
    images,
    { type, parameters: {} },
  ]);
  assert.deepEqual(ownProducers(media('images'), `[{type: ${type}, name: images}]`), [images]);
  for (const [name, producers, expected] of [
    ['images', '[]', 'no `mm-embeddings-cache-producer` is called `images`; there is none'],
    [
      'image',
      `[{type: ${type}, name: images}, {type: ${type}, name: clips}]`,
      'no `mm-embeddings-cache-producer` is called `image`; did you mean `images`?',
    ],
    [
      'token-producer',
      `[{type: token-producer}, {type: ${type}}]`,
      'no `mm-embeddings-cache-producer` is called `token-producer`; there is `mm-embeddings-cache-producer`',
    ],
  ] as const) {
    assert.throws(
      () => ownProducers(media(name), producers),
      ({ message }: Error) =>
        message.endsWith(`scorers[0].parameters.producerName: ${expected}`) || assert.fail(message),
    );
  }
});

test('producers that are needed by name: no two of one name, and what nobody names is told', () => {
  const type = 'mm-embeddings-cache-producer';
  assert.throws(
    () => ownProducers(media(), `[{type: ${type}}, {type: ${type}, name: ${type}}]`),
    /scheduling\.producers\[1\]\.type: another `mm-embeddings-cache-producer` has no name too; give each a `name` of its own$/,
  );
  assert.throws(
    () => ownProducers(media('a'), `[{type: ${type}, name: a}, {type: ${type}, name: a}]`),
    /producers\[1\]\.type: another `mm-embeddings-cache-producer` is called `a` too/,
  );
  const two = `[{type: ${type}, name: a}, {type: ${type}, name: b}]`;
  assert.deepEqual(said(`[${media('a')}, ${media('b')}]`, two), []);
  const [warning = '', ...others] = said(`[${media('a')}]`, two);
  assert.match(warning, /producers\[1\]: has no effect: no plugin has `b` as its `producerName`$/);
  assert.deepEqual(others, []);
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
