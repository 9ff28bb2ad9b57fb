// Child processes of tests: started with their output read line by line, ended by pid, never left
// behind.

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryRoot } from './paths.js';

const PATIENT = path.join(repositoryRoot, 'test/support/patient.yaml');

export interface RunningProcess {
  readonly child: ChildProcess;
  /** Every line of stdout and stderr so far. */
  readonly lines: readonly string[];
  /** Resolves with the exit code, null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Resolves with the first line, past or future, that matches; rejects when the process ends. */
  waitForLine(pattern: RegExp): Promise<string>;
  /** Sends the signal and resolves with the exit code (null when a signal ended it). */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts a program; its lines are collected. */
export function startProcess(
  command: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): RunningProcess {
  const child = spawn(command, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const listener of listeners) listener(line);
    });
  }
  const exited = new Promise<number | null>((resolve) => {
    // Not `exit`: by then its last lines may not have been read.
    child.once('close', (code) => resolve(code));
  });
  return {
    child,
    lines,
    exited,
    waitForLine: (pattern) =>
      new Promise((resolve, reject) => {
        const seen = lines.find((line) => pattern.test(line));
        if (seen !== undefined) return resolve(seen);
        listeners.add((line) => {
          if (pattern.test(line)) resolve(line);
        });
        void exited.then((code) => {
          reject(
            new Error(`ended with ${code} before ${pattern}:\n${lines.slice(-20).join('\n')}`),
          );
        });
      }),
    end: (signal = 'SIGTERM') => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return exited;
    },
  };
}

/** The router as users run it; resolves once it accepts requests. */
export async function startRouterProcess(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<RunningProcess & { readonly url: string; readonly adminUrl: string }> {
  const program = path.join(repositoryRoot, 'scripts/warmpath.js');
  const anyPort = ['--listen=127.0.0.1:0', '--admin=127.0.0.1:0'];
  const isConfigured = args.some((arg) => arg.startsWith('--config'));
  const patient = isConfigured ? [] : [`--config=${PATIENT}`];
  const router = startProcess(
    process.execPath,
    [program, 'serve', ...anyPort, ...patient, ...args],
    environment,
  );
  const ready = await router.waitForLine(/warmpath is ready on/);
  const [url = '', adminUrl = ''] = ready.match(/http:\/\/[^\s,]+/g) ?? [];
  return { ...router, url, adminUrl };
}
