// The same random requests to both planes: the handler sees the same head, the engine gets the same
// request, the client the same answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '#contracts/random.js';
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
import { PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { RawClient } from '#test/support/raw-client.js';

const { WARMPATH_RANDOM_REQUESTS = '400', WARMPATH_SEED = '77' } = process.env;
const REQUESTS = Number(WARMPATH_RANDOM_REQUESTS);

const METHODS = ['GET', 'POST', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'SMUGGLE'];
const TARGETS = ['/v1/x', '/v1/chat/completions?a=%2e', 'http://b:9/p?q', 'http://b?q', 'v1'];
const HEADERS = [
  'X-Case: Kept',
  'x-case: again',
  'Authorization: Bearer c',
  'x-request-id: mine.1',
  'x-request-id: not valid',
  'X-Warmpath-Score: 9',
  'x-llm-d-slo: 1',
  'x_case: 1',
  'Session_Id: 1',
  'x-gateway-model-name-rewrite: 1',
  'x-gateway-other: 1',
  'Connection: keep-alive, x-case',
  'Keep-Alive: timeout=1',
  'TE: trailers',
  'Accept-Encoding: gzip',
  'Content-Encoding: identity',
  'Content-Encoding: gzip',
  'Accept: */*',
  'X-Empty:',
  'X-Blanks: \t a b \t',
  'X-High: \u00e9\u00ff',
  'Expect: 100-continue',
  'Host: second',
  'Content-Length: 3',
  'Transfer-Encoding: chunked',
  'X-Bad\u0001: 1',
  'No-Colon',
];

function pick<T>(random: Random, from: readonly T[]): T {
  const one = from[Math.floor(random.next() * from.length)];
  assert.ok(one !== undefined);
  return one;
}

function request(random: Random): Buffer {
  const version = random.next() < 0.1 ? 'HTTP/1.0' : 'HTTP/1.1';
  const lines = [`${pick(random, METHODS)} ${pick(random, TARGETS)} ${version}`];
  if (random.next() < 0.97) lines.push('Host: a');
  const count = Math.floor(random.next() * 5);
  for (let header = 0; header < count; header += 1) lines.push(pick(random, HEADERS));
  const length = Math.floor(random.next() ** 3 * 300);
  const body = `${length}`.padEnd(length, 'z').slice(0, length);
  // The native plane refuses the chunked coding in HTTP/1.0, as RFC 9112 §6.1 advises.
  const chunked = version === 'HTTP/1.1' && random.next() < 0.3;
  lines.push(chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`);
  const cut = Math.floor(length * random.next());
  const coded = [body.slice(0, cut), body.slice(cut)]
    .filter((piece) => piece !== '')
    .map((piece) => chunk(piece).toString())
    .join('');
  return Buffer.from(
    `${lines.join('\r\n')}\r\n\r\n${chunked ? coded + LAST_CHUNK : body}`,
    'latin1',
  );
}

/**
 * Without what is the planes' own: times, made-up ids, the connection, the order of header lines,
 * and all words about what is no HTTP.
 */
function comparable(text: string): string {
  if (text.startsWith('HTTP/1.1 400')) return 'HTTP/1.1 400';
  const plain = text
    .replace(/\r\nDate: [^\r]*/i, '')
    .replace(/\r\n(Connection|Keep-Alive): [^\r]*/gi, '')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID');
  const [head = '', ...rest] = plain.split('\r\n\r\n');
  return [head.split('\r\n').sort().join('\r\n'), ...rest].join('\r\n\r\n');
}

interface Seen {
  readonly answer: string;
  readonly heads: readonly unknown[];
  readonly asked: readonly unknown[];
}

async function see(rig: PlaneRig, engine: ByteEngine, bytes: Buffer): Promise<Seen> {
  rig.heads.length = 0;
  engine.requests.length = 0;
  const client = new RawClient(rig.port).send(bytes);
  await eventually(
    `an answer to ${bytes.toString('latin1').slice(0, 300)}`,
    () => client.closed || client.statuses.some((status) => status >= 200),
  );
  await eventually('nothing in flight', () => rig.plane.inFlight() === 0);
  client.socket.end();
  await eventually('closed', () => client.closed);
  return {
    answer: comparable(client.text),
    heads: rig.heads.map(({ method, path, headers, bodyBytes, requestId }) => ({
      method,
      path,
      headers: { ...headers },
      bodyBytes,
      requestId: comparable(requestId),
    })),
    asked: engine.requests.map(({ line, headers, body }) => ({
      line,
      headers: {
        ...headers,
        host: '',
        connection: '',
        'x-request-id': comparable(headers['x-request-id'] ?? ''),
      },
      body: body.toString('latin1'),
    })),
  };
}

test('random requests have the same fate on both planes', { skip: nativeSkip }, async (context) => {
  context.diagnostic(`seed ${WARMPATH_SEED}`);
  const random = seededRandom(Number(WARMPATH_SEED));
  const engine = await ByteEngine.start(({ socket, line, body }) => {
    if (line.startsWith('HEAD')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n');
    else if (body.length % 3 === 0) socket.write(plain(200, body, 'X-Engine: \u00e9\r\n'));
    else {
      socket.write(STREAM_HEAD);
      socket.write(chunk(eventStream([body.toString('latin1')])));
      socket.write(LAST_CHUNK);
    }
  });
  const rigs = await Promise.all(PLANES.map(({ make }) => PlaneRig.start(make, [engine.url])));
  let passed = 0;
  for (let position = 0; position < REQUESTS; position += 1) {
    const bytes = request(random);
    const seen: Seen[] = [];
    for (const rig of rigs) seen.push(await see(rig, engine, bytes));
    assert.deepEqual(seen[1], seen[0], bytes.toString('latin1').slice(0, 400));
    passed += seen[0]?.asked.length ?? 0;
  }
  context.diagnostic(`${passed} of ${REQUESTS} reached the engine`);
  assert.ok(passed > REQUESTS / 10, 'enough requests are fine');
  for (const rig of rigs) await rig.stop();
  await engine.stop();
});
