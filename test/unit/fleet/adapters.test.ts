import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runsUnlisted, withLoadable } from '#fleet/adapters.js';
import { servedModel } from '#test/support/scheduling.js';

const BASE = { ...servedModel('base'), root: '/m', maxModelLen: 4096 };
const ADAPTERS = {
  sql: { parent: 'base', labels: {} },
  law: { parent: 'base', labels: { lora: 'yes', zone: 'a' } },
};

test('an engine of the base model can load an adapter when it has the labels', () => {
  const ids = (labels: Readonly<Record<string, string>>): readonly string[] =>
    withLoadable([BASE], labels, ADAPTERS).map(({ id }) => id);
  assert.deepEqual(ids({}), ['base', 'sql']);
  assert.deepEqual(ids({ lora: 'yes' }), ['base', 'sql']);
  assert.deepEqual(ids({ lora: 'yes', zone: 'a', more: '1' }), ['base', 'sql', 'law']);
  const [, sql] = withLoadable([BASE], {}, ADAPTERS);
  assert.deepEqual(sql, {
    id: 'sql',
    parent: 'base',
    root: null,
    maxModelLen: 4096,
    loaded: false,
    raw: { id: 'base', root: null },
  });
});

test('what the engine lists is the truth, and other engines have nothing to do with it', () => {
  const listed = [BASE, { ...servedModel('sql', 'base'), root: '/adapters/sql' }];
  assert.equal(withLoadable(listed, {}, ADAPTERS), listed);
  const other = [servedModel('other'), servedModel('base', 'other')];
  assert.equal(withLoadable(other, {}, ADAPTERS), other);
  assert.equal(withLoadable([BASE], {}, {}).length, 1);
});

test('an adapter that runs although it was not loaded is noticed', () => {
  const models = withLoadable([BASE], {}, ADAPTERS);
  assert.equal(runsUnlisted(models, new Set(['sql'])), true);
  assert.equal(runsUnlisted(models, new Set(['unknown'])), false);
  assert.equal(runsUnlisted(models, new Set()), false);
  assert.equal(runsUnlisted([BASE, servedModel('sql', 'base')], new Set(['sql'])), false);
});
