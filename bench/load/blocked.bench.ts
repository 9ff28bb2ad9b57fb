// Streams while the router's main thread is blocked 150 of every 200 ms, beside the same streams
// while it is not: a data plane that does not need JavaScript for bytes shows no stall.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { printTable } from '../support/measure.js';
import { setChunkInterval, startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { failuresOf, over, runOnce, withContenders } from './rounds.js';
import { warmpathRouters } from './routers.js';
import { latencyUs, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const here = path.dirname(fileURLToPath(import.meta.url));

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const imports = [path.join(here, 'inject-main-thread.js')];
const kinds = warmpathRouters({ policy: 'load-aware', imports });
const shape = {
  model: MODEL,
  mode: 'streams',
  connections: 100,
  stream: 1,
  tokens: 400,
  variety: 'seen',
  'warm-up-ms': 1500,
} as const;
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  console.log('\n100 streams at 20 chunks/s');
  await setChunkInterval(engines, 50_000);
  const rows: (readonly (string | number)[])[] = [];
  for (const contender of contenders) {
    const signal = (): void => {
      for (const pid of contender.pids.slice(0, 1)) process.kill(pid, 'SIGURG');
    };
    for (const state of ['free', 'blocked'] as const) {
      if (state === 'blocked') signal();
      const milliseconds = 2 * loadOptions().roundMs;
      const report = await runOnce(contender, { ...shape, milliseconds });
      if (state === 'blocked') signal();
      const rounds = { contender, reports: [report] };
      rows.push([
        contender.name,
        state,
        over(rounds, ({ chunks, elapsedNs }) => chunks / (elapsedNs / 1e9)).median,
        ...['50', '99', '100'].map((at) => latencyUs(rounds, 'chunkLatencyNs', at) / 1000),
        failuresOf(rounds),
      ]);
    }
  }
  printTable(
    ['contender', 'main thread', 'chunks/s', 'one way p50 ms', 'p99 ms', 'max ms', 'failed'],
    rows,
  );
});
