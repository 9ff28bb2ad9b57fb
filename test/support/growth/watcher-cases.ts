// Engine watchers: questions that are answered, late and refused, engines that cut connections,
// watches and watchers that come and go.

import assert from 'node:assert/strict';
import type { Addon } from '#core/native/addon.js';
import { createEngineWatcher } from '#core/native/engine-watcher.js';
import { METRIC_LINES } from '#fleet/metrics-text.js';
import { freePort } from '#test/support/free-port.js';
import { HttpEngine } from '#test/support/http-engine.js';
import type { GrowthCases } from './measure.js';

/** An answer may wait for others, so a turn asks for several things at once. */
const TURNS = 400;
const AT_ONCE = [1, 2, 3, 4, 5] as const;
const LONG_MS = 60_000;
const NO_SECURITY = { apiKey: null, caPem: null };
const silent = (): void => {};
const LINES = 'vllm:num_requests_running{engine="0"} 3.0\n';
const METRICS = `${'# HELP of nothing\nother{label="value"} 1\n'.repeat(500)}${LINES}`;

export async function watcherCases(addon: Addon): Promise<GrowthCases> {
  const engine = await HttpEngine.start((request, response) => {
    if (request.url === '/cut') request.socket.destroy();
    else if (request.url !== '/late') response.end(request.url === '/metrics' ? METRICS : '{}');
  });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const watcher = createEngineWatcher(addon, METRIC_LINES);
  const watch = watcher.watch(engine.url, NO_SECURITY, silent);
  const absent = watcher.watch(nobody, NO_SECURITY, silent);
  return {
    cases: [
      {
        name: 'watchers: scrapes, probes, questions',
        turns: TURNS,
        call: async () => {
          const asked = AT_ONCE.map(async () => {
            const others = [
              watch.scrape('/metrics', LONG_MS),
              watch.get('/v1/models', LONG_MS),
            ] as const;
            assert.equal(await watch.probe(LONG_MS), 200);
            const [scraped, models] = await Promise.all(others);
            assert.deepEqual([scraped.body, models.body], [LINES, '{}']);
          });
          await Promise.all(asked);
        },
      },
      {
        name: 'watchers: failures',
        turns: TURNS,
        call: async () => {
          const failures = AT_ONCE.map(async () => {
            await assert.rejects(absent.probe(LONG_MS), /ECONNREFUSED/);
            await assert.rejects(watch.get('/cut', LONG_MS), /closed/);
          });
          await Promise.all(failures);
          await assert.rejects(watch.get('/late', 1), { name: 'TimeoutError' });
        },
      },
      {
        name: 'watchers: watches that come and go',
        turns: TURNS,
        call: async () => {
          const watches = AT_ONCE.map(async () => {
            const one = watcher.watch(engine.url, NO_SECURITY, silent);
            assert.equal(await one.probe(LONG_MS), 200);
            one.close();
          });
          await Promise.all(watches);
        },
      },
      {
        name: 'watchers that come and go',
        turns: 200,
        call: async () => {
          const one = createEngineWatcher(addon, METRIC_LINES);
          const asked = one.watch(engine.url, NO_SECURITY, silent).probe(LONG_MS);
          const ended = asked.catch(() => {});
          await one.close();
          await ended;
        },
      },
    ],
    close: async () => {
      await watcher.close();
      await engine.stop();
    },
  };
}
