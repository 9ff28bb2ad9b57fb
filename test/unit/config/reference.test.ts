// The committed reference pages and schema are exactly what the code generates, and both say the
// same as the code about the things they list.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { referenceFiles } from '#config/reference.js';
import { ERROR_CODES } from '#contracts/errors.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { repositoryRoot } from '#test/support/paths.js';

for (const [file, content] of Object.entries(referenceFiles())) {
  test(`${file} is up to date (npm run generate)`, () => {
    assert.equal(readFileSync(path.join(repositoryRoot, file), 'utf8'), content);
  });
}

function committed(file: string): string {
  return readFileSync(path.join(repositoryRoot, file), 'utf8');
}

test('the error page lists every code once, and nothing else', () => {
  const listed = [...committed('docs/reference/errors.md').matchAll(/^\| `(\w+)` \|/gm)];
  assert.deepEqual(
    listed.map(([, code]) => code),
    [...ERROR_CODES],
  );
});

test('the plugin page has every plugin once', () => {
  const listed = [...committed('docs/reference/plugins.md').matchAll(/^### (\S+)$/gm)];
  assert.deepEqual(
    listed.map(([, type]) => type ?? '').toSorted(),
    CATALOGUE.map(({ type }) => type).toSorted(),
  );
});

test('every field of the configuration says what it means', () => {
  const rows = committed('docs/reference/configuration.md').match(/^\| `.*\|$/gm) ?? [];
  assert.ok(rows.length > 40);
  for (const row of rows) assert.doesNotMatch(row, /\|\s+\|$/, row);
});
