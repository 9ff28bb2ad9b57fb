// Following publishers with real ZeroMQ sockets and real worker threads. The engine's own set of
// keys is the truth; waiting is always for a condition.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { PublisherState } from '#contracts/endpoint.js';
import { EVENT_QUEUE_FRAMES_MAX } from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import type { EventStage } from '#contracts/messages.js';
import { seededRandom } from '#contracts/random.js';
import {
  type PublisherField,
  publisherField,
  publisherMemoryBytes,
} from '#contracts/shared-layout.js';
import { EventWorkers } from '#main/event-workers.js';
import { eventually } from '#test/support/eventually.js';
import { PublishingEngine } from '#test/support/publishing-engine.js';
import { clearSetMemory, createSetMemory, keysOf, setStuck } from '#test/support/set-applier.js';
import { encodeMsgpack } from '#wire/msgpack-encode.js';
import { processClock } from '#workers/process-clock.js';

const SLOTS = 8;

/** Event workers over the plain test applier, with everything they report. */
class Rig {
  readonly index = createSetMemory();
  readonly publishers = new SharedArrayBuffer(publisherMemoryBytes(SLOTS));
  readonly states = new Map<number, PublisherState>();
  readonly reasons: string[] = [];
  readonly blockSizes = new Map<number, number>();
  readonly log: string[] = [];
  readonly workers: EventWorkers;
  #fields = new Float64Array(this.publishers);

  constructor(shards = 1) {
    const note = (_fields: unknown, sentence: string): void => {
      this.log.push(sentence);
    };
    const logger: Logger = { debug: note, info: note, warn: note, error: note };
    this.workers = new EventWorkers({
      shards,
      memory: {
        index: this.index,
        requests: new SharedArrayBuffer(8),
        publishers: this.publishers,
      },
      index: {
        stats: () => assert.fail('not read here'),
        suspend: () => {},
        recover: () => clearSetMemory(this.index),
      },
      hashSecret: 1n,
      staleAfterMs: 300,
      clock: processClock,
      random: seededRandom(1),
      logger,
      workerUrl: new URL('../support/set-events.worker.js', import.meta.url),
      onPublisher: (slot, state, reason) => {
        this.states.set(slot, state);
        this.reasons.push(`${slot} ${state}: ${reason}`);
      },
      onBlockSize: (slot, blockSize) => this.blockSizes.set(slot, blockSize),
    });
    this.workers.start();
  }

  follow(slot: number, engine: PublishingEngine, blockSize: number | null = 16): void {
    const name = `127.0.0.1:${8000 + slot}`;
    this.workers.subscribe({ slot, name, source: engine.source, pool: 'model', blockSize });
  }

  field(slot: number, field: PublisherField): number {
    return this.#fields[publisherField(slot, field)] ?? -1;
  }

  /** Waits until the slot is live and holds what the engine holds. */
  async settled(slot: number, engine: PublishingEngine): Promise<void> {
    const truth = (): string => [...engine.held].sort((a, b) => a - b).join();
    const same = (): boolean => keysOf(this.index, slot).join() === truth();
    await eventually(
      `slot ${slot} is live and holds ${truth()}; log: ${this.reasons.join('; ')}`,
      () => this.states.get(slot) === 'live' && same(),
    );
  }
}

async function rig(context: TestContext, shards = 1): Promise<Rig> {
  const created = new Rig(shards);
  context.after(async () => {
    assert.ok(await created.workers.stop(), 'every worker has closed its sockets');
  });
  return created;
}

async function startEngine(
  context: TestContext,
  options: ConstructorParameters<typeof PublishingEngine>[0] = {},
): Promise<PublishingEngine> {
  const engine = new PublishingEngine(options);
  await engine.start();
  context.after(() => engine.stop());
  return engine;
}

async function freeAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return `tcp://127.0.0.1:${address.port}`;
}

