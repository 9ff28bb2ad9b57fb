import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { readRemains } from '#config/remains.js';

const schema = z.strictObject({
  list: z.array(z.strictObject({ name: z.string(), size: z.number().default(1) })).default([]),
  flag: z.boolean().optional(),
});

test('what is whole is read as it is', () => {
  const { data, findings, dropped, written } = readRemains(schema, { list: [{ name: 'a' }] });
  assert.deepEqual(data, { list: [{ name: 'a', size: 1 }] });
  assert.deepEqual([findings, dropped], [[], []]);
  assert.deepEqual(written(['list', 0]), ['list', 0]);
});

test('entries that go leave the places of the others known', () => {
  const value = { list: [{ nam: 'a' }, { name: 'b' }, 3, { name: 'd', size: 'x' }], flags: 1 };
  const { data, dropped, written, fault } = readRemains(schema, value);
  assert.deepEqual(data, {
    list: [
      { name: 'b', size: 1 },
      { name: 'd', size: 1 },
    ],
  });
  assert.deepEqual(dropped, [
    { path: ['list', 2], value: 3 },
    { path: ['list', 0], value: { nam: 'a' } },
  ]);
  assert.deepEqual(written(['list', 1, 'name']), ['list', 3, 'name']);
  // A fault of these could follow from what was taken out of them.
  for (const path of [['list', 1], ['list', 1, 'size'], ['list'], []]) {
    assert.equal(fault({ path, at: 'value', text: '' }), null, path.join('.'));
  }
  assert.deepEqual(value.list[2], 3, 'what was written stays as it is');
});

test('a fault that rests on what was taken out is none of its own', () => {
  const value = { list: [3, { nme: 'a' }, { name: 'b' }, { name: 'c', size: 'x' }], flg: true };
  const { findings, written, fault } = readRemains(schema, value);
  assert.deepEqual(
    findings.map(({ path }) => path),
    [['list', 0], ['list', 1, 'nme'], ['list', 3, 'size'], ['flg']],
    'a name under a wrong key is not missing too',
  );
  assert.deepEqual(written(['list', 1, 'size']), ['list', 3, 'size']);
  const rests = (...restsOn: (string | number)[][]) =>
    fault({ path: ['list', 0, 'name'], at: 'value', text: '', restsOn })?.path ?? null;
  const told = ['list', 2, 'name'];
  assert.deepEqual(rests(), told);
  // What is there as it was written, and what nobody wrote.
  for (const path of [['list', 1, 'name'], ['list', 1], ['list', 0, 'size'], ['other']]) {
    assert.deepEqual(rests(path), told, path.join('.'));
  }
  // What went, what stood under a wrong name, and what may be among the entries that went.
  for (const path of [['list', 1, 'size'], ['flag'], ['list', 2]]) {
    assert.equal(rests(['list', 0], path), null, path.join('.'));
  }
});

test('nothing is left of what is no mapping', () => {
  assert.equal(readRemains(schema, [1]).data, null);
});

test('whatever is written, what is left satisfies the schema and stood where it says', () => {
  const entry = fc.oneof(
    fc.record({ name: fc.oneof(fc.string(), fc.nat()), size: fc.oneof(fc.nat(), fc.string()) }),
    fc.anything(),
  );
  const written = fc.record(
    { list: fc.oneof(fc.array(entry), fc.anything()), flag: fc.anything(), other: fc.nat() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(written, (value) => {
      const { data, findings, written: placeOf } = readRemains(schema, value);
      assert.equal(findings.length === 0, schema.safeParse(value).success);
      assert.ok(data !== null && schema.safeParse(data).success);
      for (const [at, { name }] of data.list.entries()) {
        const [, place] = placeOf(['list', at, 'name']);
        assert.equal((value.list as { name: string }[])[Number(place)]?.name, name);
      }
    }),
  );
});
