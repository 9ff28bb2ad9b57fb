// The receiver on a real socket whose peer misbehaves. Its time stands still until it is moved.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_MESSAGE_BYTES_MAX } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import { EventReceiver, REDIAL_AFTER_MS } from '#events/receive.js';
import { eventually } from '#test/support/eventually.js';
import { VirtualClock } from '#test/support/time.js';
import { eventMessage } from '#wire/frames.js';
import { openSocketCount, PublisherSocket } from '#wire/zmq.js';

test('an engine is dialled anew when ZeroMQ has given it up after an oversized message', async () => {
  const publisher = new PublisherSocket({ sendHighWaterMark: 0 });
  const address = await publisher.open('tcp://127.0.0.1:0', 'bind');
  const clock = new VirtualClock();
  const story: string[] = [];
  const receiver = new EventReceiver(
    { address, mode: 'dial', topic: '', clock, random: seededRandom(1) },
    {
      onFrame: (_topic, { seq }) => story.push(`frame ${seq}`),
      onMalformed: (detail) => story.push(detail),
      onConnected: () => story.push('connected'),
      onDisconnected: () => story.push('disconnected'),
      onOpenFailed: (detail) => story.push(detail),
    },
  );
  const running = receiver.run();
  const told = (what: string): Promise<void> => eventually(what, () => story.at(-1) === what);
  const publish = (seq: bigint, bytes: number): Promise<void> =>
    publisher.send(eventMessage('', seq, new Uint8Array(bytes)));

  await told('connected');
  await publish(0n, 10);
  await told('frame 0');
  await publish(1n, EVENT_MESSAGE_BYTES_MAX + 1);
  await told('disconnected');
  clock.advance(REDIAL_AFTER_MS);
  await told('connected');
  await publish(2n, 10);
  await told('frame 2');
  assert.deepEqual(story, ['connected', 'frame 0', 'disconnected', 'connected', 'frame 2']);

  // A connection that holds is left alone.
  clock.advance(10 * REDIAL_AFTER_MS);
  await publish(3n, 10);
  await told('frame 3');
  receiver.close();
  await running;
  publisher.close();
  assert.equal(openSocketCount(), 0);
});
