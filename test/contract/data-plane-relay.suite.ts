// What every DataPlane must do with requests and answers that are fine: bytes, headers, batches,
// protocol features, the router's own answers.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { RouterError } from '#contracts/errors.js';
import { TELLING_HEADERS } from '#contracts/header-names.js';
import { seededRandom } from '#contracts/random.js';
import {
  ByteEngine,
  chunk,
  eventStream,
  LAST_CHUNK,
  plain,
  STREAM_HEAD,
} from '#test/support/byte-engine.js';
import { eventually } from '#test/support/eventually.js';
import { endpoint, type MakePlane, PlaneRig } from '#test/support/plane-rig.js';
import { post, RawClient } from '#test/support/raw-client.js';

interface Answer {
  readonly status: number;
  readonly statusText: string;
  readonly rawHeaders: readonly string[];
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export function call(
  port: number,
  options: http.RequestOptions,
  body: string | Buffer = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, method: 'POST', path: '/v1/chat/completions', ...options },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (bytes: Buffer) => chunks.push(bytes));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            statusText: response.statusMessage ?? '',
            rawHeaders: response.rawHeaders,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

export function relaySuite(name: string, make: MakePlane, skip: string | false = false): void {
  test(`${name}: status, headers and bytes of an answer arrive as they were sent`, {
    skip,
  }, async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) & 255));
    const engine = await ByteEngine.start(({ socket }) =>
      socket.write(
        plain(
          299,
          bytes,
          'X-Engine-CASE: kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: then\r\nKeep-Alive: timeout=9\r\n',
        ),
      ),
    );
    const rig = await PlaneRig.start(make, [engine.url]);
    rig.onRequest = (head) => rig.forward(head, { responseHeaders: [['x-warmpath-score', '2.7']] });
    const answer = await call(rig.port, { headers: { 'x-request-id': 'mine-1' } }, '{}');
    assert.equal(answer.status, 299);
    assert.equal(answer.statusText, 'Engine Says');
    assert.ok(answer.body.equals(bytes));
    const raw = answer.rawHeaders;
    assert.equal(raw[raw.indexOf('X-Engine-CASE') + 1], 'kept');
    assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2']);
    assert.equal(answer.headers.date, 'then');
    assert.equal(answer.headers['x-request-id'], 'mine-1');
    assert.equal(answer.headers['x-warmpath-score'], '2.7');
    assert.notEqual(answer.headers['keep-alive'], 'timeout=9');
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 answers 299', 'completed']);
    assert.equal(rig.done[0]?.responseBytes, bytes.length);
    assert.equal(rig.done[0]?.status, 299);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a stream cut at every place arrives as one, counted and with its usage`, {
    skip,
  }, async (context) => {
    const seed = 99;
    context.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    const usage =
      '{"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":64}}}';
    const text = `: ping\n\n${eventStream(['{"a":"data: x\\n"}', '{"b":"\\"usage\\": {"}', 'é…', usage])}`;
    const bytes = Buffer.from(text);
    const engine = await ByteEngine.start(({ socket }) => {
      socket.write(STREAM_HEAD);
      let at = 0;
      const next = () => {
        const length = 1 + Math.floor(random.next() * 9);
        socket.write(chunk(bytes.subarray(at, at + length)));
        at += length;
        if (at < bytes.length) setImmediate(next);
        else socket.write(LAST_CHUNK);
      };
      next();
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    const answer = await call(rig.port, {}, '{"stream":true}');
    assert.equal(answer.body.toString(), text);
    await rig.finished(1);
    const [done] = rig.done;
    assert.equal(done?.chunks, 4);
    assert.deepEqual(done?.usage, { promptTokens: 70, completionTokens: 3, cachedTokens: 64 });
    assert.ok(done !== undefined && done.firstByteMs >= 0 && done.lastByteMs >= done.firstByteMs);
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: the engine gets the body with its patches and the right headers`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    rig.setEndpoints([
      endpoint(0, `${engine.url}/base`, { security: { apiKey: 'engine-key', caPem: null } }),
    ]);
    rig.onRequest = (head) =>
      rig.plane.forward(head.handle, {
        targets: [
          { slot: 0, requestHeaders: [['x-data-parallel-rank', '3']], responseHeaders: [] },
        ],
        patches: [
          { offset: 5, length: 3, text: 'NEW TEXT' },
          { offset: 0, length: 1, text: '' },
        ],
      });
    const headers = {
      'X-Case': 'Kept',
      authorization: 'Bearer client',
      'x-request-id': 'not valid!',
      'X-Gateway-Destination-Endpoint': '10.0.0.1:22',
      'x-gateway-destination-endpoint-subset': 'x',
      'x-gateway-destination-endpoint-subset-more': 'x',
      'x-gateway-destination-endpoint-served': 'x',
      x_gateway_destination_endpoint: 'y',
      'X-Data-Parallel-Rank': '7',
      'x-llm-d-slo-ttft-ms': '1',
      'x-warmpath-anything': '1',
      'x-prefiller-host-port': '10.0.0.1:22',
      'X-Encoder-Hosts-Ports': '10.0.0.1:22',
      'x-kv-cache-source-host-port': '10.0.0.1:22',
      'x-data-parallel-host-port': '10.0.0.1:22',
      'X-LLM-D-Inference-Objective': 'batch',
      'x-gateway-inference-objective': 'old',
      'x-gateway-model-name-rewrite': 'canary',
      x_session_id: 'no',
      Session_Id: 'codex',
      connection: 'keep-alive, x-nominated',
      'x-nominated': '1',
      'accept-encoding': 'gzip',
      te: 'trailers',
    };
    const answer = await call(rig.port, { headers, path: '/v1/x?y=%2e' }, '0123456789');
    const [request] = engine.requests;
    assert.equal(request?.line, 'POST /base/v1/x?y=%2e HTTP/1.1');
    assert.equal(request?.body.toString(), '1234NEW TEXT89');
    const { host, ...rest } = request?.headers ?? {};
    assert.equal(host, `127.0.0.1:${engine.port}`);
    const id = answer.headers['x-request-id'];
    assert.match(String(id), /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, {
      connection: 'keep-alive',
      'content-length': '14',
      authorization: 'Bearer engine-key',
      session_id: 'codex',
      'x-case': 'Kept',
      'x-data-parallel-rank': '3',
      'x-request-id': id,
    });
    const [head] = rig.heads;
    assert.equal(head?.path, '/v1/x?y=%2e');
    assert.equal(head?.requestId, id);
    assert.equal(head?.bodyBytes, 10);
    assert.equal(head?.headers['x-case'], 'Kept');
    const shown = Object.entries(head?.headers ?? {}).filter(([name]) => /^x-|_/.test(name));
    assert.deepEqual(Object.fromEntries(shown), {
      'x-case': 'Kept',
      'x-llm-d-slo-ttft-ms': '1',
      'x-llm-d-inference-objective': 'batch',
      'x-gateway-inference-objective': 'old',
      'x-gateway-model-name-rewrite': 'canary',
      'x-gateway-destination-endpoint-subset': 'x',
      session_id: 'codex',
    });
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a head says whether it tells of session, agent, profile or model`, {
    skip,
  }, async () => {
    const rig = await PlaneRig.start(make, []);
    rig.onRequest = ({ handle }) => rig.plane.respond(handle, 200, [], '');
    const silent = {
      authorization: 'Bearer a',
      'x-llm-d-inference-objective': 'b',
      'x-session': 'c',
    };
    await call(rig.port, { headers: silent }, '{}');
    await call(rig.port, { headers: { connection: 'x-session-id', 'x-session-id': 'd' } }, '{}');
    for (const name of TELLING_HEADERS) {
      await call(rig.port, { headers: { ...silent, [name.toUpperCase()]: 'e' } }, '{}');
    }
    await rig.finished(2 + TELLING_HEADERS.length);
    const names = rig.heads.map(({ telling, headers }) =>
      telling ? TELLING_HEADERS.filter((known) => known in headers).join() : null,
    );
    assert.deepEqual(names, [null, null, ...TELLING_HEADERS]);
    await rig.stop();
  });

  test(`${name}: a large body arrives whole, patched, from a chunked request too`, {
    skip,
  }, async () => {
    const body = Buffer.alloc(3_000_000, 'abcdefghij');
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'ok')));
    const rig = await PlaneRig.start(make, [engine.url]);
    rig.onRequest = (head) =>
      rig.plane.forward(head.handle, {
        targets: [{ slot: 0, requestHeaders: [], responseHeaders: [] }],
        patches: [{ offset: 1_000_000, length: 10, text: '' }],
      });
    await call(rig.port, { headers: { 'transfer-encoding': 'chunked' } }, body);
    await call(rig.port, { headers: { 'content-length': body.length } }, body);
    const expected = Buffer.concat([body.subarray(0, 1_000_000), body.subarray(1_000_010)]);
    assert.equal(engine.requests.length, 2);
    for (const request of engine.requests) assert.ok(request.body.equals(expected));
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: methods and statuses without a body pass`, { skip }, async () => {
    const engine = await ByteEngine.start(({ socket, line }) =>
      socket.write(
        line.startsWith('HEAD')
          ? 'HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n'
          : 'HTTP/1.1 204 No Content\r\n\r\n',
      ),
    );
    const rig = await PlaneRig.start(make, [engine.url]);
    const head = await call(rig.port, { method: 'HEAD' });
    assert.equal(head.headers['content-length'], '12');
    assert.equal(head.body.length, 0);
    for (const method of ['GET', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
      assert.equal((await call(rig.port, { method })).status, 204);
    }
    await rig.finished(6);
    assert.ok(rig.done.every((done) => done.outcome === 'completed'));
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: own answers and refusals carry the request id and the failing side`, {
    skip,
  }, async () => {
    const rig = await PlaneRig.start(make, []);
    rig.onRequest = ({ handle, path }) => {
      if (path === '/local') rig.plane.respond(handle, 200, [['content-type', 'text/x']], 'hello');
      else rig.plane.reject(handle, new RouterError('no_endpoints', 'Nobody is there.'));
      assert.equal(rig.plane.respond(handle, 200, [], 'twice'), false);
    };
    const local = await call(rig.port, { path: '/local', headers: { 'x-request-id': 'a.b_c-1' } });
    assert.equal(local.body.toString(), 'hello');
    assert.equal(local.headers['content-type'], 'text/x');
    assert.equal(local.headers['x-request-id'], 'a.b_c-1');
    const refused = await call(rig.port, {}, '{}');
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers['x-warmpath-error-source'], 'router');
    assert.equal(refused.headers['x-llm-d-request-dropped-reason'], 'rejected-no-endpoints');
    assert.equal(JSON.parse(refused.body.toString()).error.code, 'no_endpoints');
    await rig.finished(2);
    assert.deepEqual(rig.story, ['answered-locally', 'rejected no_endpoints']);
    await rig.stop();
  });

  test(`${name}: pipelined requests come in one batch and are answered in order`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket, body }) => {
      const text = body.toString();
      // The first answer comes last.
      if (text === 'one')
        void eventually('three', () => engine.requests.length === 3).then(() =>
          socket.write(plain(200, text)),
        );
      else socket.write(plain(200, text));
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    const client = new RawClient(rig.port);
    client.send(Buffer.concat([post('one'), post('two'), post('three')]));
    await rig.finished(3);
    assert.deepEqual(rig.batchSizes, [3]);
    await eventually('all answers', () => client.statuses.length === 3);
    const order = [...client.text.matchAll(/\r\n\r\n(one|two|three)/g)].map((match) => match[1]);
    assert.deepEqual(order, ['one', 'two', 'three']);
    client.socket.destroy();
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: Expect, HTTP/1.0, absolute form and half-close behave as the RFCs say`, {
    skip,
  }, async () => {
    const engine = await ByteEngine.start(({ socket }) => socket.write(plain(200, 'answer')));
    const rig = await PlaneRig.start(make, [engine.url]);
    const expecting = new RawClient(rig.port);
    expecting.send(
      'POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n',
    );
    await eventually('100', () => expecting.statuses[0] === 100);
    expecting.send('{}');
    await eventually('200', () => expecting.statuses[1] === 200);
    expecting.socket.destroy();

    const old = new RawClient(rig.port).send('GET http://elsewhere/v1/y?z HTTP/1.0\r\n\r\n');
    await eventually('closed', () => old.closed);
    assert.ok(old.text.endsWith('answer'));
    assert.equal(rig.heads[1]?.path, '/v1/y?z');

    const half = new RawClient(rig.port);
    half.socket.end(post('{}'));
    await eventually('whole answer', () => half.text.endsWith('answer'));
    await rig.finished(3);
    assert.ok(rig.done.every((done) => done.outcome === 'completed'));
    await rig.stop();
    await engine.stop();
  });
}

