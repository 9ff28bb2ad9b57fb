// What a contender adds to a 1 KB chat: at one connection, where it is idle otherwise, and at half
// of the load it can carry, by an open loop whose latency counts from the time a request was due.

import { printTable } from '../support/measure.js';
import { type Contender, directElsewhere } from './contender.js';
import { type LoadReport, startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { sglangRouter, vllmRouter } from './peers.js';
import { haproxy, nginx } from './plain-proxies.js';
import {
  cpuPerRequest,
  failuresOf,
  over,
  type Rounds,
  ratioTo,
  runOnce,
  runRounds,
  withContenders,
} from './rounds.js';
import { warmpathRouters } from './routers.js';
import { latencyUs, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const SHAPE = { model: MODEL, 'body-bytes': 1024, variety: 'seen' } as const;

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const kinds = [
  directElsewhere,
  nginx,
  haproxy,
  ...warmpathRouters({ policy: 'load-aware' }),
  ...warmpathRouters({ policy: 'precise' }),
  vllmRouter('round_robin'),
  sglangRouter('cache_aware'),
  vllmRouter('cache_aware'),
];
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  if ('one connection'.includes(loadOptions().cases)) {
    console.log('\none connection, closed loop');
    printAdded(await runRounds(contenders, { ...SHAPE, connections: 1 }));
  }
  if ('half load'.includes(loadOptions().cases)) {
    console.log('\nopen loop at half of what each can carry');
    await printHalfLoad(contenders);
  }
});

function printAdded(all: readonly Rounds[]): void {
  const base = all.find(({ contender }) => contender.name === 'direct');
  const ratio = ratioTo(all, (report) => report.latencyNs?.['50'] ?? Number.NaN);
  const baseUs = base === undefined ? Number.NaN : latencyUs(base, 'latencyNs', '50');
  printTable(
    ['contender', 'p50 µs', '× nginx', 'added p50', 'p99 µs', 'failed'],
    all.map((rounds) => [
      rounds.contender.name,
      latencyUs(rounds, 'latencyNs', '50'),
      ratio(rounds),
      latencyUs(rounds, 'latencyNs', '50') - baseUs,
      latencyUs(rounds, 'latencyNs', '99'),
      failuresOf(rounds),
    ]),
  );
}

async function printHalfLoad(contenders: readonly Contender[]): Promise<void> {
  const { rounds, roundMs } = loadOptions();
  const rates = new Map<Contender, number>();
  for (const contender of contenders) {
    const closed = { ...SHAPE, connections: 32, milliseconds: 1000 };
    const { requests, elapsedNs } = await runOnce(contender, closed);
    rates.set(contender, Math.max(1, Math.round(requests / (elapsedNs / 1e9) / 2)));
  }
  const all = contenders.map((contender) => ({ contender, reports: [] as LoadReport[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { contender, reports } of all) {
      const open = { mode: 'open', rate: rates.get(contender) ?? 1, connections: 256 } as const;
      const load = { ...SHAPE, ...open, milliseconds: roundMs };
      reports.push(await runOnce(contender, load));
    }
  }
  const ratio = ratioTo(all, cpuPerRequest);
  printTable(
    [
      'contender',
      'requests/s',
      'p50 µs',
      'p99 µs',
      'p99.9 µs',
      'CPU µs/request',
      '× nginx',
      'failed',
    ],
    all.map((own) => [
      own.contender.name,
      rates.get(own.contender) ?? Number.NaN,
      latencyUs(own, 'latencyNs', '50'),
      latencyUs(own, 'latencyNs', '99'),
      latencyUs(own, 'latencyNs', '99.9'),
      own.contender.name === 'direct' ? '-' : over(own, cpuPerRequest).median,
      own.contender.name === 'direct' ? '-' : ratio(own),
      failuresOf(own),
    ]),
  );
}
