// What a load scenario may be told on the command line: how many rounds and how long, which
// contenders, whether peers may be installed.

import { parseArgs } from 'node:util';

export interface LoadOptions {
  /** Rounds per contender and case; they alternate, medians count. */
  readonly rounds: number;
  /** Length of one round, milliseconds. */
  readonly roundMs: number;
  /** Parts of names: only contenders that contain one of them run; empty for all. */
  readonly only: readonly string[];
  /** Only cases whose name contains it. */
  readonly cases: string;
  /** Install missing peers from the package registry first. */
  readonly installPeers: boolean;
  /** Data-plane threads of the native router, one contender each; empty for what it takes itself. */
  readonly threads: readonly number[];
}

/** Reads the process's arguments; throws on unknown ones. */
export function loadOptions(): LoadOptions {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1.5' },
      only: { type: 'string', default: '' },
      case: { type: 'string', default: '' },
      'install-peers': { type: 'boolean', default: false },
      threads: { type: 'string', default: '' },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)) {
    throw new Error('--rounds: 1 to 100');
  }
  if (!(seconds >= 0.1 && seconds <= 300)) throw new Error('--seconds: 0.1 to 300');
  const threads = values.threads.split(',').filter((count) => count !== '');
  if (threads.some((count) => !/^[1-9]\d?$/.test(count) || Number(count) > 64)) {
    throw new Error('--threads: numbers from 1 to 64, with commas');
  }
  return {
    rounds,
    roundMs: Math.round(seconds * 1000),
    only: values.only.split(',').filter((name) => name !== ''),
    cases: values.case,
    installPeers: values['install-peers'],
    threads: threads.map(Number),
  };
}
