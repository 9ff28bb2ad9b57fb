// Several configuration files: at most one of each kind, put together key by key, and an error with
// both places where two say the same thing.

import assert from 'node:assert/strict';
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

test('one file of each kind', () => {
  files.write('warmpath.yaml', '{}\n');
  files.write('other.yaml', '{}\n');
  assert.deepEqual(files.mistakes(['epp.yaml', 'epp2.yaml', 'warmpath.yaml', 'other.yaml']), [
    `epp2.yaml: is a second EndpointPickerConfig; the first is epp.yaml`,
    `other.yaml: is a second configuration of our own; the first is warmpath.yaml`,
  ]);
});
