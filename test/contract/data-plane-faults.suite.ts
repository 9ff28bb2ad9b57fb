// What every DataPlane must do when engines fail: retries before the first byte, explicit ends
// after it, time limits, and never a retry of an answer that has begun.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteEngine, chunk, LAST_CHUNK, plain, STREAM_HEAD } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { endpoint, type MakePlane, PlaneRig } from '#test/support/plane-rig.js';
import { post, RawClient } from '#test/support/raw-client.js';
import { VirtualClock } from '#test/support/time.js';
import { call } from './data-plane-relay.suite.js';

/** A port nobody listens on. */
async function deadUrl(): Promise<string> {
  const engine = await ByteEngine.start(() => {});
  const { url } = engine;
  await engine.stop();
  return url;
}

export function faultSuite(name: string, make: MakePlane, skip: string | false = false): void {
  retries(name, make, skip);
  connections(name, make, skip);
  brokenAnswers(name, make, skip);
  timeLimits(name, make, skip);
  totalLimit(name, make, skip);
}

function retries(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: unreachable, reset and busy engines are passed over before the first byte`, {
    skip,
  }, async () => {
    const good = await ByteEngine.start(({ socket, body }) => socket.write(plain(200, body)));
    const bad = await ByteEngine.start(() => {});
    const rig = await PlaneRig.start(make, [await deadUrl(), good.url]);
    const body = Buffer.alloc(600_000, 'x');
    const answer = await call(rig.port, {}, body);
    assert.equal(answer.status, 200);
    assert.ok(answer.body.equals(body), 'the body is sent again in full');
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 unreachable -> 1', '1 answers 200', 'completed']);
    const scripts: readonly (readonly [string, ByteEngine['script']])[] = [
      ['unreachable', ({ socket }) => socket.destroy()],
      ['unreachable', ({ socket }) => socket.resetAndDestroy()],
      // A head without a byte of body is no answer yet.
      ['unreachable', ({ socket }) => socket.end(STREAM_HEAD)],
      ['server-error', ({ socket }) => socket.end('this is not HTTP\r\n\r\n')],
      [
        'server-error',
        ({ socket }) => socket.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1e6)}\r\n\r\n`),
      ],
      ['busy', ({ socket }) => socket.write(plain(503, 'later'))],
    ];
    for (const [outcome, script] of scripts) {
      bad.script = script;
      rig.setEndpoints([endpoint(0, bad.url), endpoint(1, good.url)]);
      rig.progress.length = 0;
      assert.equal((await call(rig.port, {}, '{}')).status, 200);
      await rig.finished(1);
      assert.deepEqual(rig.story, [`0 ${outcome} -> 1`, '1 answers 200', 'completed']);
    }
    await rig.stop();
    await Promise.all([good.stop(), bad.stop()]);
  });

  test(`${name}: busy answers reach the client when they are the last, 429 and 4xx always`, {
    skip,
  }, async () => {
    const status = { value: 503 };
    const script: ByteEngine['script'] = ({ socket }) =>
      socket.write(plain(status.value, '{"busy":1}', 'Retry-After: 7\r\n'));
    const [first, second] = [await ByteEngine.start(script), await ByteEngine.start(script)];
    const rig = await PlaneRig.start(make, [first.url, second.url]);
    const busy = await call(rig.port, {}, '{}');
    assert.equal(busy.status, 503);
    assert.equal(busy.headers['retry-after'], '7');
    for (const code of [429, 400, 500]) {
      status.value = code;
      assert.equal((await call(rig.port, {}, '{}')).status, code);
    }
    await rig.finished(4);
    assert.deepEqual(rig.story.slice(0, 5), [
      '0 busy -> 1',
      '1 answers 503',
      'completed',
      '0 answers 429',
      'completed',
    ]);
    assert.equal(second.requests.length, 1);
    await rig.stop();
    await Promise.all([first.stop(), second.stop()]);
  });

  test(`${name}: when nobody can be reached the client is told so, after three attempts`, {
    skip,
  }, async () => {
    const dead = await deadUrl();
    const rig = await PlaneRig.start(make, [dead, dead, dead, dead]);
    const answer = await call(rig.port, {}, '{}');
    assert.equal(answer.status, 502);
    assert.equal(answer.headers['x-warmpath-error-source'], 'endpoint');
    assert.equal(answer.headers['x-llm-d-request-dropped-reason'], undefined);
    assert.equal(JSON.parse(answer.body.toString()).error.code, 'endpoint_unreachable');
    await rig.finished(1);
    assert.deepEqual(rig.story, [
      '0 unreachable -> 1',
      '1 unreachable -> 2',
      '2 unreachable -> -1',
      'endpoint-failed endpoint_unreachable',
    ]);
    assert.equal(rig.done[0]?.slot, -1);
    await rig.stop();
  });

  test(`${name}: retries stop when their budget is used up, and come back with time`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const good = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [await deadUrl(), good.url], { clock });
    let retried = 0;
    for (; retried < 400; retried += 1) {
      if ((await call(rig.port, {}, '{}')).status !== 200) break;
    }
    assert.ok(retried >= 100 && retried < 200, `${retried} retries at one moment`);
    clock.advance(1000);
    assert.equal((await call(rig.port, {}, '{}')).status, 200);
    await rig.finished(retried + 2);
    await rig.stop();
    await good.stop();
  });
}

