// HTTP/2 with prior knowledge on the native plane: the same heads, bodies, streams and ends as over
// HTTP/1.1, many at once on one connection.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { test } from 'node:test';
import { RouterError } from '#contracts/errors.js';
import {
  ByteEngine,
  chunk,
  eventStream,
  LAST_CHUNK,
  plain,
  STREAM_HEAD,
} from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { makeNativePlane } from '#test/support/native-plane.js';
import { PlaneRig } from '#test/support/plane-rig.js';
import { RawClient } from '#test/support/raw-client.js';

interface Answer {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly body: string;
}

function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/v1/x', ...headers });
    let text = '';
    let head: Answer['headers'] = {};
    stream.on('response', (received) => {
      head = received;
    });
    stream.setEncoding('utf8');
    stream.on('data', (piece: string) => {
      text += piece;
    });
    stream.on('end', () => resolve({ headers: head, body: text }));
    stream.on('error', reject);
    stream.end(body);
  });
}

const options = { skip: nativeSkip };

test('HTTP/2: requests, streams and refusals at once on one connection', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() !== 'stream') {
      socket.write(plain(200, body, 'X-Engine: yes\r\nConnection: keep-alive\r\n'));
      return;
    }
    socket.write(STREAM_HEAD);
    for (const piece of eventStream(['{"a":1}', '{"b":2}']).match(/.{1,7}/gs) ?? []) {
      socket.write(chunk(piece));
    }
    socket.write(LAST_CHUNK);
  });
  const rig = await PlaneRig.start(makeNativePlane, [engine.url]);
  rig.onRequest = (head) => {
    if (head.path === '/refused')
      rig.plane.reject(head.handle, new RouterError('overloaded', 'no'));
    else rig.forward(head, { responseHeaders: [['x-warmpath-score', '1']] });
  };
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const large = 'z'.repeat(700_000);
  const [small, streamed, refused, big] = await Promise.all([
    ask(session, { 'x-request-id': 'mine', 'x-llm-d-x': '1', 'x-case': 'kept' }, 'hello'),
    ask(session, {}, 'stream'),
    ask(session, { ':path': '/refused' }, '{}'),
    ask(session, {}, large),
  ]);
  assert.equal(small.headers[':status'], 200);
  assert.equal(small.headers['x-request-id'], 'mine');
  assert.equal(small.headers['x-engine'], 'yes');
  assert.equal(small.headers['x-warmpath-score'], '1');
  assert.equal(small.headers['connection'], undefined);
  assert.equal(small.body, 'hello');
  assert.equal(streamed.body, eventStream(['{"a":1}', '{"b":2}']));
  assert.equal(refused.headers[':status'], 429);
  assert.match(refused.body, /"code":"overloaded"/);
  assert.equal(big.body, large);
  const asked = engine.requests.find(({ body }) => body.toString() === 'hello');
  assert.equal(asked?.headers['x-llm-d-x'], undefined);
  assert.equal(asked?.headers['x-case'], 'kept');
  assert.equal(asked?.headers['content-length'], '5');
  await rig.finished(4);
  const outcomes = rig.done.map(({ outcome }) => outcome).sort();
  assert.deepEqual(outcomes, ['completed', 'completed', 'completed', 'rejected']);
  session.close();
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: a client that resets a stream frees its engine', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() !== 'stream') return;
    socket.write(STREAM_HEAD);
    socket.write(chunk('data: 1\n\n'));
  });
  const rig = await PlaneRig.start(makeNativePlane, [engine.url]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  for (const [position, body] of ['stream', 'silent'].entries()) {
    const stream = session.request({ ':method': 'POST', ':path': '/v1/x' });
    stream.on('error', () => {});
    let seen = '';
    stream.on('data', (piece: Buffer) => {
      seen += piece.toString();
    });
    stream.end(body);
    await eventually('asked', () => engine.requests.length === position + 1);
    if (body === 'stream') await eventually('first event', () => seen !== '');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually('engine freed', () => engine.closed === position + 1);
    await rig.finished(position + 1);
    assert.equal(rig.done[position]?.outcome, 'client-gone');
  }
  session.close();
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: an engine that dies within an answer is noticed by the client', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() === 'stream') {
      socket.write(STREAM_HEAD);
      socket.write(chunk('data: 1\n\n'), () => socket.destroy());
    } else {
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{');
    }
  });
  const rig = await PlaneRig.start(makeNativePlane, [engine.url]);
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const cut = await ask(session, {}, 'stream');
  assert.match(cut.body, /^data: 1\n\ndata: \{"error".*endpoint_disconnected.*\}\n\n$/);
  await assert.rejects(ask(session, {}, 'json'));
  await rig.finished(2);
  session.close();
  await rig.stop();
  await engine.stop();
});

/** The bytes a client with prior knowledge begins with, and nothing more. */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

