// Fleets against real HTTP servers, scraped and probed by every watcher: what in-memory engines
// cannot show. And proofs, which main's own client posts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '#contracts/logger.js';
import { seededRandom } from '#contracts/random.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { FLEET_TIMINGS } from '#fleet/monitor.js';
import { HttpEngineClient } from '#main/engine-client.js';
import { eventually } from '#test/support/eventually.js';
import {
  type FakeEngine,
  NO_SECURITY,
  serveEngine,
  vllmAnswers,
} from '#test/support/fake-engine.js';
import { HttpEngine } from '#test/support/http-engine.js';
import { WATCHERS } from '#test/support/watchers.js';
import { processClock } from '#workers/process-clock.js';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

for (const { name, make, skip } of WATCHERS) {
  test(`${name}: a fleet of real servers is discovered, scraped, and survives the death of one`, {
    skip,
  }, async () => {
    const engines: FakeEngine[] = [1, 2].map((running) => ({
      answers: vllmAnswers({ running }),
      fault: null,
      failing: [],
    }));
    const served = await Promise.all(engines.map((engine) => serveEngine(engine)));
    const watcher = make();
    const restarted: number[] = [];
    const manager = new FleetManager({
      capacity: 8,
      watcher,
      clock: processClock,
      random: seededRandom(7),
      logger: SILENT,
      timings: { ...FLEET_TIMINGS, scrapeIntervalMs: 50, probeIntervalMs: 50, probeFastMs: 20 },
      keepsHistories: false,
      configuredBlockSize: () => null,
      configuredCacheTokens: () => null,
      adapters: {},
      listener: {
        membershipChanged() {},
        modelsChanged() {},
        publisherGone() {},
        publisherFound() {},
        historiesChanged() {},
        blockSizeChanged() {},
        healthChanged() {},
        engineRestarted: (slot) => restarted.push(slot),
      },
    });
    const states = () => manager.registry.states();
    const healthy = (): string =>
      states()
        .filter((state) => state.healthy && state.scrapedAtMs > 0)
        .map((state) => state.endpoint.slot)
        .join();
    try {
      manager.setAddresses(
        served.map(({ url }) => ({
          url,
          labels: {},
          security: NO_SECURITY,
          events: null,
          assumedEvents: null,
          id: null,
          cacheTokens: null,
        })),
      );
      await eventually('both are healthy', () => healthy() === '0,1');
      await eventually('both are known', () =>
        states().every((state) => state.endpoint.models.length > 0),
      );
      assert.deepEqual(
        states().map((state) => [state.endpoint.blockSize, state.reported.runningRequests]),
        [
          [16, 1],
          [16, 2],
        ],
      );
      for (const engine of engines) engine.answers = vllmAnswers({ running: 9, startTime: 2000 });
      await eventually('new load is scraped', () =>
        states().every((state) => state.reported.runningRequests === 9),
      );
      await eventually('the restarts are seen', () => new Set(restarted).size === 2);
      await served[0]?.stop();
      await eventually('the dead one is out', () => healthy() === '1');
    } finally {
      manager.stop();
      await watcher.close();
      await Promise.all(served.map((entry) => entry.stop()));
    }
  });
}

test('what is posted arrives with the key, and the answer comes back', async () => {
  const engine = await HttpEngine.start((request, response) => {
    response.setHeader('x-key', request.headers.authorization ?? 'none');
    request.pipe(response);
  });
  const client = new HttpEngineClient();
  const security = { apiKey: 'secret', caPem: null };
  try {
    const echoed = await client.post(engine.url, '/tokenize', '{"a":1}', security, 60_000);
    assert.deepEqual(echoed, { status: 200, body: '{"a":1}' });
  } finally {
    await client.close();
    await engine.stop();
  }
});
