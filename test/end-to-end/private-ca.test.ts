// Engines behind HTTPS with a private CA and an API key: found, scraped, probed, asked for token
// ids and routed to; without the CA the reason is shown.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createServer, type Server } from 'node:tls';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { post, startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { startRouterProcess } from '#test/support/processes.js';
import { readStatus, untilMatched } from '#test/support/status.js';
import { TEST_CERTIFICATE, TEST_KEY } from '#test/support/test-certificate.js';

const API_KEY = 'key-behind-tls';
const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-ca-'));
let engines: EngineSimFleet;
let front: Server;
let url: string;

before(async () => {
  engines = await startFastSims({ apiKey: API_KEY });
  const target = Number(new URL(engines.engines[0]?.url ?? '').port);
  front = createServer({ cert: TEST_CERTIFICATE, key: TEST_KEY }, (socket) => {
    const inner = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
  writeFileSync(path.join(folder, 'ca.pem'), TEST_CERTIFICATE);
  writeFileSync(path.join(folder, 'key'), API_KEY);
});

after(async () => {
  front.close();
  await engines.stop();
  rmSync(folder, { recursive: true });
});

function configFile(name: string, options: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, `endpoints:\n  - { url: "${url}", ${options} }\n`);
  return file;
}

test('with its CA and key an engine behind HTTPS is used like any other', async () => {
  const config = configFile('with.yaml', 'caFile: ca.pem, apiKeyFile: key');
  const router = await startRouterProcess([`--config=${config}`]);
  try {
    await untilMatched(router.adminUrl);
    await eventually('its load has been read', async () => {
      const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
      return /^warmpath_endpoint_metrics_age_seconds\{/m.test(metrics);
    });
    const prompt = 'the same long prompt again and again '.repeat(20);
    const body = { model: engines.engines[0]?.modelId, prompt, max_tokens: 1 };
    const first = await post(`${router.url}/v1/completions`, body);
    const second = await post(`${router.url}/v1/completions`, body);
    assert.deepEqual([first.status, second.status], [200, 200]);
    const usage = second.body['usage'] as { prompt_tokens_details: { cached_tokens: number } };
    assert.ok(usage.prompt_tokens_details.cached_tokens > 0);
  } finally {
    await router.end();
  }
});

test('without the CA the engine is not trusted, and /status says why', async () => {
  const config = configFile('without.yaml', 'apiKeyFile: key');
  const router = await startRouterProcess([`--config=${config}`]);
  try {
    await eventually('the reason is shown', async () => {
      const { fleet } = await readStatus(router.adminUrl);
      return /certificate/.test(fleet.problems[url] ?? '');
    });
    assert.equal((await fetch(`${router.url}/ready`)).status, 503);
  } finally {
    await router.end();
  }
});
