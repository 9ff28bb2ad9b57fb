// Thousands of open streams that say something every two seconds: resident memory per stream, and
// what they cost by being there.

import { printTable } from '../support/measure.js';
import { setChunkInterval, startEngines } from './generator.js';
import { sglangRouter, vllmRouter } from './peers.js';
import { haproxy, nginx } from './plain-proxies.js';
import {
  cpuPerChunk,
  type Figure,
  failuresOf,
  over,
  type Rounds,
  runOnce,
  times,
  withContenders,
} from './rounds.js';
import { warmpathRouters } from './routers.js';
import { latencyUs, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const STREAMS = 5000;
const OPENING_MS = 8000;

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const kinds = [
  nginx,
  haproxy,
  ...warmpathRouters({ policy: 'load-aware' }),
  vllmRouter('round_robin'),
  sglangRouter('random'),
];
const shape = { model: MODEL, mode: 'streams', stream: 1, variety: 'seen' } as const;
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  console.log(`\n${STREAMS} open streams, a chunk every 2 s`);
  // Code is compiled and heaps have grown before anything is counted.
  await setChunkInterval(engines, 10_000);
  for (const contender of contenders) {
    await runOnce(contender, { ...shape, connections: 100, tokens: 20, milliseconds: 3000 });
  }
  await setChunkInterval(engines, 2_000_000);
  const grown: (Figure & { readonly rounds: Rounds; readonly open: number })[] = [];
  const cpu: Figure[] = [];
  for (const contender of contenders) {
    const load = { ...shape, connections: STREAMS, tokens: 100, 'warm-up-ms': OPENING_MS };
    const report = await runOnce(contender, { ...load, milliseconds: 4000 });
    const rounds = { contender, reports: [report] };
    const { name } = contender;
    const kibibytes = (report.residentBytes - report.idleResidentBytes) / report.open / 1024;
    grown.push({ name, value: kibibytes, rounds, open: report.open });
    cpu.push({ name, value: over(rounds, cpuPerChunk).median });
  }
  printTable(
    [
      'contender',
      'open',
      'KiB each',
      '× nginx',
      'RSS MiB',
      'CPU µs/chunk',
      '× nginx',
      'one way p50 µs',
      'failed',
    ],
    grown.map((own, at) => {
      const spent = cpu[at] ?? { name: own.name, value: Number.NaN };
      return [
        own.name,
        own.open,
        own.value,
        times(own, grown, 'nginx'),
        over(own.rounds, ({ residentBytes }) => residentBytes / 2 ** 20).median,
        spent.value,
        times(spent, cpu, 'nginx'),
        latencyUs(own.rounds, 'chunkLatencyNs', '50'),
        failuresOf(own.rounds),
      ];
    }),
  );
});
