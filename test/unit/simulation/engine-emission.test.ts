// What the engine model announces, and when: the emission rules of vLLM (wire-formats §2).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineEvent, StoredBlocks } from '#simulation/engine-event.js';
import { BASE, drain, kinds, run, serve, smallModel, step } from '#test/support/engine-model.js';

function stored(events: readonly EngineEvent[]): StoredBlocks[] {
  return events.filter((event) => event.type === 'BlockStored');
}

test('only full blocks are announced, the first ones without a parent', () => {
  const model = smallModel();
  const [event, ...more] = stored(serve(model, 'a', run(0, 11)));
  assert.equal(more.length, 0);
  assert.deepEqual(event?.tokenIds, run(0, 8));
  assert.equal(event?.hashes.length, 2);
  assert.equal(event?.parent, null);
  assert.equal(event?.blockSize, 4);
});

test('a block filled by decoding follows its parent; the last sampled token is never computed', () => {
  const model = smallModel();
  const events = stored(serve(model, 'a', run(0, 7), 6));
  // 7 prompt tokens and 5 computed output tokens fill 3 blocks; the sixth is only sampled.
  assert.deepEqual(
    events.map(({ hashes }) => hashes.length),
    [1, 1, 1],
  );
  assert.equal(events[1]?.parent?.key, events[0]?.hashes[0]?.key);
  assert.equal(events[2]?.parent?.key, events[1]?.hashes[0]?.key);
  assert.deepEqual(events[1]?.tokenIds.slice(0, 3), [4, 5, 6]);
  assert.equal(stored(serve(smallModel(), 'b', run(0, 7), 5)).length, 2);
});

test('a prompt longer than the budget is announced chunk by chunk', () => {
  const model = smallModel({ batchedTokensMax: 10 });
  model.submit({ id: 'a', promptTokenIds: run(0, 24), outputTokens: 1, identity: BASE });
  const batches = [step(model).events, step(model).events, step(model).events];
  assert.deepEqual(batches.map(kinds), [['stored 2'], ['stored 3'], ['stored 1']]);
  const [first, second] = stored(batches.flat());
  assert.equal(second?.parent?.key, first?.hashes.at(-1)?.key);
  assert.deepEqual(second?.tokenIds, run(8, 12));
});

test('at most floor((tokens - 1) / block) blocks are reused', () => {
  const model = smallModel();
  serve(model, 'a', run(0, 8));
  assert.equal(model.lookup(run(0, 8), BASE), 4);
  assert.equal(model.lookup(run(0, 9), BASE), 8);
  assert.equal(model.lookup(run(0, 7), BASE), 4);
  assert.equal(model.lookup([9, ...run(1, 8)], BASE), 0);
});

test('a full hit recomputes its last block and stores a second copy', () => {
  const model = smallModel();
  const [original] = stored(serve(model, 'a', run(0, 8)));
  const [copy, ...more] = stored(serve(model, 'b', run(0, 8)));
  assert.equal(more.length, 0);
  assert.deepEqual(copy?.tokenIds, run(4, 4));
  assert.equal(copy?.hashes[0]?.key, original?.hashes[1]?.key);
  assert.equal(copy?.parent?.key, original?.hashes[0]?.key);
  // Evicting everything announces each copy.
  const removed = serve(model, 'c', run(100, 63)).filter(({ type }) => type === 'BlockRemoved');
  assert.equal(removed.length, 3);
});

test('eviction takes the oldest request first and its tail before its head', () => {
  const model = smallModel();
  const [a] = stored(serve(model, 'a', run(0, 12)));
  const [b] = stored(serve(model, 'b', run(100, 12)));
  const events = serve(model, 'c', run(200, 56));
  const removed = events.flatMap((event) => (event.type === 'BlockRemoved' ? event.hash.key : []));
  const expected = [a?.hashes[2], a?.hashes[1], a?.hashes[0], b?.hashes[2]].map((one) => one?.key);
  assert.deepEqual(removed, expected);
  assert.equal(model.lookup(run(100, 12), BASE), 8);
});

test('a removal precedes the storing that reuses its space, in the same batch', () => {
  const model = smallModel({ gpuBlocks: 4 });
  serve(model, 'a', run(0, 8));
  model.submit({ id: 'b', promptTokenIds: run(50, 8), outputTokens: 1, identity: BASE });
  assert.deepEqual(kinds(step(model).events), ['removed', 'stored 2']);
});

test('freed blocks stay hittable and a hit protects them from eviction', () => {
  const model = smallModel({ gpuBlocks: 7 });
  serve(model, 'a', run(0, 9));
  serve(model, 'b', run(50, 9));
  serve(model, 'a again', run(0, 9));
  // Room for two blocks is taken from b, which is now the least recently used.
  serve(model, 'c', run(80, 9));
  assert.equal(model.lookup(run(0, 9), BASE), 8);
  assert.ok(model.lookup(run(50, 9), BASE) < 8);
});

test('partial blocks are reused before any cached block', () => {
  const model = smallModel({ gpuBlocks: 5 });
  serve(model, 'a', run(0, 8));
  serve(model, 'b', run(50, 3));
  assert.deepEqual(kinds(serve(model, 'c', run(60, 3))), []);
  assert.equal(model.lookup(run(0, 9), BASE), 8);
});

test('requests of one step share blocks that the step has only just allocated', () => {
  const model = smallModel();
  model.submit({ id: 'a', promptTokenIds: run(0, 9), outputTokens: 1, identity: BASE });
  model.submit({ id: 'b', promptTokenIds: run(0, 9), outputTokens: 1, identity: BASE });
  const { events, tokens } = step(model);
  assert.deepEqual(kinds(events), ['stored 2']);
  assert.deepEqual(
    tokens.map(({ cachedTokens }) => cachedTokens),
    [0, 8],
  );
});

test('a reset fails while blocks are in use and is published with the next step', () => {
  const model = smallModel();
  model.submit({ id: 'a', promptTokenIds: run(0, 8), outputTokens: 3, identity: BASE });
  step(model);
  assert.equal(model.resetPrefixCache(), false);
  drain(model);
  assert.equal(model.resetPrefixCache(), true);
  assert.equal(model.lookup(run(0, 9), BASE), 0);
  assert.equal(model.beginStep(), null);
  assert.deepEqual(kinds(serve(model, 'b', run(0, 8))), ['cleared', 'stored 2']);
});

test('adapter and salt separate caches and show in the event', () => {
  const model = smallModel();
  const lora = { name: 'sql', id: 1, path: '/adapters/sql' };
  serve(model, 'a', run(0, 8));
  const identity = { lora, cacheSalt: 'tenant' };
  model.submit({ id: 'b', promptTokenIds: run(0, 8), outputTokens: 1, identity });
  const [event] = stored(drain(model));
  assert.deepEqual(event?.extraKeys, [['sql', 'tenant'], ['sql']]);
  assert.equal(event?.lora?.id, 1);
  assert.equal(model.lookup(run(0, 9), identity), 8);
  assert.equal(model.lookup(run(0, 9), { lora, cacheSalt: null }), 0);
  assert.equal(model.lookup(run(0, 9), { lora: null, cacheSalt: 'tenant' }), 0);
  assert.equal(model.lookup(run(0, 9), BASE), 8);
});
