// mm-embeddings-cache: who was sent which media, how much of it is remembered, and what that scores.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  MovedOn,
  PluginHost,
  Producer,
  SchedulingContext,
  Scorer,
} from '#contracts/scheduling.js';
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

interface World {
  readonly send: (slot: number, ...media: readonly string[]) => MovedOn | undefined;
  readonly scores: (...media: readonly string[]) => readonly number[];
}

/** One producer of that name and the scorer that goes by it. */
function world(parameters: object = {}, name = '', host: PluginHost = pluginHost(3)): World {
  const { producer, scorer } = pair(parameters, name, host);
  const context = (media: readonly string[]): SchedulingContext =>
    schedulingContext(fleet, { media });
  return {
    send: (slot, ...media) => producer.picked?.(context(media), slot),
    scores: (...media) => {
      const written = new Float64Array(3).fill(-1);
      scorer.score(context(media), candidatesOf(fleet), written);
      return [...written];
    },
  };
}

function pair(
  parameters: object,
  name: string,
  host: PluginHost,
): { readonly producer: Producer; readonly scorer: Scorer } {
  const { parameters: schema } = mmEmbeddingsCacheProducer;
  return {
    producer: mmEmbeddingsCacheProducer.create(schema.parse(parameters), { ...host, name }),
    scorer: scorerBy(name, host),
  };
}

function scorerBy(producerName: string, host: PluginHost): Scorer {
  return mmEmbeddingsCacheScorer.create(
    mmEmbeddingsCacheScorer.parameters.parse({ producerName }),
    host,
  );
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
  const { producer, scorer } = pair({}, '', pluginHost(3));
  producer.picked?.(schedulingContext(fleet, { media: ['a'] }), 1);
  const state = endpointState(1);
  const renamed = { ...state, endpoint: { ...state.endpoint, name: 'new:8000' } };
  const changed = { epoch: 2, bySlot: [null, renamed, null] };
  const written = new Float64Array(3);
  const context = schedulingContext(changed, { media: ['a'] });
  scorer.score(context, candidatesOf(changed, [1]), written);
  assert.equal(written[1], 0);
  producer.picked?.(context, 1);
  scorer.score(context, candidatesOf(changed, [1]), written);
  assert.equal(written[1], 1);
});

test('media that go on to another endpoint are there too', () => {
  const { send, scores } = world();
  send(0, 'a')?.(2);
  assert.deepEqual(scores('a'), [1, 0, 1]);
  assert.equal(send(0), undefined);
});

test('producers of different names remember apart, each as much as it was told', () => {
  const host = pluginHost(3);
  const small = world({ cacheSizeInMBPerServer: 2 }, 'small', host);
  const large = world({ cacheSizeInMBPerServer: 4 }, 'large', host);
  small.send(0, 'a');
  assert.deepEqual(
    [small.scores('a'), large.scores('a')],
    [
      [1, 0, 0],
      [0, 0, 0],
    ],
  );
  for (const { send } of [small, large]) send(1, 'a', 'b');
  assert.deepEqual(
    [small.scores('a', 'b'), large.scores('a', 'b')],
    [
      [0.5, 0.5, 0],
      [0, 1, 0],
    ],
  );
});

test('one without a name is called by its type, and read by scorers that name none', () => {
  const host = pluginHost(3);
  const { send, scores } = world({}, '', host);
  send(2, 'a');
  assert.deepEqual(scores('a'), [0, 0, 1]);
  const written = new Float64Array(3);
  const byType = scorerBy('mm-embeddings-cache-producer', host);
  byType.score(schedulingContext(fleet, { media: ['a'] }), candidatesOf(fleet), written);
  assert.deepEqual([...written], [0, 0, 1]);
});

test('both spellings of the size at once are refused', () => {
  const both = { cacheSizeInMBPerServer: 4, cacheSizeInMB: 4 };
  assert.throws(() => mmEmbeddingsCacheProducer.parameters.parse(both), /older name/);
});