for (const replayTopic of [true, false]) {
  test(`a late follower gets everything by replay (topic frame: ${replayTopic})`, async (t) => {
    const events = await rig(t);
    const engine = await startEngine(t, { replayTopic });
    for (let key = 0; key < 100; key++) await engine.publish([key], key > 50 ? [key - 50] : []);
    events.follow(0, engine);
    await events.settled(0, engine);
    await engine.publish([200], [99]);
    await events.settled(0, engine);
    assert.equal(events.field(0, 'framesApplied'), 101);
    assert.equal(events.field(0, 'framesLost'), 0);
  });
}

test('lost frames are replayed', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t);
  events.follow(0, engine);
  await engine.publish([1, 2, 3]);
  await events.settled(0, engine);
  await engine.publish([4], [1], true);
  await engine.publish([5], [2], true);
  await engine.publish([6]);
  await events.settled(0, engine);
  assert.equal(events.field(0, 'gaps'), 1);
  assert.equal(events.field(0, 'framesLost'), 0);
});

test('a gap that the replay buffer no longer reaches rebuilds and counts what is lost', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t, { bufferFrames: 2 });
  events.follow(0, engine);
  await engine.publish([1, 2, 3]);
  await events.settled(0, engine);
  for (const key of [11, 12, 13, 14]) await engine.publish([key], [], true);
  await engine.publish([15]);
  await eventually('the slot is gapped with what is known', () => {
    return events.states.get(0) === 'gapped' && keysOf(events.index, 0).join() === '14,15';
  });
  assert.equal(events.field(0, 'framesLost'), 3);
});

test('without a replay socket a gap drops what was known', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t, { hasReplay: false });
  events.follow(0, engine);
  await eventually('the subscription arrived', () => engine.subscribers === 1);
  // The handshake comes before the subscription itself, so the first frames may be lost.
  let key = 0;
  await eventually('a first frame arrived', () => {
    void engine.publish([key]);
    key = (key + 1) % 50;
    return events.field(0, 'framesApplied') > 0;
  });
  await engine.publish([100], [], true);
  await engine.publish([101]);
  await eventually('only what is certain is known', () => {
    return events.states.get(0) === 'gapped' && keysOf(events.index, 0).join() === '101';
  });
  assert.ok(events.field(0, 'framesLost') >= 1);
});

test('a restarted engine starts from nothing, also at a lucky number', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t);
  events.follow(0, engine);
  for (const key of [1, 2, 3]) await engine.publish([key]);
  await events.settled(0, engine);
  await engine.restart();
  for (const key of [10, 11, 12, 13, 14]) await engine.publish([key]);
  await events.settled(0, engine);
  assert.equal(events.field(0, 'restarts'), 1);
});

test('a dead engine becomes stale and is live again when it is back', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t);
  events.follow(0, engine);
  await engine.publish([1]);
  await events.settled(0, engine);
  engine.stop();
  await eventually('the publisher is stale', () => events.states.get(0) === 'stale');
  await engine.restart();
  await engine.publish([2]);
  await events.settled(0, engine);
});

test('the router binds one port per publisher', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t, { dialAddress: await freeAddress() });
  await engine.publish([1]);
  events.follow(0, engine);
  await events.settled(0, engine);
  await engine.publish([2]);
  await events.settled(0, engine);
});

test('on a shared bound port topics tell publishers apart, and foreign ones are counted', async (t) => {
  const events = await rig(t, 2);
  const dialAddress = await freeAddress();
  const first = await startEngine(t, { dialAddress, topic: 'kv@a@m' });
  const second = await startEngine(t, { dialAddress, topic: 'kv@b@m' });
  const foreign = await startEngine(t, { dialAddress, topic: 'kv@c@m' });
  events.follow(0, first);
  events.follow(1, second);
  await first.publish([1]);
  await second.publish([2]);
  await events.settled(0, first);
  await events.settled(1, second);
  await eventually('a foreign frame was counted', () => {
    void foreign.publish([3]);
    return events.field(0, 'framesForeign') > 0;
  });
  await first.publish([4]);
  await events.settled(0, first);
  await events.settled(1, second);
});

