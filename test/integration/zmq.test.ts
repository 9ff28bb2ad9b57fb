// Real sockets over loopback. Waiting is always for a message or a connection event.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import {
  encodeSeq,
  eventMessage,
  parseEventMessage,
  parseReplayReply,
  replayEnd,
  replayReply,
} from '#wire/frames.js';
import {
  closeAllSockets,
  openSocketCount,
  type PeerChange,
  PublisherSocket,
  ReplayClient,
  ReplayServer,
  SubscriberSocket,
} from '#wire/zmq.js';

const payload = Uint8Array.of(0x93, 0xc0, 0x90, 0xc0);

/** Collects connection changes; `next(kind)` resolves at the next one of that kind. */
function peerLog(): {
  readonly changes: PeerChange[];
  readonly onPeer: (change: PeerChange) => void;
  readonly next: (kind: PeerChange) => Promise<void>;
} {
  const changes: PeerChange[] = [];
  const waiting: { kind: PeerChange; resolve: () => void }[] = [];
  let seen = 0;
  return {
    changes,
    onPeer: (change) => {
      changes.push(change);
      const first = waiting[0];
      if (first !== undefined && first.kind === change) {
        seen = changes.length;
        waiting.shift()?.resolve();
      }
    },
    next: (kind) => {
      const position = changes.indexOf(kind, seen);
      if (position >= 0) {
        seen = position + 1;
        return Promise.resolve();
      }
      return new Promise((resolve) => waiting.push({ kind, resolve }));
    },
  };
}

function subscriber(address: string, mode: 'dial' | 'bind', onPeer: (c: PeerChange) => void) {
  return new SubscriberSocket({ address, mode, topic: 'kv@', receiveHighWaterMark: 1000, onPeer });
}

/** Publishes until the subscription has reached the publisher, then reads the marker away. */
async function settle(publisher: PublisherSocket, receiver: SubscriberSocket): Promise<void> {
  let arrived = false;
  const first = receiver.receive().then(() => {
    arrived = true;
  });
  let sent = 0;
  while (!arrived) {
    await publisher.send(eventMessage('kv@settle', 0n, payload));
    sent += 1;
    await new Promise(setImmediate);
  }
  await first;
  await publisher.send(eventMessage('kv@settled', 0n, payload));
  for (let read = 0; read <= sent; read += 1) {
    const frame = parseEventMessage((await receiver.receive()) ?? []);
    if (frame?.topic === 'kv@settled') return;
  }
  assert.fail('the marker never came');
}