function connections(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: a kept connection that has died is replaced, a fresh one is not`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, position }) => {
      if (position === 0) socket.write(plain(200, 'ok'));
      else socket.destroy();
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    for (let index = 0; index < 20; index += 1) {
      assert.equal((await call(rig.port, {}, '{}')).status, 200);
    }
    await rig.finished(20);
    assert.ok(rig.story.every((line) => !line.includes('->')));
    assert.ok(
      engine.requests.some(({ position }) => position === 1),
      'connections are kept',
    );
    engine.script = ({ socket }) => socket.destroy();
    const before = engine.requests.length;
    assert.equal((await call(rig.port, {}, '{}')).status, 502);
    assert.ok(engine.requests.length - before <= 2, 'a fresh connection is not replaced');
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: an endpoint that leaves keeps its running requests and gets no new ones`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) => {
      if (body.toString() === 'quick') socket.write(plain(200, 'ok'));
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    await call(rig.port, {}, 'quick');
    const running = call(rig.port, {}, 'slow');
    await eventually('both there', () => engine.requests.length === 2);
    rig.onRequest = ({ handle }) =>
      rig.plane.forward(handle, {
        targets: [{ slot: 0, requestHeaders: [], responseHeaders: [] }],
        patches: [],
      });
    rig.setEndpoints([null]);
    assert.equal((await call(rig.port, {}, '{}')).status, 502);
    engine.requests[1]?.socket.write(plain(200, 'late'));
    assert.equal((await running).body.toString(), 'late');
    await eventually('connections closed', () => engine.connections === 0);
    assert.equal(engine.requests.length, 2);
    await rig.stop();
    await engine.stop();
  });
}

/** What follows the status line of an answer with a length. */
function tail(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`content-length: ${body.length}\r\n\r\n`), body]);
}

