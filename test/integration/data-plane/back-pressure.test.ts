// A client that reads nothing holds its engine back instead of filling the router's memory, and is
// cut when it goes on doing so.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteEngine } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { post, RawClient } from '#test/support/raw-client.js';
import { VirtualClock } from '#test/support/time.js';

const ANSWER_BYTES = 96 * 1024 * 1024;
/** Two loopback connections buffer up to about 10 MiB each in the kernel. */
const BUFFERED_BYTES_MAX = 32 * 1024 * 1024;

/** Waits until the engine has been kept from writing for a hundred looks in a row. */
async function held(counter: { readonly sent: number; readonly held: boolean }): Promise<void> {
  let before = -1;
  let looks = 0;
  await eventually('the engine is held', () => {
    looks = counter.held && counter.sent === before ? looks + 1 : 0;
    before = counter.sent;
    return looks > 100;
  });
}

/** Writes as fast as it is let; `sent` counts what the kernel has taken. */
function floodingEngine(counter: { sent: number; held: boolean }): Promise<ByteEngine> {
  const piece = Buffer.alloc(64 * 1024, 'z');
  return ByteEngine.start(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${ANSWER_BYTES}\r\n\r\n`);
    const fill = () => {
      counter.held = false;
      while (counter.sent < ANSWER_BYTES) {
        counter.sent += piece.length;
        if (!socket.write(piece)) {
          counter.held = true;
          socket.once('drain', fill);
          return;
        }
      }
    };
    fill();
  });
}

for (const { name, make, skip } of PLANES) {
  test(`${name}: a slow reader holds the engine back, and gets every byte when it reads on`, {
    skip,
  }, async () => {
    const counter = { sent: 0, held: false };
    const engine = await floodingEngine(counter);
    const rig = await PlaneRig.start(make, [engine.url]);
    const client = new RawClient(rig.port).send(post('{}'));
    client.socket.pause();
    await held(counter);
    assert.ok(counter.sent < BUFFERED_BYTES_MAX, `${counter.sent} bytes taken from the engine`);
    client.socket.resume();
    await rig.finished(1);
    await eventually('all bytes', () => client.socket.bytesRead > ANSWER_BYTES);
    assert.equal(rig.done[0]?.outcome, 'completed');
    assert.equal(rig.done[0]?.responseBytes, ANSWER_BYTES);
    client.socket.destroy();
    await rig.stop();
    await engine.stop();
  });
}

for (const { name, make, skip } of PLANES) {
  test(`${name}: a client that takes nothing for the whole limit is cut, and its engine freed`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const counter = { sent: 0, held: false };
    const engine = await floodingEngine(counter);
    const timeouts = { clientStallMs: 60_000, idleMs: 1_000 };
    const rig = await PlaneRig.start(make, [engine.url], { clock, timeouts });
    const client = new RawClient(rig.port).send(post('{}'));
    client.socket.pause();
    await held(counter);
    clock.advance(50_000);
    assert.equal(rig.done.length, 0, 'a held engine is not a stalled one');
    clock.advance(70_000);
    await rig.finished(1);
    assert.equal(rig.done[0]?.outcome, 'client-gone');
    await eventually('engine freed', () => engine.connections === 0);
    client.socket.destroy();
    await rig.stop();
    await engine.stop();
  });
}