test('HTTP/2: idle connections are closed, those with a stream are not', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() === 'quick') socket.write(plain(200, body, 'Connection: keep-alive\r\n'));
  });
  const timeouts = { keepAliveMs: 200, headersMs: 200 };
  const rig = await PlaneRig.start(makeNativePlane, [engine.url], { timeouts });
  const busy = http2.connect(`http://127.0.0.1:${rig.port}`);
  const late = ask(busy, {}, 'slow');
  await eventually('asked', () => engine.requests.length === 1);
  const silent = new RawClient(rig.port).send(PREFACE);
  const idle = http2.connect(`http://127.0.0.1:${rig.port}`);
  let goaways = 0;
  idle.on('goaway', (code) => {
    goaways += code === http2.constants.NGHTTP2_NO_ERROR ? 1 : 0;
  });
  assert.equal((await ask(idle, {}, 'quick')).body, 'quick');
  await eventually('idle and silent closed', () => idle.destroyed && silent.closed);
  assert.ok(goaways > 0, 'the client was told to go');
  assert.equal(busy.destroyed, false);
  engine.requests[0]?.socket.write(plain(200, 'late'));
  assert.equal((await late).body, 'late');
  await eventually('no connection left', () => busy.destroyed);
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: streams nobody reads end, then their connection', options, async () => {
  const answer = 'y'.repeat(200_000);
  const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, answer)));
  const timeouts = { clientStallMs: 200 };
  const rig = await PlaneRig.start(makeNativePlane, [engine.url], { timeouts });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`, {
    settings: { initialWindowSize: 0 },
  });
  session.on('error', () => {});
  for (let count = 0; count < 50; count += 1) {
    const stream = session.request({ ':method': 'POST', ':path': '/v1/x' });
    stream.on('error', () => {});
    stream.end('{}');
  }
  await rig.finished(50);
  assert.ok(rig.done.every(({ outcome }) => outcome === 'client-gone'));
  await eventually('closed', () => session.destroyed);
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: a stream nobody reads does not take others with it', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() === 'unread') {
      socket.write(plain(200, 'y'.repeat(2_000_000)));
      return;
    }
    socket.write(STREAM_HEAD);
    socket.write(chunk('data: 1\n\n'));
  });
  const timeouts = { clientStallMs: 200 };
  const rig = await PlaneRig.start(makeNativePlane, [engine.url], { timeouts });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  await once(session, 'connect');
  session.setLocalWindowSize(8 * 1024 * 1024);
  const unread = session.request({ ':method': 'POST', ':path': '/v1/x' });
  unread.on('error', () => {});
  unread.end('unread');
  const other = ask(session, {}, 'stream');
  await rig.finished(1);
  assert.deepEqual(
    rig.done.map(({ outcome }) => outcome),
    ['client-gone'],
  );
  const streaming = engine.requests.find(({ body }) => body.toString() === 'stream');
  streaming?.socket.write(chunk('data: 2\n\n'));
  streaming?.socket.write(LAST_CHUNK);
  assert.equal((await other).body, 'data: 1\n\ndata: 2\n\n');
  await rig.finished(2);
  assert.equal(rig.done[1]?.outcome, 'completed');
  await eventually('closed', () => session.destroyed);
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: a request whose whole time is up', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() !== 'stream') return;
    socket.write(STREAM_HEAD);
    socket.write(chunk('data: 1\n\n'));
  });
  const rig = await PlaneRig.start(makeNativePlane, [engine.url], { timeouts: { totalMs: 300 } });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const silent = await ask(session, {}, 'silent');
  assert.equal(silent.headers[':status'], 504);
  assert.match(silent.body, /"code":"deadline_exceeded"/);
  const stream = await ask(session, {}, 'stream');
  assert.match(stream.body, /^data: 1\n\ndata: \{"error".*deadline_exceeded.*\}\n\n$/);
  assert.equal(session.destroyed, false);
  await rig.finished(2);
  session.close();
  await rig.stop();
  await engine.stop();
});

test('HTTP/2: draining tells clients to go and lets their streams finish', options, async () => {
  const engine = await ByteEngine.start(({ socket, body }) => {
    if (body.toString() === 'quick') socket.write(plain(200, body));
  });
  const rig = await PlaneRig.start(makeNativePlane, [engine.url]);
  const [busy, idle] = [0, 1].map(() => http2.connect(`http://127.0.0.1:${rig.port}`));
  assert.ok(busy !== undefined && idle !== undefined);
  let goaway = -1;
  busy.on('goaway', (code) => {
    goaway = code;
  });
  await ask(idle, {}, 'quick');
  const late = ask(busy, {}, 'slow');
  await eventually('asked', () => engine.requests.length === 2);
  const drained = rig.plane.drain(30_000);
  await eventually('told to go', () => goaway === http2.constants.NGHTTP2_NO_ERROR);
  await eventually('idle closed', () => idle.destroyed);
  assert.throws(() => busy.request({ ':path': '/v1/x' }), /ERR_HTTP2_GOAWAY_SESSION|ERR_HTTP2/);
  engine.requests[1]?.socket.write(plain(200, 'late'));
  assert.equal((await late).body, 'late');
  await drained;
  assert.deepEqual(
    rig.done.map(({ outcome }) => outcome),
    ['completed', 'completed'],
  );
  await eventually('closed', () => busy.destroyed);
  await rig.stop();
  await engine.stop();
});
