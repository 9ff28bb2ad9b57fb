// The configuration files of llm-d's own repository, read in place: each loads as what it means, or is
// refused with the reason, and what is migrated loads as the same.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import type { ProfileSettings } from '#config/configuration.js';
import { migrateConfiguration } from '#config/migrate.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { sharedFile } from '#test/support/paths.js';

const FOLDER = sharedFile('llm-d-configs');
const files = new ConfigurationFiles();
after(() => files.remove());

/** Name → filters, scorers with weights, picker of its profile. */
const LOADED: Readonly<Record<string, string>> = {
  'epp-config.yaml': 'decode-filter | prefix-cache-scorer 2 | max-score-picker',
  'epp-estimate-prefix-cache-config.yaml':
    'decode-filter | prefix-cache-scorer 1, load-aware-scorer 1 | max-score-picker',
  'epp-mm-embeddings-cache-config.yaml':
    'decode-filter | prefix-cache-scorer 10, mm-embeddings-cache-scorer 4, queue-scorer 1 | max-score-picker',
  'epp-precise-prefix-cache-config.yaml':
    'decode-filter | prefix-cache-scorer 2, kv-cache-utilization-scorer 1, queue-scorer 1 | max-score-picker',
  'sim-epp-config.yaml': 'decode-filter | prefix-cache-scorer 2 | max-score-picker',
  'sim-epp-no-hit-lru.yaml':
    'decode-filter | prefix-cache-scorer 2, no-hit-lru-scorer 1 | max-score-picker',
};
const REFUSED: Readonly<Record<string, RegExp>> = {
  'epp-burst-prefix-cache-config.yaml':
    /^\S+:17:11: plugins\[3\]\.type: `burst-prefix-cache-producer` is not supported: /,
  'pd-epp-config.yaml':
    /^\S+:14:9: plugins\[6\]\.type: `disagg-profile-handler` is not supported: it belongs to disaggregated serving/,
};

function shown({ filters, scorers, picker }: ProfileSettings): string {
  const rated = scorers.map(({ type, weight }) => `${type} ${weight}`);
  return [filters.map(({ type }) => type).join(', '), rated.join(', '), picker.type].join(' | ');
}

test('every file of the folder is known here', (context) => {
  if (FOLDER === null) return context.skip('the shared files are not beside this checkout');
  assert.deepEqual(
    readdirSync(FOLDER)
      .filter((name) => name.endsWith('.yaml'))
      .toSorted(),
    [...Object.keys(LOADED), ...Object.keys(REFUSED)].toSorted(),
  );
});

for (const [name, expected] of Object.entries(LOADED)) {
  test(`${name} loads, and what is migrated is the same`, (context) => {
    if (FOLDER === null) return context.skip('the shared files are not beside this checkout');
    const file = path.join(FOLDER, name);
    const { configuration, warnings } = files.load([file]);
    const [profile, ...others] = configuration.policy.profiles;
    assert.ok(profile !== undefined && others.length === 0);
    assert.equal(profile.name, 'default');
    assert.equal(shown(profile), expected);
    assert.match(warnings.at(-1) ?? '', /names no endpoints, because llm-d finds them in Kuber/);
    const text = migrateConfiguration({ files: [file], folder: files.folder });
    files.write(`migrated-${name}`, text);
    assert.deepEqual(files.load([`migrated-${name}`]), { configuration, warnings: [] });
  });
}

for (const [name, reason] of Object.entries(REFUSED)) {
  test(`${name} is refused with its reason`, (context) => {
    if (FOLDER === null) return context.skip('the shared files are not beside this checkout');
    const [first = ''] = files.mistakes([path.join(FOLDER, name)]);
    assert.match(first, reason);
  });
}
