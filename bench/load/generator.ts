// The face of `warmpath-load` (native/load): builds it, starts mock engines, runs one load and
// reads its report.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from '#test/support/paths.js';
import {
  type Place,
  pinned,
  type StartedChild,
  startChild,
  stopChild,
  untilOutput,
} from './processes.js';

/** Nanoseconds by percentile; null where nothing was recorded. */
export type Latency = Readonly<Record<string, number>> | null;

/** One line of the generator's JSON. */
export interface LoadReport {
  readonly elapsedNs: number;
  readonly requests: number;
  readonly chunks: number;
  /** Reads that chunks came in. */
  readonly reads: number;
  /** Requests under way at the end. */
  readonly open: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<string, number>>;
  readonly latencyNs: Latency;
  /** From a request to the first chunk of its stream. */
  readonly firstChunkNs: Latency;
  readonly chunkLatencyNs: Latency;
  /** Of the measured processes, all threads. */
  readonly cpuNs: number;
  readonly mainThreadNs: number;
  readonly residentBytes: number;
  readonly idleResidentBytes: number;
  readonly generatorCpuNs: number;
}

/** Flags of `warmpath-load generate`, and of `corpus` where they name bodies. */
export interface BodyShape {
  readonly model?: string;
  readonly 'body-bytes'?: number;
  readonly messages?: number;
  readonly tools?: number;
  readonly variety?: 'unseen' | 'seen' | 'shared';
  readonly pool?: number;
  readonly tokens?: number;
  readonly stream?: 0 | 1;
}

export interface LoadShape extends BodyShape {
  readonly mode?: 'closed' | 'open' | 'streams';
  readonly connections?: number;
  readonly rate?: number;
  readonly 'warm-up-ms'?: number;
  readonly milliseconds: number;
}

export interface EngineShape {
  readonly engines: number;
  readonly model: string;
  readonly 'answer-bytes'?: number;
  readonly 'chunk-bytes'?: number;
  readonly 'chunk-interval-us'?: number;
  readonly 'metrics-bytes'?: number;
}

export interface Engines {
  readonly ports: readonly number[];
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

/** Bodies that no earlier load of this process has sent. */
const FIRST_STEP = 10_000_000;
let nextFirst = 0;

let binary: string | null = null;

/** Path of the built program; builds it once per run. Throws when it cannot be built. */
function program(): string {
  if (binary !== null) return binary;
  const sources = path.join(repositoryRoot, 'native');
  const target = process.env['CARGO_TARGET_DIR'] ?? path.join(sources, 'target');
  const file = path.join(target, 'release/warmpath-load');
  const built = spawnSync(
    'cargo',
    ['build', '--release', '--locked', '--quiet', '--package', 'warmpath-load'],
    { cwd: sources, stdio: ['ignore', 2, 2] },
  );
  if (built.status !== 0 || !existsSync(file)) {
    throw new Error('the load generator could not be built: load scenarios need cargo 1.89');
  }
  binary = file;
  return file;
}

/** Starts mock engines in one process. */
export async function startEngines(shape: EngineShape, place: Place = 'engines'): Promise<Engines> {
  const started: StartedChild = startChild(place, [
    program(),
    'mock',
    '--seconds',
    '3600',
    ...flags(shape),
  ]);
  const line = await untilOutput(started, /^[\d,]+$/);
  return {
    ports: line.split(',').map(Number),
    pid: started.child.pid ?? 0,
    stop: () => stopChild(started),
  };
}

/** Sets the pace of all streams that begin from now on. */
export async function setChunkInterval({ ports }: Engines, intervalUs: number): Promise<void> {
  await fetch(`http://127.0.0.1:${ports[0]}/mock/interval/${intervalUs}`);
}

/** Runs one load against `port`, measuring `pids`. */
export function generateLoad(
  port: number,
  pids: readonly number[],
  shape: LoadShape,
): Promise<LoadReport> {
  nextFirst += FIRST_STEP;
  const [file = '', ...rest] = pinned('load', [
    program(),
    'generate',
    ...flags({ port, pids: pids.join(','), first: nextFirst, ...shape }),
  ]);
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(text) as LoadReport);
      else reject(new Error(`the load generator ended with ${code}`));
    });
  });
}

/** The first bodies that a load of this shape sends. */
export function corpusBodies(shape: BodyShape, count: number): readonly string[] {
  const result = spawnSync(program(), ['corpus', ...flags({ count, ...shape })], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  if (result.status !== 0) throw new Error(`warmpath-load corpus: ${result.stderr}`);
  return result.stdout.trimEnd().split('\n');
}

function flags(values: object): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
}
