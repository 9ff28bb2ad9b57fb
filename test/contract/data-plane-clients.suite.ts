// What every DataPlane must do with clients that leave, send what they must not, or take their
// time, and when it is drained under load.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { RouterError } from '#contracts/errors.js';
import { BODY_BYTES_MAX, HEADER_COUNT_MAX } from '#contracts/limits.js';
import { ByteEngine, chunk, LAST_CHUNK, plain, STREAM_HEAD } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { type MakePlane, PlaneRig } from '#test/support/plane-rig.js';
import { post, RawClient } from '#test/support/raw-client.js';
import { call } from './data-plane-relay.suite.js';

export function clientSuite(name: string, make: MakePlane, skip: string | false = false): void {
  aborts(name, make, skip);
  refusals(name, make, skip);
  refusedBehindAnswers(name, make, skip);
  draining(name, make, skip);
}

function aborts(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: a client that leaves while sending or being decided on is never forwarded`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    const sending = new RawClient(rig.port).send(
      'POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf',
    );
    await eventually('body begun', () => rig.plane.inFlight() === 1);
    sending.socket.destroy();
    await rig.finished(1);
    rig.onRequest = () => {};
    for (const leave of ['end', 'reset'] as const) {
      const client = new RawClient(rig.port).send(post('{}'));
      await eventually('announced', () => rig.heads.length > 0);
      const [head] = rig.heads.splice(0);
      assert.ok(head !== undefined);
      if (leave === 'end') client.socket.destroy();
      else client.socket.resetAndDestroy();
      await rig.finished(leave === 'end' ? 2 : 3);
      assert.equal(rig.forward(head), false);
      assert.equal(rig.plane.reject(head.handle, new RouterError('overloaded', 'no')), false);
      assert.equal(rig.plane.respond(head.handle, 200, [], ''), false);
    }
    assert.deepEqual(rig.story, ['client-gone', 'client-gone', 'client-gone']);
    assert.equal(engine.requests.length, 0);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a client that leaves frees its engine, before and within the answer`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) => {
      if (body.toString() === 'stream') {
        socket.write(STREAM_HEAD);
        socket.write(chunk('data: 1\n\n'));
      }
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    let count = 0;
    for (const body of ['stream', 'silent']) {
      for (const leave of ['end', 'reset'] as const) {
        count += 1;
        const client = new RawClient(rig.port).send(post(body));
        await eventually('asked', () => engine.requests.length === count);
        if (body === 'stream')
          await eventually('first event', () => client.text.includes('data: 1'));
        if (leave === 'end') client.socket.destroy();
        else client.socket.resetAndDestroy();
        await eventually('engine freed', () => engine.closed === count);
        await rig.finished(count);
        assert.equal(rig.done[count - 1]?.outcome, 'client-gone');
      }
    }
    assert.equal(rig.plane.inFlight(), 0);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a client that closed only its sending side gets a late answer`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(() => {});
    const rig = await PlaneRig.start(make, [engine.url]);
    const client = new RawClient(rig.port);
    client.socket.end(post('{}'));
    await eventually('asked', () => engine.requests.length === 1);
    await eventually('probed', () => client.statuses.length >= 3);
    engine.requests[0]?.socket.write(plain(200, 'answer'));
    await eventually('answered', () => client.text.endsWith('answer'));
    await rig.finished(1);
    assert.equal(rig.done[0]?.outcome, 'completed');
    await rig.stop();
    await engine.stop();
  });
}

function refusals(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: what is too large, encoded, or no HTTP is refused in the usual shape`, {
    skip,
  }, async () => {
    const rig = await PlaneRig.start(make, []);
    const many = Array.from({ length: HEADER_COUNT_MAX }, (_, index) => `x-h${index}: 1\r\n`);
    const head = 'POST /v1/x HTTP/1.1\r\nHost: a\r\n';
    const cases: readonly (readonly [number, string, string])[] = [
      [413, 'body_too_large', `${head}Content-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n`],
      [
        413,
        'body_too_large',
        `${head}Expect: 100-continue\r\nContent-Length: ${BODY_BYTES_MAX + 1}\r\n\r\n`,
      ],
      [415, 'unsupported_encoding', `${head}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`],
      [431, 'headers_too_large', `${head}${many.join('')}\r\n`],
      [431, 'headers_too_large', `${head}x: ${'y'.repeat(20_000)}\r\n\r\n`],
      [400, 'malformed_request', 'GET /v1/x HTTP/1.1\r\n\r\n'],
      [400, 'malformed_request', 'GET /v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
      [400, 'malformed_request', 'GET /v1/x HTTP/2.0\r\nHost: a\r\n\r\n'],
      [400, 'malformed_request', 'GET v1/x HTTP/1.1\r\nHost: a\r\n\r\n'],
      [400, 'malformed_request', `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
      [400, 'malformed_request', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
      [400, 'malformed_request', '\x16\x03\x01 is TLS\r\n\r\n'],
    ];
    for (const [status, code, bytes] of cases) {
      const client = new RawClient(rig.port).send(bytes);
      await eventually(`${status} for ${bytes.slice(0, 80)}`, () => /\}\}$/.test(client.text));
      assert.deepEqual(client.statuses, [status]);
      assert.match(client.text, new RegExp(`"code":"${code}","source":"client"`));
      assert.match(client.text, /x-request-id: \S/);
      assert.match(client.text, /x-warmpath-error-source: client/);
      client.socket.destroy();
    }
    assert.equal(rig.heads.length, 0);
    await eventually('nothing held', () => rig.plane.inFlight() === 0);
    await rig.stop();
  });

  test(`${name}: a body that grows too large is refused, and the client can read why`, {
    skip,
  }, async () => {
    const rig = await PlaneRig.start(make, []);
    const body = Buffer.alloc(BODY_BYTES_MAX + 1, 'x');
    const answer = await call(rig.port, { headers: { 'transfer-encoding': 'chunked' } }, body);
    assert.equal(answer.status, 413);
    await rig.finished(1);
    assert.deepEqual(rig.story, ['rejected body_too_large']);
    await rig.stop();
  });

  test(`${name}: a slow head and a slow body are answered with 408`, { skip }, async () => {
    const rig = await PlaneRig.start(make, [], { timeouts: { headersMs: 300, requestMs: 600 } });
    const slow = [
      'POST /v1/x HTTP/1.1\r\nHost:',
      'POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf',
    ];
    const clients = slow.map((bytes) => new RawClient(rig.port).send(bytes));
    for (const client of clients) {
      await eventually('408 and closed', () => client.closed);
      assert.deepEqual(client.statuses, [408]);
    }
    await rig.finished(1);
    assert.deepEqual(rig.story, ['rejected request_timeout']);
    await rig.stop();
  });
}

function refusedBehindAnswers(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: what is no request costs the requests before it nothing`, { skip }, async () => {
    const engine = await ByteEngine.start(() => {});
    const rig = await PlaneRig.start(make, [engine.url]);
    const bad = [
      'garbage\r\n\r\n',
      'POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ];
    for (const [round, bytes] of bad.entries()) {
      const client = new RawClient(rig.port);
      client.send(Buffer.concat([post('first'), post('second'), Buffer.from(bytes)]));
      await eventually('both asked', () => engine.requests.length === 2 * round + 2);
      client.send('more of it');
      const asked = engine.requests.slice(-2);
      for (const { socket, body } of asked.reverse()) socket.write(plain(200, body));
      await eventually('refused and closed', () => client.closed);
      assert.deepEqual(client.statuses, [200, 200, 400]);
      assert.ok(client.text.indexOf('first') < client.text.indexOf('second'));
      assert.match(client.text, /"code":"malformed_request"/);
    }
    await rig.finished(5);
    assert.deepEqual(
      rig.done.map(({ outcome }) => outcome).filter((outcome) => outcome !== 'completed'),
      ['rejected'],
    );
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a late second head is refused behind the running stream`, { skip }, async () => {
    const engine = await ByteEngine.start(({ socket }) => {
      socket.write(STREAM_HEAD);
      socket.write(chunk('data: 0\n\n'));
    });
    const timeouts = { headersMs: 200, requestMs: 400 };
    const rig = await PlaneRig.start(make, [engine.url], { timeouts });
    const client = new RawClient(rig.port).send(post('{}'));
    await eventually('begun', () => client.text.includes('data: 0'));
    client.send('POST /v1/x HTTP/1.1\r\nHost:');
    // Long past every limit: the portable plane looks for late heads once a second.
    for (let event = 1; event <= 25; event += 1) {
      await setTimeout(100);
      engine.requests[0]?.socket.write(chunk(`data: ${event}\n\n`));
    }
    engine.requests[0]?.socket.write(LAST_CHUNK);
    await eventually('refused and closed', () => client.closed);
    assert.deepEqual(client.statuses, [200, 408]);
    assert.match(client.text, /data: 25\n\n\r\n0\r\n\r\nHTTP\/1.1 408 /);
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 answers 200', 'completed']);
    await rig.stop();
    await engine.stop();
  });
}

function draining(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: draining lets a live stream finish and takes no new connection`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket }) => {
      socket.write(STREAM_HEAD);
      socket.write(chunk('data: 1\n\n'));
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    const client = new RawClient(rig.port).send(post('{}'));
    const idle = new RawClient(rig.port);
    await eventually('first event', () => client.text.includes('data: 1'));
    const drained = rig.plane.drain(30_000);
    await eventually('idle closed', () => idle.closed);
    await eventually('nobody listens', () => isRefused(rig.port));
    engine.requests[0]?.socket.write(chunk('data: [DONE]\n\n'));
    engine.requests[0]?.socket.write(LAST_CHUNK);
    await drained;
    assert.deepEqual(rig.story, ['0 answers 200', 'completed']);
    await eventually('closed', () => client.closed);
    assert.ok(client.text.endsWith(LAST_CHUNK));
    assert.match(client.text, /DONE/);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: who has connected and sent a request before draining is answered`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    const kept = new RawClient(rig.port).send(post('{}'));
    await eventually('first answer', () => kept.text.endsWith('ok'));
    const sent = Array.from({ length: 20 }, () => new RawClient(rig.port).send(post('{}')));
    kept.send(post('{}'));
    // Connected by the system; nobody need have accepted them yet.
    await Promise.all(sent.map(({ socket }) => once(socket, 'connect')));
    await rig.plane.drain(30_000);
    await eventually('all closed', () => [kept, ...sent].every((client) => client.closed));
    for (const client of sent) assert.deepEqual(client.statuses, [200]);
    assert.deepEqual(kept.statuses, [200, 200]);
    assert.equal(await isRefused(rig.port), true);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: when draining time is up everything is ended with an error`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) => {
      if (body.toString() === 'stream') {
        socket.write(STREAM_HEAD);
        socket.write(chunk('data: 1\n\n'));
      }
      if (body.toString() === 'json') {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{');
      }
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    rig.onRequest = (head) => {
      if (head.path !== '/undecided') rig.forward(head);
    };
    const stream = new RawClient(rig.port).send(post('stream'));
    const json = new RawClient(rig.port).send(post('json'));
    const waiting = new RawClient(rig.port).send(post('waiting'));
    const undecided = new RawClient(rig.port).send(post('undecided', '', '/undecided'));
    await eventually('all there', () => rig.heads.length === 4 && engine.requests.length === 3);
    await eventually('begun', () => stream.text.includes('data: 1') && json.text.endsWith('{'));
    await rig.plane.drain(50);
    await eventually('all closed', () => [stream, json, waiting, undecided].every((c) => c.closed));
    assert.match(stream.text, /data: \{"error":.*"code":"shutting_down"/);
    assert.ok(json.text.endsWith('{'));
    for (const client of [waiting, undecided]) {
      assert.deepEqual(client.statuses, [503]);
      assert.match(client.text, /"code":"shutting_down"/);
    }
    assert.equal(rig.done.length, 4);
    assert.ok(rig.done.every((done) => done.errorCode === 'shutting_down'));
    await eventually('engine freed', () => engine.connections === 0);
    await rig.stop();
    await engine.stop();
  });
}

/** Whether nobody listens on the port. */
function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
}
