// Requests that two parsers could read differently: refused, or passed on in one canonical form.
// The engine keeps every byte it is sent, and a strict reader of its own takes them apart.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteEngine, plain } from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { RawClient } from '#test/support/raw-client.js';

const POST = 'POST /v1/x HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** Name, bytes, and whether a refusal is the only right answer. */
const CORPUS: readonly (readonly [string, string, 'refused' | 'either'])[] = [
  [
    'CL and TE',
    `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    'refused',
  ],
  [
    'TE and CL',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    'refused',
  ],
  [
    'two CLs',
    `${POST}Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    'refused',
  ],
  ['two equal CLs', `${POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['CL list', `${POST}Content-Length: 2, 2\r\n\r\n{}`, 'refused'],
  ['CL plus', `${POST}Content-Length: +2\r\n\r\n{}`, 'refused'],
  ['CL negative', `${POST}Content-Length: -2\r\n\r\n{}`, 'refused'],
  ['CL hex', `${POST}Content-Length: 0x2\r\n\r\n{}`, 'refused'],
  ['CL huge', `${POST}Content-Length: 99999999999999999999\r\n\r\n{}`, 'refused'],
  ['CL empty', `${POST}Content-Length:\r\n\r\n{}`, 'either'],
  ['CL spaces', `${POST}Content-Length: 2 2\r\n\r\n{}`, 'refused'],
  ['space before colon', `${POST}Content-Length : 2\r\n\r\n{}`, 'refused'],
  ['CL underscore', `${POST}Content_Length: 5\r\n\r\n`, 'either'],
  ['TE unknown', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 'refused'],
  ['TE list', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 'refused'],
  ['TE not last', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 'refused'],
  [
    'TE twice',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'refused',
  ],
  ['TE identity', `${POST}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['TE with vertical tab', `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 'refused'],
  ['TE quoted', `${POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 'refused'],
  ['TE underscore', `${POST}Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}`, 'either'],
  ['TE in 1.0', `POST /v1/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'either'],
  ['chunk size hex prefix', `${CHUNKED}0x2\r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk size negative', `${CHUNKED}-2\r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk size overflow', `${CHUNKED}fffffffffffffffff2\r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk size space', `${CHUNKED}2 \r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk size empty', `${CHUNKED}\r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk LF only', `${CHUNKED}2\n{}\r\n0\r\n\r\n`, 'refused'],
  ['chunk without CRLF', `${CHUNKED}2\r\n{}0\r\n\r\n`, 'refused'],
  ['chunk extension', `${CHUNKED}2;a=b\r\n{}\r\n0\r\n\r\n`, 'either'],
  ['chunk extension LF', `${CHUNKED}2;a\nb\r\n{}\r\n0\r\n\r\n`, 'refused'],
  ['trailer', `${CHUNKED}2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n`, 'either'],
  ['trailer CL', `${CHUNKED}2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n`, 'refused'],
  ['trailer TE', `${CHUNKED}2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n`, 'either'],
  [
    'trailer reserved',
    `${CHUNKED}2\r\n{}\r\n0\r\nx-gateway-destination-endpoint: 1.2.3.4:5\r\n\r\n`,
    'either',
  ],
  ['obs-fold', `${POST}X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['obs-fold first', `POST /v1/x HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n`, 'refused'],
  ['LF only', 'POST /v1/x HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}', 'refused'],
  ['LF in head', 'POST /v1/x HTTP/1.1\r\nHost: a\nContent-Length: 2\r\n\r\n{}', 'refused'],
  ['CR in value', `${POST}X: a\rb\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['NUL in value', `${POST}X: a\0b\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['NUL in name', `${POST}X\0: a\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['control in name', `${POST}X\x01Y: a\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['no name', `${POST}: a\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['no colon', `${POST}X\r\nContent-Length: 2\r\n\r\n{}`, 'refused'],
  ['two hosts', 'POST /v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 'refused'],
  ['no host', 'POST /v1/x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}', 'refused'],
  ['host list', 'POST /v1/x HTTP/1.1\r\nHost: a, b\r\n\r\n', 'refused'],
  ['version 2', 'POST /v1/x HTTP/2.0\r\nHost: a\r\n\r\n', 'refused'],
  ['version 0.9', 'GET /v1/x\r\n\r\n', 'refused'],
  ['version 1.2', 'POST /v1/x HTTP/1.2\r\nHost: a\r\n\r\n', 'refused'],
  ['unknown method', 'SMUGGLE /v1/x HTTP/1.1\r\nHost: a\r\n\r\n', 'refused'],
  ['space in target', 'GET /v1/x y HTTP/1.1\r\nHost: a\r\n\r\n', 'refused'],
  ['two spaces', 'GET  /v1/x HTTP/1.1\r\nHost: a\r\n\r\n', 'either'],
  ['tab in target', 'GET /v1/x\ty HTTP/1.1\r\nHost: a\r\n\r\n', 'refused'],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 'refused'],
  [
    'upgrade',
    'GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'either',
  ],
  [
    'body behind GET',
    `GET /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    'either',
  ],
  [
    'connection nominates host',
    `${POST}Connection: host, content-length\r\nContent-Length: 2\r\n\r\n{}`,
    'either',
  ],
];

for (const { name, make, skip } of PLANES) {
  test(`${name}: hostile requests are refused or passed on in one canonical form`, {
    skip,
  }, async (context) => {
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    let refused = 0;
    for (const [name, bytes, expected] of CORPUS) {
      const before = engine.requests.length;
      const client = new RawClient(rig.port).send(Buffer.from(bytes, 'latin1'));
      await eventually(`an answer to ${name}`, () => client.closed || client.statuses.length > 0);
      // A second request hidden in the first would be answered before this one.
      client.send('GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      client.socket.end();
      await eventually(`the end of ${name}`, () => client.closed);
      const passed = engine.requests.slice(before).filter(({ line }) => !line.includes('/after'));
      const smuggled = passed.filter(({ line }) => line.includes('smuggled'));
      assert.equal(smuggled.length, 0, `${name} hid a request`);
      assert.ok(passed.length <= 1, `${name} became ${passed.length} requests`);
      if (passed.length === 0) refused += 1;
      if (expected === 'refused') assert.equal(passed.length, 0, `${name} was passed on`);
      for (const request of passed) assertCanonical(name, request.headers);
    }
    context.diagnostic(`${refused} of ${CORPUS.length} refused`);
    assert.equal(rig.plane.inFlight(), 0);
    for (const bytes of engine.received) assertOneReading(Buffer.concat(bytes).toString('latin1'));
    await rig.stop();
    await engine.stop();
  });
}

test('the strict reader notices what it is for', () => {
  assert.throws(() => assertOneReading('GET / HTTP/1.1\nHost: a\r\n\r\n'));
  assert.throws(() => assertOneReading(`${POST}x_y: 1\r\n\r\n`));
  assert.throws(() => assertOneReading(`${POST}Transfer-Encoding: chunked\r\n\r\n`));
  assert.throws(() => assertOneReading(`${POST}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`));
});

function assertCanonical(name: string, headers: Readonly<Record<string, string>>): void {
  for (const header of Object.keys(headers)) {
    assert.match(header, /^[a-z0-9-]+$/, `${name} passed on the header ${header}`);
    assert.ok(!/^(transfer-encoding|te|trailer|upgrade|x-trailer|x-gateway)/.test(header));
  }
}

/** Takes a connection's bytes apart as strictly as anybody could. */
function assertOneReading(text: string): void {
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    assert.ok(end > 0, 'a head ends');
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n');
    assert.match(line, /^[A-Z]+ \/[\x21-\x7e]* HTTP\/1\.1$/);
    const lengths: number[] = [];
    for (const header of lines) {
      assert.match(header, /^[A-Za-z0-9-]+: [\x20-\x7e\x80-\xff]*$/);
      assert.doesNotMatch(header, /^transfer-encoding/i);
      const length = /^content-length: (\d+)$/i.exec(header)?.[1];
      if (length !== undefined) lengths.push(Number(length));
    }
    assert.ok(lengths.length <= 1, 'one length');
    rest = rest.slice(end + 4 + (lengths[0] ?? 0));
  }
}