function brokenAnswers(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: a stream that breaks ends with an error event and is never retried`, {
    skip,
  }, async () => {
    const other = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'other')));
    const cases: readonly (readonly [
      string,
      (request: {
        readonly destroy: () => void;
        readonly end: () => void;
        readonly write: (bytes: Buffer | string) => void;
      }) => void,
    ])[] = [
      ['data: {"a":1}\n\n', (socket) => socket.destroy()],
      ['data: {"a":1}\n\ndata: {"b', (socket) => socket.end()],
      ['data: {"a":1}\r\n\r\n', (socket) => socket.write('zz\r\nbad chunk size\r\n')],
    ];
    for (const [sent, breakOff] of cases) {
      const engine = await ByteEngine.start(({ socket }) => {
        socket.write(STREAM_HEAD);
        socket.write(chunk(sent), () => breakOff(socket));
      });
      const rig = await PlaneRig.start(make, [engine.url, other.url]);
      const answer = await call(rig.port, {}, '{}');
      const text = answer.body.toString();
      assert.ok(text.startsWith(sent));
      const rest = text.slice(sent.length);
      const complete = sent.endsWith('\n\n') || sent.endsWith('\r\n\r\n');
      assert.match(rest, complete ? /^data: \{"error".*\}\n\n$/ : /^\n\ndata: \{"error".*\}\n\n$/);
      assert.match(rest, /"code":"endpoint_disconnected"/);
      assert.doesNotMatch(text, /DONE/);
      await rig.finished(1);
      assert.deepEqual(rig.story, ['0 answers 200', 'endpoint-failed endpoint_disconnected']);
      await rig.stop();
      await engine.stop();
    }
    assert.equal(other.requests.length, 0);
    await other.stop();
  });

  test(`${name}: a short answer that is no stream is cut, never passed off as whole`, {
    skip,
  }, async () => {
    const short = [
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"a":',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk('{"a":').toString()}`,
    ];
    for (const bytes of short) {
      const engine = await ByteEngine.start(({ socket }) => socket.end(bytes));
      const rig = await PlaneRig.start(make, [engine.url]);
      await assert.rejects(call(rig.port, {}, '{}'), /aborted|ECONNRESET|hang up/);
      await rig.finished(1);
      assert.deepEqual(rig.story, ['0 answers 200', 'endpoint-failed endpoint_disconnected']);
      await rig.stop();
      await engine.stop();
    }
  });

  test(`${name}: a status text that cannot be sent on costs the text, not the answer`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) =>
      socket.write(Buffer.concat([Buffer.from('HTTP/1.1 200 \xe9\xff\r\n', 'latin1'), tail(body)])),
    );
    const rig = await PlaneRig.start(make, [engine.url]);
    for (const text of ['first', 'second, on the same connection']) {
      const answer = await call(rig.port, {}, text);
      assert.equal(answer.status, 200);
      assert.equal(answer.body.toString(), text);
    }
    await rig.finished(2);
    assert.deepEqual(rig.story, ['0 answers 200', 'completed', '0 answers 200', 'completed']);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: bytes behind an answer reach no other client`, { skip }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) =>
      socket.write(Buffer.concat([plain(200, body), plain(200, 'poison')])),
    );
    const rig = await PlaneRig.start(make, [engine.url]);
    for (let index = 0; index < 10; index += 1) {
      const answer = await call(rig.port, {}, `mine ${index}`);
      assert.equal(answer.body.toString(), `mine ${index}`);
    }
    await rig.stop();
    await engine.stop();
  });
}

function timeLimits(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: an engine that never begins is given up, the next one answers`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const silent = await ByteEngine.start(() => {});
    const good = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const timeouts = { firstByteMs: 1000 };
    const rig = await PlaneRig.start(make, [silent.url, good.url], { clock, timeouts });
    const answer = call(rig.port, {}, '{}');
    await eventually('asked', () => silent.requests.length === 1);
    clock.advance(1000);
    assert.equal((await answer).status, 200);
    await eventually('given up', () => silent.closed === 1);
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 timed-out -> 1', '1 answers 200', 'completed']);
    rig.setEndpoints([endpoint(0, silent.url)]);
    const late = call(rig.port, {}, '{}');
    await eventually('asked again', () => silent.requests.length === 2);
    clock.advance(1000);
    const refused = await late;
    assert.equal(refused.status, 504);
    assert.equal(JSON.parse(refused.body.toString()).error.code, 'endpoint_timeout');
    const drained = rig.stop();
    await drained;
    await Promise.all([silent.stop(), good.stop()]);
  });

  test(`${name}: a stream that stalls is ended; one that is merely slow is not`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const engine = await ByteEngine.start(({ socket }) => {
      socket.write(STREAM_HEAD);
      socket.write(chunk('data: 0\n\n'));
    });
    const rig = await PlaneRig.start(make, [engine.url], { clock, timeouts: { idleMs: 1000 } });
    const client = new RawClient(rig.port).send(post('{}'));
    for (let event = 1; event < 5; event += 1) {
      await eventually(`event ${event - 1}`, () => client.text.includes(`data: ${event - 1}\n`));
      clock.advance(900);
      engine.requests[0]?.socket.write(
        chunk(event === 3 ? `: ping\n\ndata: 3\n\n` : `data: ${event}\n\n`),
      );
    }
    await eventually('event 4', () => client.text.includes('data: 4\n'));
    clock.advance(1000);
    await eventually('ended', () => client.closed);
    assert.match(client.text, /"code":"endpoint_stalled"/);
    assert.ok(client.text.endsWith(LAST_CHUNK));
    await eventually('engine cut', () => engine.closed === 1);
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 answers 200', 'endpoint-failed endpoint_stalled']);
    await rig.stop();
    await engine.stop();
  });
}

