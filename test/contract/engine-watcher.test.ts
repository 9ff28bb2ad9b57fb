// What fleets rely on when they ask engines, for every EngineWatcher, over real sockets.

import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type { ClosableEngineWatcher } from '#contracts/transport.js';
import { eventually } from '#test/support/eventually.js';
import { NO_SECURITY } from '#test/support/fake-engine.js';
import { freePort } from '#test/support/free-port.js';
import { HttpEngine, type HttpEngineOptions } from '#test/support/http-engine.js';
import { TEST_CERTIFICATE } from '#test/support/test-certificate.js';
import { CountingWatch, WATCHERS } from '#test/support/watchers.js';

/** Nothing takes this long but what never comes. */
const LONG_MS = 60_000;
const SHORT_MS = 100;
const LINES = 'process_start_time_seconds 7\nvllm:num_requests_running{engine="0"} 3.0\n';
const HAS_IPV6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

interface Rig {
  readonly watcher: ClosableEngineWatcher;
  readonly engine: HttpEngine;
}

for (const { name, make, skip } of WATCHERS) {
  const check = (
    what: string,
    handler: RequestListener,
    act: (rig: Rig) => Promise<void>,
    options: HttpEngineOptions & { readonly skip?: string | false } = {},
  ): void => {
    test(`${name}: ${what}`, { skip: skip || (options.skip ?? false) }, async () => {
      const engine = await HttpEngine.start(handler, options);
      const watcher = make();
      try {
        await act({ watcher, engine });
      } finally {
        await watcher.close();
        await engine.stop();
      }
    });
  };

  check(
    'answers of every status and framing are read, over one connection a kind',
    (request, response) => {
      if (request.url === '/base/metrics') {
        // Without a length it is chunked, and cut within a line.
        response.write(LINES.slice(0, 40));
        setImmediate(() => response.end(LINES.slice(40)));
      } else if (request.url === '/base/health') response.writeHead(503).end('no');
      else if (request.url === '/base/empty') response.writeHead(204).end();
      else response.end(`${request.url} ${request.headers.host}`);
    },
    async ({ watcher, engine }) => {
      const { watch, ...counted } = new CountingWatch(watcher, `${engine.url}/base`);
      for (let turn = 0; turn < 5; turn += 1) {
        assert.deepEqual(await watch.scrape('/metrics', LONG_MS), { status: 200, body: LINES });
        assert.equal(await watch.probe(LONG_MS), 503);
        assert.deepEqual(await watch.get('/empty', LONG_MS), { status: 204, body: '' });
        const { body } = await watch.get('/v1/models', LONG_MS);
        assert.equal(body, `/base/v1/models 127.0.0.1:${engine.port}`);
      }
      assert.ok(engine.connections <= 3, `${engine.connections} connections`);
      assert.equal(counted.lost, 0);
    },
  );

  check(
    'questions that are asked together are all answered',
    (request, response) => response.end(request.url),
    async ({ watcher, engine }) => {
      const { watch } = new CountingWatch(watcher, engine.url);
      const paths = ['/a', '/b', '/c', '/d'];
      const answers = await Promise.all(paths.map((path) => watch.get(path, LONG_MS)));
      assert.deepEqual(
        answers.map(({ body }) => body),
        paths,
      );
    },
  );

  check(
    'the key is sent, redirects are not followed',
    (request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: '/stolen' }).end();
      else response.end(request.headers.authorization ?? 'no key');
    },
    async ({ watcher, engine }) => {
      const security = { apiKey: 'secret', caPem: null };
      const { watch } = new CountingWatch(watcher, engine.url, security);
      assert.equal((await watch.get('/', LONG_MS)).body, 'Bearer secret');
      assert.equal((await watch.get('/moved', LONG_MS)).status, 302);
      const bare = new CountingWatch(watcher, engine.url).watch;
      assert.equal((await bare.get('/', LONG_MS)).body, 'no key');
    },
  );

  check(
    'what is late, too large or cut short is no answer, and the next one is',
    (request, response) => {
      if (request.url === '/late') return;
      if (request.url === '/stalls') response.write('half');
      else if (request.url === '/huge') flood(response);
      else if (request.url === '/cut') {
        response.writeHead(200, { 'content-length': 10 });
        response.write('half', () => response.destroy());
      } else response.end('fine');
    },
    async ({ watcher, engine }) => {
      const { watch } = new CountingWatch(watcher, engine.url);
      for (const path of ['/late', '/stalls']) {
        await assert.rejects(watch.get(path, SHORT_MS), {
          name: 'TimeoutError',
          message: `no answer within ${SHORT_MS} ms`,
        });
      }
      await assert.rejects(watch.get('/huge', LONG_MS), /more than 8388608 bytes/);
      await assert.rejects(
        watch.get('/cut', LONG_MS),
        (error: Error) => error.name !== 'TimeoutError',
      );
      assert.equal((await watch.get('/', LONG_MS)).body, 'fine');
    },
  );

  check(
    'a slow scrape holds no probe up',
    (request, response) => {
      if (request.url === '/health') response.end();
    },
    async ({ watcher, engine }) => {
      const { watch } = new CountingWatch(watcher, engine.url);
      const scraped = watch.scrape('/metrics', LONG_MS);
      assert.equal(await watch.probe(LONG_MS), 200);
      const rejected = assert.rejects(scraped);
      await watcher.close();
      await rejected;
    },
  );

  check(
    'an engine that cuts connections is heard of, and answers over new ones',
    (_request, response) => response.end(LINES),
    async ({ watcher, engine }) => {
      const counting = new CountingWatch(watcher, engine.url);
      const other = new CountingWatch(watcher, engine.url);
      other.watch.close();
      for (let cuts = 1; cuts <= 3; cuts += 1) {
        assert.equal((await counting.watch.scrape('/metrics', LONG_MS)).body, LINES);
        assert.equal(counting.lost, cuts - 1);
        engine.cut();
        await eventually('the lost connection is told', () => counting.lost === cuts);
      }
      assert.equal(engine.connections, 3);
      assert.equal(other.lost, 0, 'who has closed is told nothing');
    },
  );

  check(
    'an engine that dies is heard of before it is asked again',
    (_request, response) => response.end(LINES),
    async ({ watcher, engine }) => {
      const counting = new CountingWatch(watcher, engine.url);
      const { watch } = counting;
      await watch.scrape('/metrics', LONG_MS);
      assert.equal(counting.lost, 0);
      await engine.stop();
      await eventually('the lost connection is told', () => counting.lost > 0);
      await assert.rejects(watch.probe(LONG_MS), /ECONNREFUSED/);
    },
  );

  check(
    'a connection the engine said it would close is no loss',
    (_request, response) => {
      response.setHeader('connection', 'close');
      response.end(LINES);
    },
    async ({ watcher, engine }) => {
      const counting = new CountingWatch(watcher, engine.url);
      for (let turn = 0; turn < 3; turn += 1) {
        assert.deepEqual(await counting.watch.scrape('/metrics', LONG_MS), {
          status: 200,
          body: LINES,
        });
      }
      assert.equal(engine.connections, 3);
      assert.equal(counting.lost, 0);
    },
  );

  check(
    'a private CA is trusted where it is configured, and only there',
    (request, response) => response.end(`secure ${request.headers.authorization}`),
    async ({ watcher, engine }) => {
      const security = { apiKey: 'key', caPem: TEST_CERTIFICATE };
      const { watch } = new CountingWatch(watcher, engine.url, security);
      assert.equal((await watch.get('/', LONG_MS)).body, 'secure Bearer key');
      const { watch: distrustful } = new CountingWatch(watcher, engine.url);
      await assert.rejects(distrustful.get('/', LONG_MS), /certificate/);
    },
    { secure: true },
  );

  check(
    'IPv6',
    (request, response) => response.end(request.headers.host),
    async ({ watcher, engine }) => {
      const { watch } = new CountingWatch(watcher, engine.url);
      assert.equal((await watch.get('/', LONG_MS)).body, `[::1]:${engine.port}`);
    },
    { host: '::1', skip: HAS_IPV6 ? false : 'this host has no IPv6' },
  );

  test(`${name}: why an engine does not answer is said`, { skip }, async () => {
    const watcher = make();
    const reasonOf = (url: string): Promise<string> =>
      watcher
        .watch(url, NO_SECURITY, () => {})
        .probe(LONG_MS)
        .then(String, (error: Error) => `${error.name}: ${error.message}`);
    assert.match(await reasonOf(`http://127.0.0.1:${await freePort()}`), /^Error: .*ECONNREFUSED/);
    assert.match(
      await reasonOf('http://nowhere.invalid'),
      /ENOTFOUND|EAI_AGAIN|cannot be resolved/,
    );
    await watcher.close();
  });
}

/** Writes more than anybody takes, until the other side hangs up. */
function flood(response: { write(chunk: Buffer): boolean }): void {
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  for (let bytes = 0; bytes <= ENGINE_BODY_BYTES_MAX; bytes += chunk.length) response.write(chunk);
}