for (const routerMode of ['dial', 'bind'] as const) {
  test(`events arrive in order when the router's side uses ${routerMode}`, async () => {
    const publisher = new PublisherSocket({ sendHighWaterMark: 1000 });
    const log = peerLog();
    let receiver: SubscriberSocket;
    if (routerMode === 'dial') {
      const address = await publisher.open('tcp://127.0.0.1:0', 'bind');
      assert.match(address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/, 'port 0 reports the real port');
      receiver = subscriber(address, 'dial', log.onPeer);
      await receiver.open();
    } else {
      receiver = subscriber('tcp://127.0.0.1:0', 'bind', log.onPeer);
      await receiver.open();
      assert.match(receiver.address, /^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
      await publisher.open(receiver.address, 'dial');
    }
    await log.next('connected');
    await settle(publisher, receiver);
    for (let seq = 0n; seq < 100n; seq += 1n) {
      await publisher.send(eventMessage(seq % 2n === 0n ? 'kv@a' : 'other', seq, payload));
    }
    for (let seq = 0n; seq < 100n; seq += 2n) {
      const frame = parseEventMessage((await receiver.receive()) ?? []);
      assert.deepEqual([frame?.topic, frame?.seq], ['kv@a', seq]);
    }
    publisher.close();
    await log.next('disconnected');
    receiver.close();
    assert.equal(openSocketCount(), 0);
  });
}

test('a publisher that comes back at its address is a new connection', async () => {
  const first = new PublisherSocket({ sendHighWaterMark: 10 });
  const address = await first.open('tcp://127.0.0.1:0', 'bind');
  const log = peerLog();
  const receiver = subscriber(address, 'dial', log.onPeer);
  await receiver.open();
  await log.next('connected');
  first.close();
  await log.next('disconnected');
  const second = new PublisherSocket({ sendHighWaterMark: 10 });
  await second.open(address, 'bind');
  await log.next('connected');
  assert.deepEqual(log.changes, ['connected', 'disconnected', 'connected']);
  closeAllSockets();
  assert.equal(openSocketCount(), 0);
});

test('a replay is answered with every batch and an end marker', async () => {
  const server = new ReplayServer({ sendHighWaterMark: 0 });
  const client = new ReplayClient(await server.open('tcp://127.0.0.1:0'));
  await client.request(5n);
  const request = await server.receive();
  assert.equal(request?.startSeq, 5n);
  assert.ok(request !== null);
  for (let seq = 5n; seq < 8n; seq += 1n) {
    await server.reply(request.peer, replayReply('kv@a', seq, payload));
  }
  await server.reply(request.peer, replayEnd(true));
  const seen: string[] = [];
  for (;;) {
    const reply = parseReplayReply((await client.receive()) ?? []);
    assert.ok(reply !== null);
    if (reply.kind === 'end') break;
    seen.push(`${reply.frame.topic} ${reply.frame.seq}`);
  }
  assert.deepEqual(seen, ['kv@a 5', 'kv@a 6', 'kv@a 7']);
  client.close();
  server.close();
});

test('a pending receive resolves to null when its socket closes', async () => {
  const server = new ReplayServer({ sendHighWaterMark: 0 });
  const address = await server.open('tcp://127.0.0.1:0');
  const client = new ReplayClient(address);
  const receiver = subscriber(address, 'dial', () => undefined);
  await receiver.open();
  const pending = [server.receive(), client.receive(), receiver.receive()];
  closeAllSockets();
  assert.deepEqual(await Promise.all(pending), [null, null, null]);
  assert.equal(await receiver.receive(), null, 'and so does a later one');
  receiver.close();
});

test('an unusable address is a clear error and leaves nothing open', async () => {
  const server = new ReplayServer({ sendHighWaterMark: 0 });
  const address = await server.open('tcp://127.0.0.1:0');
  const taken = subscriber(address, 'bind', () => undefined);
  await assert.rejects(taken.open(), (error: Error) =>
    error.message.startsWith(`cannot listen at ${address}: `),
  );
  const nonsense = subscriber('nonsense', 'dial', () => undefined);
  await assert.rejects(nonsense.open(), /cannot connect to nonsense: /);
  assert.throws(() => new ReplayClient('nonsense'), /cannot connect to nonsense: /);
  server.close();
  assert.equal(openSocketCount(), 0);
});

test('a message over the limit cuts the connection instead of filling memory', async () => {
  const publisher = new PublisherSocket({ sendHighWaterMark: 10 });
  const log = peerLog();
  const receiver = subscriber(
    await publisher.open('tcp://127.0.0.1:0', 'bind'),
    'dial',
    log.onPeer,
  );
  await receiver.open();
  await log.next('connected');
  await settle(publisher, receiver);
  const huge = Buffer.alloc(64 * 1024 * 1024);
  await publisher.send(['kv@', encodeSeq(1n), huge].map((part) => Buffer.from(part)));
  await log.next('disconnected');
  closeAllSockets();
});

test('a worker that closes its sockets first ends cleanly after an exception', async () => {
  const zmqUrl = new URL('../../src/wire/zmq.js', import.meta.url).href;
  const source = `
    const { ReplayServer, closeAllSockets } = await import(${JSON.stringify(zmqUrl)});
    const server = new ReplayServer({ sendHighWaterMark: 0 });
    await server.open('tcp://127.0.0.1:0');
    const loop = server.receive();
    try { throw new Error('injected'); } catch { closeAllSockets(); }
    if (await loop !== null) throw new Error('loop did not end');
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const code = await new Promise((resolve, reject) => {
    worker.once('exit', resolve);
    worker.once('error', reject);
  });
  assert.equal(code, 0);
});