export function headSuite(name: string, make: MakePlane, skip: string | false = false): void {
  test(`${name}: what is the engine's connection's, or unlawful, goes no further`, {
    skip,
  }, async () => {
    const length = { value: 'Content-Length: 5\r\n' };
    const engine = await ByteEngine.start(({ socket, line, body }) => {
      if (line.includes('/bodiless')) {
        const status = line.includes('304') ? '304 Not Modified' : '204 No Content';
        socket.write(`HTTP/1.1 ${status}\r\n${length.value}Connection: keep-alive\r\n\r\n`);
        return;
      }
      const hop = 'Connection: keep-alive, X-Hop\r\nx-hop: secret\r\nX-Kept: yes\r\n';
      socket.write(plain(200, body, hop));
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    const answer = await call(rig.port, {}, 'hop');
    assert.equal(answer.body.toString(), 'hop');
    assert.equal(answer.headers['x-hop'], undefined);
    assert.equal(answer.headers['x-kept'], 'yes');
    for (const value of [length.value, 'Content-Length: 0\r\n', '']) {
      length.value = value;
      const none = await call(rig.port, { path: '/bodiless' }, '{}');
      assert.equal(none.status, 204);
      assert.equal(none.headers['content-length'], undefined);
      assert.equal(none.body.length, 0);
      assert.equal((await call(rig.port, {}, 'after')).body.toString(), 'after');
    }
    length.value = 'Content-Length: 5\r\n';
    const unchanged = await call(rig.port, { path: '/bodiless/304' }, '{}');
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.headers['content-length'], '5');
    await rig.finished(8);
    assert.ok(rig.done.every(({ outcome }) => outcome === 'completed'));
    await rig.stop();
    await engine.stop();
  });

  test(`${name}: a body behind an answer that has none reaches nobody`, { skip }, async () => {
    const engine = await ByteEngine.start(({ socket, line, body }) => {
      if (!line.includes('/204')) {
        socket.write(plain(200, body));
        return;
      }
      const poison = plain(200, 'poison').toString();
      socket.write(`HTTP/1.1 204 No Content\r\nContent-Length: ${poison.length}\r\n\r\n`, () =>
        setImmediate(() => socket.write(poison)),
      );
    });
    const rig = await PlaneRig.start(make, [engine.url]);
    for (let round = 0; round < 10; round += 1) {
      assert.equal((await call(rig.port, { path: '/204' }, '{}')).status, 204);
      assert.equal((await call(rig.port, {}, `mine ${round}`)).body.toString(), `mine ${round}`);
    }
    await rig.stop();
    await engine.stop();
  });
}
