// What all micro benchmarks measure with: tinybench over the CPU clock of this process. On shared
// cores elapsed time says more about the neighbours than about the code; CPU time counts every
// thread of the process (garbage collection and the tokenizer's pool included) and no waiting.

import { cpus, loadavg } from 'node:os';
import { Bench, type FnOptions } from 'tinybench';

export interface Task {
  readonly name: string;
  /** Units (blocks, cycles, frames) that one run works through; 1 when left out. */
  readonly units?: number;
  readonly run: () => void;
  /** Runs outside the measured time, before and after each run. */
  readonly before?: () => void;
  readonly after?: () => void;
}

export interface Measured {
  readonly name: string;
  readonly runs: number;
  /** CPU µs of one run: the median, and the 99th percentile. */
  readonly runUs: number;
  readonly runP99Us: number;
  /** CPU ns of one unit, by the median run. */
  readonly unitNs: number;
}

/** CPU time of all threads of this process, milliseconds; steps of 1 µs. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Runs the tasks one after the other, each for at least `timeMs` of CPU time and ten runs. */
export function measure(tasks: readonly Task[], timeMs: number): readonly Measured[] {
  const bench = new Bench({
    now: cpuMs,
    time: timeMs,
    iterations: 10,
    warmupTime: timeMs / 4,
    warmupIterations: 3,
    throws: true,
  });
  for (const { name, run, before, after } of tasks) {
    const options: FnOptions = { async: false };
    if (before !== undefined) options.beforeEach = before;
    if (after !== undefined) options.afterEach = after;
    bench.add(name, run, options);
  }
  bench.runSync();
  return bench.tasks.map(({ name, result }, at) => {
    if (result.state !== 'completed') throw new Error(`${name} ended as ${result.state}`);
    const { latency } = result;
    return {
      name,
      runs: latency.samplesCount,
      runUs: latency.p50 * 1000,
      runP99Us: latency.p99 * 1000,
      unitNs: (latency.p50 * 1e6) / (tasks[at]?.units ?? 1),
    };
  });
}

/**
 * Prints what the figures depend on: Node, processor, how busy the machine is, and how long a fixed
 * piece of arithmetic takes now. Figures of two runs compare only where that last number agrees.
 */
export function printMachine(): void {
  const rounds: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    const startedMs = cpuMs();
    let word = round;
    for (let i = 0; i < 2_000_000; i += 1) word = Math.imul(word ^ (word >>> 15), 0x2c1b3c6d);
    if (word === 1) console.log('');
    rounds.push(cpuMs() - startedMs);
  }
  const loads = loadavg()[0]?.toFixed(1);
  console.log(
    `Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model}, load ${loads}; ` +
      `2 M rounds of fixed arithmetic take ${median(rounds).toFixed(1)} CPU ms`,
  );
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Prints rows under their headings, numbers right-aligned. */
export function printTable(
  headings: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  const texts = [headings, ...rows.map((row) => row.map(textOf))];
  const widths = headings.map((_, column) =>
    Math.max(...texts.map((row) => (row[column] ?? '').length)),
  );
  for (const row of texts) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(`  ${cells.join('  ')}`);
  }
}

function textOf(cell: string | number): string {
  if (typeof cell === 'string') return cell;
  if (Number.isNaN(cell)) return '-';
  return cell >= 100 ? cell.toFixed(0) : cell >= 10 ? cell.toFixed(1) : cell.toFixed(2);
}

/** Bytes held: heap, and what lies beside it (buffers, native objects), after a full collection. */
export function heldBytes(): number {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error('run with --expose-gc (`npm run bench` does)');
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