function totalLimit(name: string, make: MakePlane, skip: string | false): void {
  test(`${name}: a request whose whole time is up is answered with 504 while it waits`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const engine = await ByteEngine.start(({ socket, body }) => {
      if (body.toString() === 'quick') socket.write(plain(200, 'ok'));
    });
    const other = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'other')));
    const timeouts = { totalMs: 1000, firstByteMs: 5000, decideMs: 0 };
    const rig = await PlaneRig.start(make, [engine.url, other.url], { clock, timeouts });
    rig.onRequest = (head) => {
      if (head.path !== '/undecided') rig.forward(head);
    };
    const client = new RawClient(rig.port);
    for (const path of ['/undecided', '/silent']) {
      client.send(post('{}', '', path));
      const there = path === '/silent' ? () => engine.requests.length : () => rig.heads.length;
      await eventually('there', () => there() === 1);
      clock.advance(600);
      assert.equal(rig.done.length, path === '/silent' ? 1 : 0);
      clock.advance(400);
      await rig.finished(path === '/silent' ? 2 : 1);
    }
    const [undecided] = rig.heads;
    assert.ok(undecided !== undefined && !rig.forward(undecided), 'too late');
    await eventually('engine freed', () => engine.closed === 1);
    client.send(post('quick'));
    await eventually('the connection is kept', () => client.text.endsWith('ok'));
    assert.deepEqual(client.statuses, [504, 504, 200]);
    assert.match(client.text, /"type":"router_error".*"code":"deadline_exceeded"/);
    await rig.finished(3);
    assert.deepEqual(rig.story, [
      'rejected deadline_exceeded',
      'rejected deadline_exceeded',
      '0 answers 200',
      'completed',
    ]);
    const slow = new RawClient(rig.port);
    slow.send('POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf');
    await eventually('body begun', () => rig.plane.inFlight() === 1);
    clock.advance(1000);
    await eventually('closed', () => slow.closed);
    assert.deepEqual(slow.statuses, [408]);
    assert.equal(other.requests.length, 0);
    await rig.stop();
    await Promise.all([engine.stop(), other.stop()]);
  });

  test(`${name}: an answer that takes longer than it may in all is broken off`, {
    skip,
  }, async () => {
    const clock = new VirtualClock();
    const engine = await ByteEngine.start(({ socket, body }) => {
      if (body.toString() === 'json') {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{');
        return;
      }
      socket.write(STREAM_HEAD);
      socket.write(chunk('data: 0\n\n'));
    });
    const rig = await PlaneRig.start(make, [engine.url], { clock, timeouts: { totalMs: 1000 } });
    const json = new RawClient(rig.port).send(post('json'));
    await eventually('json begun', () => json.text.endsWith('{'));
    const stream = new RawClient(rig.port).send(post('stream'));
    for (let event = 1; event < 4; event += 1) {
      await eventually(`event ${event - 1}`, () => stream.text.includes(`data: ${event - 1}\n`));
      clock.advance(300);
      engine.requests[1]?.socket.write(chunk(`data: ${event}\n\n`));
    }
    await eventually('event 3', () => stream.text.includes('data: 3\n'));
    clock.advance(100);
    await eventually('both ended', () => stream.closed && json.closed);
    assert.match(stream.text, /data: \{"error".*"code":"deadline_exceeded"/);
    assert.ok(stream.text.endsWith(LAST_CHUNK));
    assert.ok(json.text.endsWith('{'));
    await eventually('engine freed', () => engine.connections === 0);
    await rig.finished(2);
    const codes = rig.done.map(({ outcome, errorCode }) => `${outcome} ${errorCode}`);
    assert.deepEqual(codes, ['rejected deadline_exceeded', 'rejected deadline_exceeded']);
    await rig.stop();
    await engine.stop();
  });
}
