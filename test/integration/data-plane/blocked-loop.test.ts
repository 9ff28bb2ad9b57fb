// A main thread that does not come round to its event loop holds no stream of the native plane up.
// The portable plane is the negative control: its streams stand still meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { makeNativePlane } from '#test/support/native-plane.js';
import { PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';

/** Chunks that must come while the loop is blocked; far more than sockets hold back. */
const CHUNKS = 50;
/** The engine sends 50 chunks in a tenth of a second; a loaded machine gets a hundred times that. */
const GIVEN_UP_AFTER_MS = 10_000;
/** How long the control is watched: long enough for 150 chunks. */
const CONTROL_MS = 300;

/** Blocks the event loop until `count` more chunks have come, at most `limitMs`; their number. */
function block(chunks: Int32Array, count: number, limitMs: number): number {
  const before = Atomics.load(chunks, 0);
  const deadline = performance.now() + limitMs;
  let seen = 0;
  while (seen < count && performance.now() < deadline) seen = Atomics.load(chunks, 0) - before;
  return seen;
}

for (const { name, make, skip } of PLANES) {
  test(`${name}: a stream while the event loop is blocked`, { skip }, async (context) => {
    const shared = new SharedArrayBuffer(4);
    const chunks = new Int32Array(shared);
    const url = new URL('../../support/streaming-peer.worker.js', import.meta.url);
    const peer = new Worker(url, { workerData: shared });
    context.after(() => peer.terminate());
    const enginePort = await new Promise<number>((resolve) => peer.once('message', resolve));
    const rig = await PlaneRig.start(make, [`http://127.0.0.1:${enginePort}`]);
    peer.postMessage(rig.port);
    await eventually('the stream runs', () => Atomics.load(chunks, 0) > 0);
    if (name === 'portable') {
      // What had been written before may still arrive.
      assert.ok(block(chunks, CHUNKS, CONTROL_MS) < CHUNKS, 'a plane in JavaScript stands still');
    } else {
      for (let round = 0; round < 5; round += 1) {
        assert.ok(block(chunks, CHUNKS, GIVEN_UP_AFTER_MS) >= CHUNKS);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await peer.terminate();
    await rig.finished(1);
    // Client and engine are one process: either end may be seen first.
    assert.match(rig.done[0]?.outcome ?? '', /^(?:client-gone|endpoint-failed)$/);
    await rig.stop();
  });
}

test('native: a request that waits for a blocked event loop ends when its whole time is up', {
  skip: nativeSkip,
}, async (context) => {
  const shared = new SharedArrayBuffer(4);
  const pieces = new Int32Array(shared);
  const url = new URL('../../support/streaming-peer.worker.js', import.meta.url);
  const peer = new Worker(url, { workerData: shared });
  context.after(() => peer.terminate());
  const enginePort = await new Promise<number>((resolve) => peer.once('message', resolve));
  const timeouts = { totalMs: 200 };
  const rig = await PlaneRig.start(makeNativePlane, [`http://127.0.0.1:${enginePort}`], {
    timeouts,
  });
  peer.postMessage(rig.port);
  // The answer comes although nobody can decide, or say that there is none.
  assert.equal(block(pieces, 1, GIVEN_UP_AFTER_MS), 1);
  await rig.finished(1);
  assert.deepEqual(rig.story, ['rejected deadline_exceeded']);
  await rig.stop();
});
