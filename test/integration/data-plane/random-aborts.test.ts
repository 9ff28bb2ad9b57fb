// Two thousand random requests that end in every way there is: afterwards nothing is held, every
// request has had exactly one `done`, and no descriptor is left open.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { RouterError } from '#contracts/errors.js';
import { seededRandom } from '#contracts/random.js';
import { ByteEngine, chunk, LAST_CHUNK, plain, STREAM_HEAD } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { post, RawClient } from '#test/support/raw-client.js';

const { WARMPATH_RANDOM_REQUESTS = '2000', WARMPATH_SEED = '4711' } = process.env;
const REQUESTS = Number(WARMPATH_RANDOM_REQUESTS);
const AT_ONCE = 50;
/** How long a client that does not leave early waits for the first byte. */
const PATIENCE_MS = 400;

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

for (const { name, make, skip } of PLANES) {
  test(`${name}: ${REQUESTS} requests with aborts at random points leave nothing behind`, {
    skip,
  }, async (context) => {
    const seed = Number(WARMPATH_SEED);
    context.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    const pick = (count: number) => Math.floor(random.next() * count);
    const script: ByteEngine['script'] = ({ socket, body }) => {
      switch (pick(9)) {
        case 0:
          return socket.destroy();
        case 1:
          return socket.resetAndDestroy();
        case 2:
          return socket.write(plain(503, 'busy'));
        case 3:
          return socket.end(`${STREAM_HEAD}${chunk('data: 1\n\n').toString()}`);
        case 4:
          return; // Never answers: only an abort ends it.
        case 5:
          socket.write(STREAM_HEAD);
          for (let event = 0; event < 20; event += 1) socket.write(chunk(`data: ${event}\n\n`));
          return socket.write(LAST_CHUNK);
        default:
          return socket.write(plain(200, body));
      }
    };
    const before = descriptors();
    const engines = [await ByteEngine.start(script), await ByteEngine.start(script)];
    const rig = await PlaneRig.start(
      make,
      engines.map(({ url }) => url),
    );
    rig.onRequest = (head) => {
      const decide = () => {
        const dice = pick(10);
        if (dice === 0) rig.plane.reject(head.handle, new RouterError('overloaded', 'no'));
        else if (dice === 1) rig.plane.respond(head.handle, 200, [], 'local');
        else rig.forward(head);
      };
      if (pick(2) === 0) decide();
      else setTimeout(decide, pick(5));
    };

    const one = async (): Promise<void> => {
      const client = new RawClient(rig.port);
      const whole = post(Buffer.alloc(Math.floor(random.next() ** 6 * 400_000), 'a'));
      const leavesEarly = pick(3) === 0;
      const abortAfterMs = leavesEarly ? pick(20) : PATIENCE_MS;
      if (pick(4) === 0) client.send(whole.subarray(0, 1 + pick(whole.length - 1)));
      else client.send(whole);
      await new Promise((resolve) => {
        setTimeout(resolve, abortAfterMs);
        if (!leavesEarly) client.socket.once('data', () => setTimeout(resolve, pick(5)));
      });
      if (pick(2) === 0) client.socket.destroy();
      else client.socket.resetAndDestroy();
      await eventually('closed', () => client.closed);
    };
    for (let done = 0; done < REQUESTS; done += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, one));
    }
    await eventually('nothing in flight', () => rig.plane.inFlight() === 0);
    assert.deepEqual(rig.store.usage(), { slots: 0, bytes: 0 });
    const handles = rig.done.map(({ handle }) => `${handle.slot}/${handle.generation}`);
    assert.equal(new Set(handles).size, handles.length, 'one done for each handle');
    const announced = new Set(handles);
    for (const { handle } of rig.heads)
      assert.ok(announced.has(`${handle.slot}/${handle.generation}`));
    const outcomes = new Set(rig.done.map(({ outcome }) => outcome));
    assert.deepEqual([...outcomes].sort(), [
      'answered-locally',
      'client-gone',
      'completed',
      'endpoint-failed',
      'rejected',
    ]);
    await rig.stop();
    await Promise.all(engines.map((engine) => engine.stop()));
    await eventually('descriptors given back', () => descriptors() <= before);
  });
}
