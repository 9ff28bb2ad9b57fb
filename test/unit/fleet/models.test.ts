import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint, ServedModel } from '#contracts/endpoint.js';
import {
  canonicalBlockSize,
  mergedModelList,
  poolNames,
  poolOf,
  updateModels,
} from '#fleet/models.js';
import { NO_SECURITY } from '#test/support/fake-engine.js';

function served(id: string, options: Partial<ServedModel> = {}): ServedModel {
  const { parent = null, root = null, maxModelLen = null, loaded = true } = options;
  const raw = { id, object: 'model', parent, root, max_model_len: maxModelLen, extra: 'kept' };
  return { id, parent, root, maxModelLen, loaded, raw };
}

function endpoint(slot: number, models: readonly ServedModel[]): Endpoint {
  return {
    slot,
    name: `e${slot}`,
    url: `http://e${slot}`,
    id: null,
    dpRank: null,
    engine: 'vllm',
    labels: {},
    security: NO_SECURITY,
    models,
    blockSize: 16,
    gpuBlocks: 10,
    cacheTokens: null,
    events: null,
  };
}

test('the merged list names every model once, adapters with their parent, the shortest context', () => {
  const adapter = served('sql', { parent: 'base', root: '/lora/sql' });
  const list: unknown = JSON.parse(
    mergedModelList([
      endpoint(0, [adapter, served('base', { root: '/m', maxModelLen: 8192 })]),
      endpoint(1, [served('base', { root: '/m', maxModelLen: 4096 }), served('other')]),
    ]),
  );
  const common = { object: 'model', extra: 'kept' };
  assert.deepEqual(list, {
    object: 'list',
    data: [
      { id: 'base', parent: null, root: '/m', max_model_len: 4096, ...common },
      { id: 'other', parent: null, root: null, max_model_len: null, ...common },
      { id: 'sql', parent: 'base', root: '/lora/sql', max_model_len: null, ...common },
    ],
  });
});

test('an adapter that was loaded somewhere is listed as its engine lists it', () => {
  const loadable = served('sql', { parent: 'base', maxModelLen: 4096, loaded: false });
  const { data } = JSON.parse(
    mergedModelList([
      endpoint(0, [served('base'), loadable]),
      endpoint(1, [served('base'), served('sql', { parent: 'base', root: '/lora/sql' })]),
    ]),
  ) as { data: { id: string; root: string | null; max_model_len: number | null }[] };
  const sql = data.find(({ id }) => id === 'sql');
  assert.deepEqual([data.length, sql?.root, sql?.max_model_len], [2, '/lora/sql', 4096]);
});

test('the directory tells pool, adapter, roots and who serves a model', () => {
  const { models, conflicts } = updateModels(
    [],
    [
      endpoint(0, [served('base', { root: '/m', maxModelLen: 8192 })]),
      endpoint(3, [
        served('base', { root: '/m', maxModelLen: 4096 }),
        served('sql', { parent: 'base', root: '/lora/sql' }),
      ]),
    ],
  );
  assert.deepEqual(conflicts, []);
  assert.deepEqual(models, [
    {
      index: 0,
      id: 'base',
      pool: 'base',
      adapter: '',
      maxModelLen: 4096,
      roots: ['/m'],
      slots: [0, 3],
    },
    {
      index: 1,
      id: 'sql',
      pool: 'base',
      adapter: 'sql',
      maxModelLen: null,
      roots: ['/m'],
      slots: [3],
    },
  ]);
});

test('an index stays with its model when others come and go', () => {
  const first = updateModels([], [endpoint(0, [served('a'), served('b')])]).models;
  const second = updateModels(first, [endpoint(0, [served('b'), served('c')])]).models;
  assert.deepEqual(
    second.map((model) => [model.index, model.id, model.slots]),
    [
      [0, 'a', []],
      [1, 'b', [0]],
      [2, 'c', [0]],
    ],
  );
  const third = updateModels(second, [endpoint(5, [served('a')])]).models;
  assert.deepEqual(third[0]?.slots, [5]);
});

test('aliases of one base model share a pool, several base models behind a proxy do not', () => {
  const aliased = endpoint(0, [served('a', { root: '/m' }), served('alias', { root: '/m' })]);
  const aliasOnly = endpoint(1, [served('alias', { root: '/m' })]);
  const names = poolNames([aliased, aliasOnly]);
  assert.equal(poolOf(aliased, names), 'a');
  assert.equal(poolOf(aliasOnly, names), 'a');
  const directory = updateModels([], [aliased, aliasOnly]);
  assert.deepEqual(directory.conflicts, []);
  assert.deepEqual(directory.models[1]?.slots, [0, 1]);
  const proxy = endpoint(0, [served('x', { root: '/x' }), served('y', { root: '/y' })]);
  assert.deepEqual(
    updateModels([], [proxy]).models.map((model) => model.pool),
    ['x', 'y'],
  );
});

test('one id with two meanings is reported and keeps its first one', () => {
  const { models, conflicts } = updateModels(
    [],
    [
      endpoint(0, [served('base'), served('sql', { parent: 'base' })]),
      endpoint(1, [served('sql')]),
    ],
  );
  assert.deepEqual(models[1]?.slots, [0]);
  assert.match(conflicts.join(), /sql is an adapter of base elsewhere but a base model/);
});

test('canonical block size: configured, else the divisor of the sizes, not below 16', () => {
  const cases: readonly (readonly [readonly number[], number | null, number | null])[] = [
    [[], null, null],
    [[], 32, 32],
    [[16, 32], 64, 64],
    [[32], null, 32],
    [[32, 48], null, 16],
    [[64, 128], null, 64],
    [[1], null, 16],
    [[8, 32], null, 16],
    [[24, 32], null, 16],
    [[20], null, 20],
    [[6000, 2 ** 32 - 1], null, 4096],
  ];
  for (const [sizes, configured, expected] of cases) {
    assert.equal(canonicalBlockSize(sizes, configured), expected, JSON.stringify(sizes));
  }
});
