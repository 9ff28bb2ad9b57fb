// Decisions on the one main thread: its CPU per request says how many a second it could make, and
// an open loop at half of that (or at half of what the whole process carries on its core, where
// that is less) shows how long its event loop is kept waiting.

import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { printTable } from '../support/measure.js';
import type { Contender } from './contender.js';
import { startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { failuresOf, over, runOnce, runRounds, withContenders } from './rounds.js';
import { warmpathRouters } from './routers.js';
import { printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const SHAPE = { model: MODEL, 'body-bytes': 1024, variety: 'seen' } as const;
const here = path.dirname(fileURLToPath(import.meta.url));

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const imports = [path.join(here, 'inject-main-thread.js')];
const kinds = (['round-robin', 'load-aware', 'precise'] as const).flatMap((policy) =>
  warmpathRouters({ policy, imports }),
);
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  console.log('\n1 KB chats');
  const rows: (readonly (string | number)[])[] = [];
  for (const rounds of await runRounds(contenders, { ...SHAPE, connections: 64 })) {
    const mainUs = over(rounds, (report) => report.mainThreadNs / report.requests / 1000).median;
    const carried = over(rounds, (report) => report.requests / (report.elapsedNs / 1e9)).median;
    const possible = 1e6 / mainUs;
    const rate = Math.max(1, Math.round(Math.min(possible, carried) / 2));
    const { contender } = rounds;
    await loopDelays(contender);
    const milliseconds = 2 * loadOptions().roundMs;
    const open = { ...SHAPE, mode: 'open', rate, connections: 256, milliseconds } as const;
    const report = await runOnce(contender, open);
    const delays = await loopDelays(contender);
    rows.push([
      contender.name,
      mainUs,
      possible,
      carried,
      rate,
      delays,
      failuresOf({ contender, reports: [report] }),
    ]);
  }
  printTable(
    [
      'contender',
      'main thread µs',
      'decisions/s it could make',
      'carried/s',
      'then at',
      'loop delay, ms',
      'failed',
    ],
    rows,
  );
});

/** What the main thread measured since it was asked last. */
async function loopDelays(contender: Contender): Promise<string> {
  process.kill(contender.pids[0] ?? 0, 'SIGUSR2');
  await pause(200);
  const lines = contender.output().split('\n');
  const line = lines.findLast((text) => text.startsWith('loop delay')) ?? '';
  return line.replace('loop delay ', '').replace(' ms', '');
}
