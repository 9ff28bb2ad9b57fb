// mm-embeddings-cache: who was sent which media, how much of it is remembered, and what that scores.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PluginHost, SchedulingContext } from '#contracts/scheduling.js';
import { mmEmbeddingsCacheProducer } from '#plugins/mm-embeddings-cache-producer.js';
import { mmEmbeddingsCacheScorer } from '#plugins/mm-embeddings-cache-scorer.js';
import {
  candidatesOf,
  endpointState,
  fleetSnapshot,
  pluginHost,
  schedulingContext,
} from '#test/support/scheduling.js';

const fleet = fleetSnapshot([{}, {}, {}]);

function world(producer: unknown = null): {
  readonly send: (slot: number, ...media: readonly string[]) => void;
  readonly scores: (...media: readonly string[]) => readonly number[];
} {
  const host: PluginHost = pluginHost(3);
  if (producer !== null) {
    mmEmbeddingsCacheProducer.create(mmEmbeddingsCacheProducer.parameters.parse(producer), host);
  }
  const scorer = mmEmbeddingsCacheScorer.create({}, host);
  const context = (media: readonly string[]): SchedulingContext =>
    schedulingContext(fleet, { media });
  return {
    send: (slot, ...media) => scorer.picked?.(context(media), slot),
    scores: (...media) => {
      const written = new Float64Array(3).fill(-1);
      scorer.score(context(media), candidatesOf(fleet), written);
      return [...written];
    },
  };
}

test('the share of the media that an endpoint was sent', () => {
  const { send, scores } = world();
  send(0, 'cat', 'dog');
  send(1, 'cat');
  assert.deepEqual(scores('cat', 'dog', 'owl', 'fox'), [0.5, 0.25, 0]);
  assert.deepEqual(scores('owl'), [0, 0, 0]);
  assert.deepEqual(scores(), [0, 0, 0]);
});

for (const parameters of [{ cacheSizeInMBPerServer: 4 }, { cacheSizeInMB: 5 }]) {
  test(`${JSON.stringify(parameters)} is two items an endpoint, the least recent goes first`, () => {
    const { send, scores } = world(parameters);
    send(0, 'a', 'b');
    send(1, 'a');
    send(0, 'a');
    send(0, 'c');
    assert.deepEqual(scores('a'), [1, 1, 0]);
    assert.deepEqual(scores('b'), [0, 0, 0]);
    assert.deepEqual(scores('c'), [1, 0, 0]);
  });
}

test('the budget is 4,096 MiB, 2,048 items, and never less than one item', () => {
  const { send, scores } = world();
  for (let item = 0; item <= 2048; item += 1) send(0, `item ${item}`);
  assert.deepEqual(scores('item 0'), [0, 0, 0]);
  assert.deepEqual(scores('item 1'), [1, 0, 0]);
  const tiny = world({ cacheSizeInMBPerServer: 1 });
  tiny.send(0, 'a');
  assert.deepEqual(tiny.scores('a'), [1, 0, 0]);
});

test('a new endpoint in an old slot was sent nothing', () => {
  const host = pluginHost(3);
  const scorer = mmEmbeddingsCacheScorer.create({}, host);
  scorer.picked?.(schedulingContext(fleet, { media: ['a'] }), 1);
  const state = endpointState(1);
  const renamed = { ...state, endpoint: { ...state.endpoint, name: 'new:8000' } };
  const changed = { epoch: 2, bySlot: [null, renamed, null] };
  const written = new Float64Array(3);
  const context = schedulingContext(changed, { media: ['a'] });
  scorer.score(context, candidatesOf(changed, [1]), written);
  assert.equal(written[1], 0);
  scorer.picked?.(context, 1);
  scorer.score(context, candidatesOf(changed, [1]), written);
  assert.equal(written[1], 1);
});

test('media that go on to another endpoint are there too', () => {
  const scorer = mmEmbeddingsCacheScorer.create({}, pluginHost(3));
  const context = schedulingContext(fleet, { media: ['a'] });
  scorer.picked?.(context, 0)?.(2);
  const written = new Float64Array(3);
  scorer.score(context, candidatesOf(fleet, [0, 1, 2]), written);
  assert.deepEqual([...written], [1, 0, 1]);
  assert.equal(scorer.picked?.(schedulingContext(fleet, { media: [] }), 0), undefined);
});

test('both spellings of the size at once are refused', () => {
  const both = { cacheSizeInMBPerServer: 4, cacheSizeInMB: 4 };
  assert.throws(() => mmEmbeddingsCacheProducer.parameters.parse(both), /older name/);
});
