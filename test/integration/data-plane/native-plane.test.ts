// What only the native plane promises: a policy that is late is replaced, several planes live in
// one process, and nothing keeps the process alive afterwards.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import type { NativeDataPlane } from '#core/native/data-plane/data-plane.js';
import { ByteEngine, plain } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { makeNativePlane } from '#test/support/native-plane.js';
import { endpoint, PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { post, RawClient } from '#test/support/raw-client.js';

const options = { skip: nativeSkip };
const served = (id: string) => ({
  models: [{ id, parent: null, root: null, maxModelLen: null, loaded: true, raw: {} }],
});

test('a policy that misses its limit is replaced, where that is safe', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => socket.write(plain(200, body)));
  const other = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'wrong')));
  const timeouts = { decideMs: 30 };
  const rig = await PlaneRig.start(makeNativePlane, [], { timeouts });
  rig.setEndpoints([
    endpoint(0, other.url, served('other')),
    endpoint(1, engine.url, { ...served('mine'), dpRank: 3 }),
  ]);
  rig.onRequest = () => {};
  const plane = rig.plane as NativeDataPlane;
  const picked = new RawClient(rig.port).send(post('{"model":"mine","messages":[]}'));
  await eventually('answered', () => picked.text.endsWith('"messages":[]}'));
  await rig.finished(1);
  assert.deepEqual(rig.story, ['1 answers 200', 'completed']);
  assert.equal(engine.requests[0]?.headers['x-data-parallel-rank'], '3');
  assert.equal(rig.forward(rig.heads[0] ?? assert.fail()), false);
  assert.equal(plane.stats().policyMissed, 1);

  // None of these may be forwarded without JavaScript: they wait for it, however late it is.
  const left = [
    post('{"model":"nobody serves it"}'),
    post('{"messages":[]}'),
    post('{"model":"mine","chat_template":"x"}'),
    post('{"model":"mine","kv_transfer_params":{}}'),
    post('{"model":"mine","model":"other"}'),
    post('not JSON'),
    post('{"model":"mine"}', '', '/v1/embeddings'),
    post('{"model":"mine"}', 'x-llm-d-model-name-rewrite: other\r\n'),
    post('{"model":"mine"}', 'X-Gateway-Model-Name-Rewrite: other\r\n'),
    post('{"model":"mine"}', 'x-gateway-destination-endpoint-subset: 10.0.0.1:80\r\n'),
  ];
  const clients = left.map((bytes) => new RawClient(rig.port).send(bytes));
  await eventually('all announced', () => rig.heads.length === 1 + left.length);
  // A request that came later is picked natively, so the limit of those has passed.
  const later = new RawClient(rig.port).send(post('{"model":"mine"}'));
  await eventually('a later one is answered', () => later.text.endsWith('{"model":"mine"}'));
  assert.equal(engine.requests.length, 2);
  assert.equal(other.requests.length, 0);
  for (const head of rig.heads.slice(1, 1 + left.length)) {
    assert.equal(rig.plane.respond(head.handle, 200, [], 'decided'), true);
  }
  for (const client of clients) await eventually('decided', () => client.text.endsWith('decided'));
  plane.setUsable(1, false);
  const unusable = new RawClient(rig.port).send(post('{"model":"mine"}'));
  await eventually('announced', () => rig.heads.length === 3 + left.length);
  unusable.socket.destroy();
  await rig.finished(3 + left.length);
  assert.equal(engine.requests.length, 2);
  for (const client of [picked, later, ...clients]) client.socket.destroy();
  await rig.stop();
  await Promise.all([engine.stop(), other.stop()]);
});

for (const { name, make, skip } of PLANES) {
  test(`${name}: bodies with hundreds of cuts arrive as they should`, { skip }, async (context) => {
    const seed = 31;
    context.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    const body = Buffer.from(Array.from({ length: 300_000 }, (_, at) => 33 + (at % 90)));
    const patches: { offset: number; length: number; text: string }[] = [];
    const expected: Buffer[] = [];
    let at = 0;
    while (at < body.length - 2000) {
      const offset = at + Math.floor(random.next() * 1000);
      const length = Math.floor(random.next() * 50);
      const text = random.next() < 0.5 ? '' : '"é"';
      patches.push({ offset, length, text });
      expected.push(body.subarray(at, offset), Buffer.from(text));
      at = offset + length;
    }
    expected.push(body.subarray(at));
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    rig.onRequest = ({ handle }) =>
      rig.plane.forward(handle, {
        targets: [{ slot: 0, requestHeaders: [], responseHeaders: [] }],
        patches: patches.toReversed(),
      });
    const client = new RawClient(rig.port).send(post(body));
    await eventually('answered', () => client.text.endsWith('ok'));
    assert.ok(patches.length > 300);
    assert.ok(engine.requests[0]?.body.equals(Buffer.concat(expected)));
    client.socket.destroy();
    await rig.stop();
    await engine.stop();
  });
}

test('two planes in one process keep apart', options, async () => {
  const engines = await Promise.all(
    ['a', 'b'].map((text) => ByteEngine.start(({ socket }) => socket.write(plain(200, text)))),
  );
  const rigs = await Promise.all(
    engines.map((engine) => PlaneRig.start(makeNativePlane, [engine.url])),
  );
  const clients = rigs.map((rig) => new RawClient(rig.port).send(post('{}')));
  for (const [position, text] of ['a', 'b'].entries()) {
    await eventually(text, () => clients[position]?.text.endsWith(`\r\n\r\n${text}`) === true);
    assert.equal(rigs[position]?.heads.length, 1);
  }
  for (const client of clients) client.socket.destroy();
  await Promise.all([...rigs, ...engines].map((one) => one.stop()));
});

test('a drained plane keeps no process alive', options, async () => {
  const script = `
    import { createDataPlane } from '#core/native/data-plane/data-plane.js';
    import { createRequestStore } from '#core/native/request-store.js';
    import { nativeAddon } from '#test/support/native-addon.js';
    import { processClock } from '#workers/process-clock.js';
    const silent = () => {};
    const plane = createDataPlane(nativeAddon(), {
      store: createRequestStore(nativeAddon()), clock: processClock, host: '127.0.0.1', port: 0,
      threads: 2, accept: 'shared',
      logger: { debug: silent, info: silent, warn: silent, error: silent },
    });
    await plane.start({ onRequests() {}, onProgress() {} });
    await plane.drain(10);
    console.log('drained');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  assert.match(text, /drained/);
});
