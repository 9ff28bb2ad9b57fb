// The tables that load scenarios print: one line per contender, ratios to nginx.

import { printMachine, printTable } from '../support/measure.js';
import type { LoadReport } from './generator.js';
import { pinningNote } from './processes.js';
import { cpuPerChunk, cpuPerRequest, failuresOf, over, type Rounds, ratioTo } from './rounds.js';

/** What a scenario's figures depend on. */
export function printSetting(): void {
  printMachine();
  console.log(pinningNote());
}

/** Microseconds at a percentile, median over the rounds. */
export function latencyUs(
  rounds: Rounds,
  of: 'latencyNs' | 'firstChunkNs' | 'chunkLatencyNs',
  percentile: string,
): number {
  return over(rounds, (report) => (report[of]?.[percentile] ?? Number.NaN) / 1000).median;
}

/** CPU per request, throughput and latency of a closed loop. */
export function printRequests(all: readonly Rounds[]): void {
  const ratio = ratioTo(all, cpuPerRequest);
  printTable(
    [
      'contender',
      'CPU µs/request',
      'least',
      '× nginx',
      'main thread',
      'requests/s',
      'p50 µs',
      'p99 µs',
      'failed',
    ],
    all.map((rounds) => {
      const { median, least } = over(rounds, cpuPerRequest);
      return [
        rounds.contender.name,
        median,
        least,
        ratio(rounds),
        over(rounds, (report) => report.mainThreadNs / report.requests / 1000).median,
        over(rounds, (report) => report.requests / (report.elapsedNs / 1e9)).median,
        latencyUs(rounds, 'latencyNs', '50'),
        latencyUs(rounds, 'latencyNs', '99'),
        failuresOf(rounds),
      ];
    }),
  );
  noteBusyGenerator(all);
}

/** CPU per chunk and one-way latency of chunks. */
export function printChunks(all: readonly Rounds[]): void {
  const ratio = ratioTo(all, cpuPerChunk);
  printTable(
    [
      'contender',
      'CPU µs/chunk',
      'least',
      '× nginx',
      'chunks/s',
      'chunks/read',
      'one way p50 µs',
      'p99 µs',
      'p99.9 µs',
      'first chunk p50 ms',
      'failed',
    ],
    all.map((rounds) => {
      const { median, least } = over(rounds, cpuPerChunk);
      return [
        rounds.contender.name,
        median,
        least,
        ratio(rounds),
        over(rounds, (report) => report.chunks / (report.elapsedNs / 1e9)).median,
        over(rounds, (report) => report.chunks / report.reads).median,
        latencyUs(rounds, 'chunkLatencyNs', '50'),
        latencyUs(rounds, 'chunkLatencyNs', '99'),
        latencyUs(rounds, 'chunkLatencyNs', '99.9'),
        latencyUs(rounds, 'firstChunkNs', '50') / 1000,
        failuresOf(rounds),
      ];
    }),
  );
  noteBusyGenerator(all);
}

/** A generator without time to spare measures itself. */
export function noteBusyGenerator(all: readonly Rounds[]): void {
  const share = (report: LoadReport): number => report.generatorCpuNs / report.elapsedNs;
  const busiest = Math.max(...all.map((rounds) => over(rounds, share).median));
  console.log(`  the generator used ${(100 * busiest).toFixed(0)} % of a core at most`);
}