test('publishers that share a topic are not believed until one of them is gone', async (t) => {
  const events = await rig(t);
  const dialAddress = await freeAddress();
  const first = await startEngine(t, { dialAddress, topic: 'kv@a@m' });
  const second = await startEngine(t, { dialAddress, topic: 'kv@a@m' });
  await first.publish([1]);
  events.follow(0, first);
  await events.settled(0, first);
  events.follow(1, second);
  await eventually('both are gapped', () => {
    return events.states.get(0) === 'gapped' && events.states.get(1) === 'gapped';
  });
  assert.deepEqual(keysOf(events.index, 0), []);
  second.stop();
  events.workers.unsubscribe(1);
  await events.settled(0, first);
});

for (const stage of ['receive', 'order', 'apply'] as const satisfies readonly EventStage[]) {
  test(`a worker that fails at ${stage} is replaced and its publishers replay`, async (t) => {
    const events = await rig(t);
    const engine = await startEngine(t);
    const gone = await startEngine(t);
    events.follow(0, engine);
    events.follow(1, gone);
    await engine.publish([1, 2]);
    await gone.publish([3]);
    await events.settled(0, engine);
    await events.settled(1, gone);
    events.workers.failAt(0, stage);
    await engine.publish([4], [1]);
    await eventually('the worker was replaced', () => events.workers.health()[0]?.restarts === 1);
    // Given up while nobody could be told.
    events.workers.unsubscribe(1);
    await engine.publish([5], [2]);
    await events.settled(0, engine);
    await eventually('nothing is left of the other', () => keysOf(events.index, 1).length === 0);
    assert.ok(events.log.includes('event worker failed and is replaced'));
  });
}

test('a stuck index is cleared once all workers are quiet, and rebuilt by replay', async (t) => {
  const events = await rig(t, 2);
  const engines = [await startEngine(t), await startEngine(t)];
  for (const [slot, engine] of engines.entries()) {
    await engine.publish([slot + 1]);
    events.follow(slot, engine);
    await events.settled(slot, engine);
  }
  setStuck(events.index);
  for (const engine of engines) await engine.publish([50]);
  for (const [slot, engine] of engines.entries()) await events.settled(slot, engine);
  assert.equal(events.workers.recoveries, 1);
});

test('an overflowing queue is a gap, counted and repaired', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t, { bufferFrames: 100_000 });
  // Without a block size nothing is applied, so the queue must overflow.
  events.follow(0, engine, null);
  await eventually('the subscription arrived', () => engine.subscribers === 1);
  const frames = EVENT_QUEUE_FRAMES_MAX + 500;
  for (let frame = 0; frame < frames; frame++) await engine.publish([frame % 200]);
  await eventually('the queue overflowed', () => events.field(0, 'framesOverflowed') > 0);
  assert.ok(events.field(0, 'queuedFrames') <= EVENT_QUEUE_FRAMES_MAX);
  events.workers.setBlockSize('model', 16);
  await events.settled(0, engine);
});

test('the first stored block tells the block size', async (t) => {
  const events = await rig(t);
  const engine = await startEngine(t);
  const stored = ['BlockStored', [1], null, [1, 2, 3], 3];
  await engine.publishRaw(encodeMsgpack([1, [['BlockRemoved', [9]], stored], 0]));
  events.follow(0, engine, null);
  await eventually('the block size was told', () => events.blockSizes.get(0) === 3);
  assert.equal(events.states.get(0), 'cold');
});

test('a publisher that sends only rubbish is dead after a while, others are not touched', async (t) => {
  const events = await rig(t);
  const good = await startEngine(t);
  const bad = await startEngine(t);
  events.follow(0, good);
  events.follow(1, bad);
  await good.publish([1]);
  await events.settled(0, good);
  for (let frame = 0; frame < 100; frame++) await bad.publishRaw(Buffer.from('rubbish'));
  await eventually('it is dead', () => events.states.get(1) === 'dead');
  await eventually('nobody listens to it', () => bad.subscribers === 0);
  await good.publish([2]);
  await events.settled(0, good);
  await bad.restart();
  await bad.publish([3]);
  events.workers.engineRestarted(1);
  await events.settled(1, bad);
});
