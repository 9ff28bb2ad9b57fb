// What is migrated loads as the same configuration, says where each part came from, and keeps a file of
// ours that goes with it.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { ConfigurationError } from '#config/explain.js';
import { migrateConfiguration } from '#config/migrate.js';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

const variable = '$' + '{NAME}';
files.write('endpoints.yaml', 'endpoints: [{name: a, address: 10.0.0.9, port: 8000}]\n');
const epp = files.write(
  'epp.yaml',
  endpointPickerConfig(
    'plugins:',
    '- {name: by-pod, type: by-label-selector, parameters: {matchLabels: {pod: "' +
      variable +
      '"}}}',
    '- {type: queue-scorer}',
    '- {type: header-profile-handler, parameters: {defaultProfile: a}}',
    '- {type: session-id-producer, parameters: {headerName: x-session}}',
    '- type: precise-prefix-cache-producer',
    '  parameters: {kvEventsConfig: {podDiscoveryConfig: {socketPort: 5600, replaySocketPort: 5700}}}',
    '- {type: file-discovery, parameters: {path: endpoints.yaml, watchFile: true}}',
    '- {type: metrics-data-source, parameters: {interval: 2s}}',
    'schedulingProfiles:',
    '- name: a',
    '  plugins: [{pluginRef: by-pod}, {pluginRef: queue-scorer, weight: 2}]',
    '- {name: b, plugins: []}',
    'dataLayer:',
    '  discovery: {pluginRef: file-discovery}',
    '  sources: [{pluginRef: metrics-data-source}]',
  ),
);

test('the result loads as the same, in the same folder and in another', () => {
  const { configuration } = files.load(['epp.yaml']);
  files.write('migrated.yaml', migrateConfiguration({ files: [epp], folder: files.folder }));
  assert.deepEqual(files.load(['migrated.yaml']), { configuration, warnings: [] });
  const other = path.join(files.folder, 'other');
  mkdirSync(other);
  files.write('other/migrated.yaml', migrateConfiguration({ files: [epp], folder: other }));
  assert.deepEqual(files.load(['other/migrated.yaml']), { configuration, warnings: [] });
});

test('comments tell where each part came from and what has no effect', () => {
  const text = migrateConfiguration({ files: [epp], folder: files.folder });
  assert.equal(
    text,
    [
      '# Written by `warmpath config migrate` from epp.yaml.',
      '# Of that has no effect, or another one:',
      '# - plugins[6] (line 11): `metrics-data-source` has no effect: Warmpath reads `/metrics` of each',
      '#   engine, or `/prometheus/metrics` of TensorRT-LLM, at its own address, with the TLS and key of',
      '#   the endpoint; `scrape.interval` says how often',
      '',
      'scheduling:',
      '  profiles:',
      '    - name: a',
      '      filters:',
      '        # from schedulingProfiles[0].plugins[0] (line 14) and plugins[0] (line 4)',
      '        - type: label-selector-filter',
      '          parameters:',
      '            matchLabels:',
      `              pod: $${variable}`,
      '      scorers:',
      '        # from schedulingProfiles[0].plugins[1] (line 14) and plugins[1] (line 5)',
      '        - type: queue-scorer',
      '          weight: 2',
      '      # from schedulingProfiles[0] (line 13)',
      '      picker:',
      '        type: max-score-picker',
      '    - name: b',
      '      # from schedulingProfiles[1] (line 15)',
      '      picker:',
      '        type: max-score-picker',
      '  # from plugins[2] (line 6)',
      '  profileHandler:',
      '    type: header-profile-handler',
      '    parameters:',
      '      defaultProfile: a',
      '  producers:',
      '    # from plugins[3] (line 7)',
      '    - type: session-id-producer',
      '      parameters:',
      '        headerName: x-session',
      '    # from plugins[4] (line 8)',
      '    - type: precise-prefix-cache-producer',
      'scrape:',
      '  # from plugins[6].parameters.interval (line 11)',
      '  interval: 2s',
      '# from plugins[5] (line 10)',
      'endpointsFile:',
      '  path: endpoints.yaml',
      '  watch: true',
      'events:',
      '  # from plugins[4].parameters.kvEventsConfig (line 9)',
      '  port: 5600',
      '  # from plugins[4].parameters.kvEventsConfig.podDiscoveryConfig.replaySocketPort (line 9)',
      '  replayPort: 5700',
      '',
    ].join('\n'),
  );
});

test('a file of ours keeps its comments and variables and gets the rest', () => {
  const port = '$' + '{PORT:-8080}';
  const own = files.write(
    'warmpath.yaml',
    [
      '# Ours.',
      `listen: ":${port}" # clients`,
      'scrape:',
      '  timeout: 3s',
      'endpoints: [http://10.0.0.1:8000]',
      '',
    ].join('\n'),
  );
  const { configuration } = files.load(['epp.yaml', 'warmpath.yaml']);
  const text = migrateConfiguration({ files: [own, epp], folder: files.folder });
  assert.ok(text.includes('# Ours.') && text.includes(`listen: ":${port}" # clients`), text);
  assert.match(text, /scrape:\n {2}timeout: 3s\n {2}# from [^\n]*\n {2}interval: 2s\n/);
  files.write('both.yaml', text);
  assert.deepEqual(files.load(['both.yaml']), { configuration, warnings: [] });
  assert.throws(
    () => migrateConfiguration({ files: [own, epp], folder: path.join(files.folder, 'other') }),
    (error: unknown) =>
      error instanceof ConfigurationError &&
      /warmpath\.yaml: its paths are relative to its folder: write there, with --output/.test(
        error.message,
      ),
  );
});

test('a file of ours alone is told to need nothing', () => {
  const own = files.write('alone.yaml', 'listen: ":1"\n');
  assert.throws(
    () => migrateConfiguration({ files: [own], folder: files.folder }),
    /alone\.yaml: is a configuration of our own already$/,
  );
  // Two load together, but comments and variables of two are not made one.
  const second = files.write('second.yaml', 'admin: ":2"\n');
  assert.throws(
    () => migrateConfiguration({ files: [own, second], folder: files.folder }),
    /second\.yaml: is of our own, like \S+alone\.yaml; give one of them$/,
  );
});

test('the older form becomes a policy', () => {
  const old = files.write(
    'old.yaml',
    'plugins: [{type: external_processor, routing: {algorithm: prefix-aware}}]\n',
  );
  const text = migrateConfiguration({ files: [old], folder: files.folder });
  assert.match(text, /# from plugins\[0\]\.routing\.algorithm \(line 1\)\npolicy: precise\n$/);
});
