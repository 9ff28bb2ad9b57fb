// Whatever an EndpointPickerConfig holds, it either loads or is refused with a place and words; and
// what loads is the same after it was migrated.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { ConfigurationError } from '#config/explain.js';
import { migrateConfiguration } from '#config/migrate.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { ConfigurationFiles, type Loaded } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

const HEAD = { apiVersion: 'llm-d.ai/v1alpha1', kind: 'EndpointPickerConfig' };
const type = fc.constantFrom(
  ...new Set(CATALOGUE.map((definition) => definition.type)),
  'metrics-data-source',
  'openai-parser',
);
const profile = fc.record(
  {
    name: fc.constantFrom('a', 'b', 'decode'),
    plugins: fc.array(
      fc.record(
        { pluginRef: type, weight: fc.double({ min: 0, max: 1000, noNaN: true }) },
        { requiredKeys: ['pluginRef'] },
      ),
      { maxLength: 5 },
    ),
  },
  { requiredKeys: ['plugins'] },
);
/** Mostly what people write, with mistakes in names and numbers. */
const likely = fc.record(
  {
    plugins: fc.uniqueArray(fc.record({ type }), {
      selector: (plugin) => plugin.type,
      maxLength: 8,
    }),
    schedulingProfiles: fc.array(profile, { maxLength: 2 }),
    featureGates: fc.subarray(['dataLayer', 'flowControl=false', 'flowControl']),
  },
  { requiredKeys: ['plugins'] },
);
/** Any values in the known places. */
const wild = fc.record(
  {
    plugins: fc.oneof(fc.jsonValue(), fc.array(fc.record({ type, parameters: fc.jsonValue() }))),
    schedulingProfiles: fc.jsonValue(),
    dataLayer: fc.jsonValue(),
    flowControl: fc.jsonValue(),
    requestHandler: fc.jsonValue(),
    featureGates: fc.jsonValue(),
    [`\${x}`]: fc.jsonValue(),
  },
  { requiredKeys: [] },
);

function load(text: string): Loaded | null {
  files.write('epp.yaml', text);
  try {
    return files.load(['epp.yaml']);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.ok(error.problems.length > 0);
    for (const { line, text } of error.problems) assert.ok(line !== null && text !== '');
    return null;
  }
}

function loadsTheSame(text: string): boolean {
  const loaded = load(text);
  if (loaded === null) return false;
  const file = files.write('epp.yaml', text);
  files.write('migrated.yaml', migrateConfiguration({ files: [file], folder: files.folder }));
  const again = files.load(['migrated.yaml']);
  assert.deepEqual(again.configuration, loaded.configuration);
  return true;
}

test('what people write loads, or is refused with its place', () => {
  let loaded = 0;
  fc.assert(
    fc.property(likely, (config) => {
      // JSON is YAML.
      if (loadsTheSame(JSON.stringify({ ...HEAD, ...config }))) loaded += 1;
    }),
    { numRuns: 300 },
  );
  // Else it would be mistakes only that are tried.
  assert.ok(loaded > 10, `${loaded} were accepted`);
});

test('any values are refused with their place, if not accepted', () => {
  fc.assert(
    fc.property(wild, (config) => {
      loadsTheSame(JSON.stringify({ ...HEAD, ...config }));
    }),
    { numRuns: 300 },
  );
});
