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
  const { data, findings, dropped, original } = readRemains(schema, { list: [{ name: 'a' }] });
  assert.deepEqual(data, { list: [{ name: 'a', size: 1 }] });
  assert.deepEqual([findings, dropped], [[], []]);
  assert.deepEqual(original(['list', 0]), ['list', 0]);
});

test('entries that go leave the places of the others known', () => {
  const value = { list: [{ nam: 'a' }, { name: 'b' }, 3, { name: 'd', size: 'x' }], flags: 1 };
  const { data, dropped, original } = readRemains(schema, value);
  assert.deepEqual(data, {
    list: [
      { name: 'b', size: 1 },
      { name: 'd', size: 1 },
    ],
  });
  assert.deepEqual(dropped, [
    { path: ['list', 0], value: { nam: 'a' } },
    { path: ['list', 2], value: 3 },
  ]);
  assert.deepEqual(original(['list', 1, 'name']), ['list', 3, 'name']);
  // A fault of these could follow from what was taken out of them.
  for (const path of [['list', 1], ['list', 1, 'size'], ['list'], []]) {
    assert.equal(original(path), null, path.join('.'));
  }
  assert.deepEqual(value.list[2], 3, 'what was written stays as it is');
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
      const { data, findings, original } = readRemains(schema, value);
      assert.equal(findings.length === 0, schema.safeParse(value).success);
      assert.ok(data !== null && schema.safeParse(data).success);
      for (const [at, { name }] of data.list.entries()) {
        const [, place] = original(['list', at, 'name']) ?? [];
        assert.equal((value.list as { name: string }[])[Number(place)]?.name, name);
      }
    }),
  );
});
