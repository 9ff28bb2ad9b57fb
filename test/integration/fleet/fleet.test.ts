// Fleet and EngineClient against real HTTP servers: what in-memory engines cannot show.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import { seededRandom } from '#contracts/random.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { FLEET_TIMINGS } from '#fleet/monitor.js';
import { HttpEngineClient } from '#main/engine-client.js';
import {
  type FakeEngine,
  NO_SECURITY,
  serveEngine,
  vllmAnswers,
} from '#test/support/fake-engine.js';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const CLOCK = {
  nowMs: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

test('a fleet of real servers is discovered, scraped, and survives the death of one', async () => {
  const engines: FakeEngine[] = [1, 2].map((running) => ({
    answers: vllmAnswers({ running }),
    fault: null,
    failing: [],
  }));
  const served = await Promise.all(engines.map((engine) => serveEngine(engine)));
  const client = new HttpEngineClient();
  const manager = new FleetManager({
    capacity: 8,
    client,
    clock: CLOCK,
    random: seededRandom(7),
    logger: SILENT,
    timings: { ...FLEET_TIMINGS, scrapeIntervalMs: 50, probeIntervalMs: 50, probeFastMs: 20 },
    keepsHistories: false,
    configuredBlockSize: () => null,
    listener: {
      membershipChanged() {},
      modelsChanged() {},
      publisherGone() {},
      publisherFound() {},
      historiesChanged() {},
      blockSizeChanged() {},
      healthChanged(): void {},
      engineRestarted() {},
    },
  });
  const healthy = (): readonly number[] =>
    manager.registry
      .states()
      .filter((state) => state.healthy && state.scrapedAtMs > 0)
      .map((state) => state.endpoint.slot);
  try {
    manager.setAddresses(
      served.map(({ url }) => ({
        url,
        labels: {},
        security: NO_SECURITY,
        events: null,
        assumedEvents: null,
      })),
    );
    await until(() => healthy().length === 2);
    const running = manager.registry.states().map((state) => state.reported.runningRequests);
    assert.deepEqual(running, [1, 2]);
    await served[0]?.close();
    await until(() => healthy().join() === '1');
  } finally {
    manager.stop();
    await client.close();
    await Promise.all(served.map((entry) => entry.close()));
  }
});

test('the client sends keys, follows no redirect, bounds bodies and time', async () => {
  const seen: string[] = [];
  const server = createHttp((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? 'no key'}`);
    if (request.url === '/redirect') response.writeHead(302, { location: '/stolen' }).end();
    else if (request.url === '/huge') flood(response);
    else if (request.url !== '/hangs') request.pipe(response);
  });
  const url = await listen(server, 'http');
  const client = new HttpEngineClient();
  const security = { apiKey: 'secret', caPem: null };
  try {
    const echoed = await client.post(url, '/tokenize', '{"a":1}', security, 2000);
    assert.deepEqual([echoed.status, echoed.body], [200, '{"a":1}']);
    assert.equal((await client.get(url, '/redirect', security, 2000)).status, 302);
    await assert.rejects(client.get(url, '/hangs', NO_SECURITY, 100), { name: 'TimeoutError' });
    await assert.rejects(client.get(url, '/huge', NO_SECURITY, 10_000), /more than \d+ bytes/);
    assert.deepEqual(seen, [
      'POST /tokenize Bearer secret',
      'GET /redirect Bearer secret',
      'GET /hangs no key',
      'GET /huge no key',
    ]);
    await close(server);
    await assert.rejects(client.get(url, '/', NO_SECURITY, 2000), (error: Error) => {
      return error.name !== 'TimeoutError';
    });
  } finally {
    await client.close();
    await close(server);
  }
});

test('an engine behind a private CA is reached with that CA only', async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-ca-'));
  if (!makeCertificates(folder)) {
    context.skip('openssl is not installed');
    return;
  }
  const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8');
  const answer: RequestListener = (_request, response) => {
    response.end('secure');
  };
  const server = createHttps({ key: read('key.pem'), cert: read('cert.pem') }, answer);
  const url = await listen(server, 'https');
  const client = new HttpEngineClient();
  try {
    const trusted = { apiKey: null, caPem: read('ca.pem') };
    assert.equal((await client.get(url, '/', trusted, 5000)).body, 'secure');
    await assert.rejects(client.get(url, '/', NO_SECURITY, 5000), /certificate/);
  } finally {
    await client.close();
    await close(server);
    rmSync(folder, { recursive: true });
  }
});

/** Writes more than the client takes, until it hangs up. */
function flood(response: { write(chunk: Buffer): boolean }): void {
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  for (let bytes = 0; bytes <= ENGINE_BODY_BYTES_MAX; bytes += chunk.length) response.write(chunk);
}

function makeCertificates(folder: string): boolean {
  const openssl = (...parameters: string[]): void => {
    execFileSync('openssl', parameters, { cwd: folder, stdio: 'ignore' });
  };
  try {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      'ca-key.pem',
      '-out',
      'ca.pem',
      '-subj',
      '/CN=test-ca',
    );
    openssl(
      'req',
      ...key,
      '-keyout',
      'key.pem',
      '-out',
      'request.pem',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      'request.pem',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca-key.pem',
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-out',
      'cert.pem',
    );
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return false;
    throw error;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function listen(server: Server, scheme: string): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
