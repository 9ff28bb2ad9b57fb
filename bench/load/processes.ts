// Child processes of a load run: pinned to their cores, found with all their descendants, ended for
// certain. On two cores the contender has one alone; load and engines share the other.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/** Who shares cores with whom. */
export type Place = 'load' | 'engines' | 'contender';

const CORES: Readonly<Record<Place, string>> | null = coresByPlace();
const READY_MS = 60_000;
const POLL_MS = 50;
/** A process that has not ended after a polite signal by then is killed. */
const STOP_MS = 3000;

/** One sentence on where processes run. */
export function pinningNote(): string {
  if (CORES === null) return 'not pinned: taskset is not installed or there is one core';
  return `pinned: load to core ${CORES.load}, engines ${CORES.engines}, contenders ${CORES.contender}`;
}

function coresByPlace(): Readonly<Record<Place, string>> | null {
  const count = cpus().length;
  if (count < 2 || spawnSync('taskset', ['--version']).error !== undefined) return null;
  if (count < 4) return { load: '0', engines: '0', contender: '1' };
  return { load: '0', engines: '1', contender: `2-${count - 1}` };
}

/** Command and arguments as they run at `place`. */
export function pinned(place: Place, command: readonly string[]): readonly string[] {
  return CORES === null ? command : ['taskset', '-c', CORES[place], ...command];
}

export interface StartedChild {
  readonly child: ChildProcess;
  /** What it wrote to stderr, and to stdout unless that is read. */
  readonly output: () => string;
}

/** Starts a process with a pipe as stdin, which it may watch to see that we are gone. */
export function startChild(
  place: Place,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): StartedChild {
  const [file = '', ...rest] = pinned(place, command);
  const child = spawn(file, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  endWithUs(child);
  const lines: string[] = [];
  const note = (line: string): void => {
    lines.push(line);
    if (lines.length > 200) lines.shift();
  };
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface({ input: stream }).on('line', note);
  }
  // A child that cannot be started shows as one that ended.
  child.on('error', (error) => note(error.message));
  child.stdin?.on('error', () => {});
  return { child, output: () => lines.join('\n') };
}

const running = new Set<ChildProcess>();
let watched = false;

/** Nothing a run has started outlives it, however it ends. */
function endWithUs(child: ChildProcess): void {
  if (!watched) {
    watched = true;
    process.once('exit', () => {
      for (const left of running) left.kill('SIGKILL');
    });
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => process.exit(1));
  }
  running.add(child);
  child.once('exit', () => running.delete(child));
}

/** Waits for the first line of a child's output that matches. */
export async function untilOutput(started: StartedChild, pattern: RegExp): Promise<string> {
  let line: string | undefined;
  await until(started, () => {
    line = started
      .output()
      .split('\n')
      .find((candidate) => pattern.test(candidate));
    return Promise.resolve(line !== undefined);
  });
  return line ?? '';
}

/** Polls until `ready`; rejects when the child ends or the time is up. */
export async function until(started: StartedChild, ready: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (!(await ready())) {
    const { exitCode, pid } = started.child;
    if (exitCode !== null || pid === undefined) {
      throw new Error(`ended with ${exitCode} before it was ready: ${started.output()}`);
    }
    if (performance.now() > deadline) {
      throw new Error(`not ready after ${READY_MS / 1000} s: ${started.output()}`);
    }
    await pause(POLL_MS);
  }
}

/** The child and everything it has started, now. */
export function processTree(pid: number): readonly number[] {
  const children: number[] = [];
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const listed = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
      for (const child of listed === '' ? [] : listed.split(' ')) children.push(Number(child));
    }
  } catch {
    // It, or one of its threads, has ended.
  }
  return [pid, ...children.flatMap(processTree)];
}

/** CPU nanoseconds of the live threads of these processes; all of them live while measured. */
export function processUsage(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const figures = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8');
      total += Number(figures.split(' ')[0]);
    }
  }
  return total;
}

/** Ends a child, politely first. */
export async function stopChild({ child }: StartedChild): Promise<void> {
  child.stdin?.end();
  child.kill('SIGTERM');
  const deadline = performance.now() + STOP_MS;
  while (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    if (performance.now() > deadline) child.kill('SIGKILL');
    await pause(POLL_MS);
  }
}
