// A hundred engines and no requests: scraping every second (30 KB each), probing, and a hundred open
// event sockets. CPU of the whole router as a share of one core.

import { printTable } from '../support/measure.js';
import { startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { startResidents } from './residents.js';
import { type Figure, over, runOnce, times, withContenders } from './rounds.js';
import { warmpathRouters } from './routers.js';
import { printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const ENGINES = 100;
/** Two answers to requests of the load: nothing beside a hundred scrapes a second. */
const NEARLY_NOTHING = { model: MODEL, mode: 'open', rate: 1, connections: 1 } as const;

printSetting();
const engines = await startEngines({ engines: ENGINES, model: MODEL, 'metrics-bytes': 30_000 });
const residents = await startResidents(ENGINES, MODEL, []);
const { eventSockets } = residents;
const kinds = warmpathRouters({ policy: 'precise' });
await withContenders(engines, kinds, { model: MODEL, eventSockets }, async ({ contenders }) => {
  console.log(`\n${ENGINES} engines, idle`);
  const measured: (Figure & { readonly mainThread: number; readonly resident: number })[] = [];
  for (const contender of contenders) {
    // The code of scraping runs seldom, so it takes half a minute until all of it is compiled.
    await runOnce(contender, { ...NEARLY_NOTHING, milliseconds: 30_000 });
    const milliseconds = 5 * loadOptions().roundMs;
    const rounds = {
      contender,
      reports: [await runOnce(contender, { ...NEARLY_NOTHING, milliseconds })],
    };
    measured.push({
      name: contender.name,
      value: over(rounds, ({ cpuNs, elapsedNs }) => cpuNs / elapsedNs).median,
      mainThread: over(rounds, ({ mainThreadNs, elapsedNs }) => mainThreadNs / elapsedNs).median,
      resident: over(rounds, ({ residentBytes }) => residentBytes / 2 ** 20).median,
    });
  }
  printTable(
    ['contender', 'cores', '× portable', 'of these main thread', 'RSS MiB'],
    measured.map((own) => [
      own.name,
      own.value,
      times(own, measured, 'portable'),
      own.mainThread,
      own.resident,
    ]),
  );
});
residents.stop();
