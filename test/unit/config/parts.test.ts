// Several configuration files: any of ours and at most one of llm-d's, put together key by key, and an error with
// both places where two say the same thing.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

files.write(
  'epp.yaml',
  endpointPickerConfig(
    'plugins:',
    '- {type: queue-scorer}',
    '- {type: metrics-data-source, parameters: {interval: 2s}}',
    'dataLayer: {sources: [{pluginRef: metrics-data-source}]}',
  ),
);
files.write('epp2.yaml', endpointPickerConfig());

test('ours gives what llm-d does not say, in either order', () => {
  files.write(
    'warmpath.yaml',
    'endpoints: [http://10.0.0.1:8000]\nscrape: {timeout: 3s}\nlog: {level: warn}\n',
  );
  for (const names of [
    ['epp.yaml', 'warmpath.yaml'],
    ['warmpath.yaml', 'epp.yaml'],
  ]) {
    const { configuration, warnings } = files.load(names);
    assert.deepEqual(
      configuration.policy.profiles[0]?.scorers.map(({ type }) => type),
      ['queue-scorer'],
    );
    assert.equal(configuration.endpoints[0]?.url, 'http://10.0.0.1:8000');
    assert.deepEqual(configuration.scrape, {
      intervalMs: 2000,
      timeoutMs: 3000,
      staleAfterMs: 5000,
    });
    assert.equal(configuration.log.level, 'warn');
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /`metrics-data-source` has no effect/);
  }
});

test('mistakes name the file they are in', () => {
  files.write('warmpath.yaml', 'endpoints: [http://10.0.0.1:8000/v1]\nscrape: {timeout: 1ms}\n');
  assert.deepEqual(files.mistakes(['epp.yaml', 'warmpath.yaml']), [
    'warmpath.yaml:1:13: endpoints[0]: expected http://host:port without path or credentials, got "http://10.0.0.1:8000/v1"',
    'warmpath.yaml:2:19: scrape.timeout: expected between 50ms and 1m, got "1ms"',
  ]);
  files.write('broken.yaml', 'kind: EndpointPickerConfig\napiVersion: v9\n');
  files.write('warmpath.yaml', 'listen: [\n');
  const lines = files.mistakes(['broken.yaml', 'warmpath.yaml']);
  assert.match(lines[0] ?? '', /^broken\.yaml:2:13: apiVersion: expected llm-d\.ai/);
  assert.match(lines[1] ?? '', /^warmpath\.yaml:\d+:\d+: /);
});

test('a mistake in one file hides none in the other', () => {
  files.write('other-epp.yaml', endpointPickerConfig('plugins: [{type: queue-score}]'));
  files.write('warmpath.yaml', 'endpoints: [http://10.0.0.1:8000/v1]\nlisten: x\nscrap: {}\n');
  assert.deepEqual(files.mistakes(['other-epp.yaml', 'warmpath.yaml']), [
    'other-epp.yaml:3:18: plugins[0].type: unknown plugin type `queue-score`; did you mean `queue-scorer`?',
    'warmpath.yaml:1:13: endpoints[0]: expected http://host:port without path or credentials, got "http://10.0.0.1:8000/v1"',
    'warmpath.yaml:2:9: listen: expected host:port or :port, got "x"',
    'warmpath.yaml:3:1: scrap: unknown key; did you mean `scrape`?',
  ]);
});

test('two files that decide about scheduling are told with both places', () => {
  for (const text of ['policy: random\n', 'scheduling: {profile: {name: mine}}\n']) {
    files.write('warmpath.yaml', text);
    const key = text.slice(0, text.indexOf(':'));
    assert.deepEqual(files.mistakes(['epp.yaml', 'warmpath.yaml']), [
      `warmpath.yaml:1:1: ${key}: scheduling is already given at epp.yaml:3:1 (plugins); one file decides it`,
    ]);
  }
});

test('another key that is given twice is told with both places', () => {
  files.write('warmpath.yaml', 'scrape: {interval: 1s}\n');
  assert.deepEqual(files.mistakes(['epp.yaml', 'warmpath.yaml']), [
    'warmpath.yaml:1:10: scrape.interval: is already given at epp.yaml:5:44 (plugins[1].parameters.interval)',
  ]);
  files.write('list.yaml', '- 1\n');
  assert.deepEqual(files.mistakes(['epp.yaml', 'list.yaml']), [
    'list.yaml:1:1: is no mapping, and so cannot go together with another file',
  ]);
});

test('one file of llm-d’s', () => {
  files.write('warmpath.yaml', '{}\n');
  assert.deepEqual(files.mistakes(['epp.yaml', 'epp2.yaml', 'warmpath.yaml']), [
    `epp2.yaml: is a second EndpointPickerConfig; the first is epp.yaml`,
  ]);
});

test('files of ours go together, each with paths of its own folder', () => {
  mkdirSync(path.join(files.folder, 'fleet/tokenizer'), { recursive: true });
  files.write('fleet/tokenizer/tokenizer.json', '{}');
  files.write('fleet/key', 'secret-of-the-engines\n');
  files.write(
    'fleet/fleet.yaml',
    [
      'endpoints: [{url: "http://10.0.0.1:8000", apiKeyFile: key}]',
      'models: {a: {tokenizer: tokenizer}}',
      'timeouts: {connect: 1s}',
      '',
    ].join('\n'),
  );
  files.write('hash', 'sixteen characters and more\n');
  files.write(
    'policy.yaml',
    [
      'policy: load-aware',
      'models: {b: {blockSize: 32}}',
      'timeouts: {stall: 2m}',
      'index: {hashSecretFile: hash}',
      '',
    ].join('\n'),
  );
  for (const names of [
    ['fleet/fleet.yaml', 'policy.yaml'],
    ['policy.yaml', 'fleet/fleet.yaml'],
  ]) {
    const { configuration } = files.load(names);
    assert.equal(configuration.endpoints[0]?.security.apiKey, 'secret-of-the-engines');
    assert.equal(configuration.policy.profiles[0]?.name, 'load-aware');
    assert.equal(configuration.models['a']?.tokenizer, path.join(files.folder, 'fleet/tokenizer'));
    assert.equal(configuration.models['b']?.blockSize, 32);
    assert.ok(configuration.index.hashSecret !== null);
    const { connectMs, stallMs } = configuration.timeouts;
    assert.deepEqual([connectMs, stallMs], [1000, 120_000]);
  }
  const { configuration } = files.load(['fleet/fleet.yaml', 'epp.yaml']);
  assert.equal(configuration.policy.profiles[0]?.scorers[0]?.type, 'queue-scorer');
});

test('what two files of ours say is told with both places, and hides nothing else', () => {
  files.write('one.yaml', 'endpoints: [http://10.0.0.1:8000]\npolicy: random\n');
  files.write(
    'two.yaml',
    'endpoints: [http://10.0.0.2:8000]\nscheduling: {profile: {}}\nlisten: x\n',
  );
  assert.deepEqual(files.mistakes(['one.yaml', 'two.yaml']), [
    'two.yaml:1:1: endpoints: is already given at one.yaml:1:1 (endpoints)',
    'two.yaml:2:1: scheduling: scheduling is already given at one.yaml:2:1 (policy); one file decides it',
    'two.yaml:3:9: listen: expected host:port or :port, got "x"',
  ]);
});
