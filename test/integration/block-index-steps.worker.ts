// A thread that works on a block index and stops before the atomic access it is told to stop at.
// The main thread drives it through `STEPPING` words and hears from it by messages.

import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import type { TierNumber } from '#contracts/block.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { matchAll } from '#test/support/index-checks.js';
import type { ModelKey } from '#test/support/model-index.js';
import { type Sabotage, stepAtomics } from '#test/support/stepped-atomics.js';

/** What the thread is asked to do; only the last command is stepped through. */
export type Command =
  | { readonly kind: 'open'; readonly slot: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'add' | 'remove'; readonly key: ModelKey; readonly tier: TierNumber }
  | { readonly kind: 'sweep'; readonly bucketCount: number }
  /** Reports the usable blocks of `slot` as the result. */
  | { readonly kind: 'match'; readonly key: ModelKey; readonly slot: number };

export interface SteppedTask {
  readonly index: SharedArrayBuffer;
  readonly stepping: SharedArrayBuffer;
  readonly writerId: number;
  readonly loads: boolean;
  readonly sabotage: Sabotage;
}

/** Words shared with the main thread. */
export const STEPPING = {
  /** Raised by main to go on. */
  go: 0,
  /** The step to stop before; steps count from 1. */
  stopAt: 1,
  result: 2,
  words: 3,
} as const;

/** What the thread says: it listens, or has run all; or it stopped before the step. */
export type SteppedStatus = 'done' | 'stopped';

if (parentPort !== null) listen(workerData as SteppedTask);

function listen(task: SteppedTask): void {
  const words = new Int32Array(task.stepping);
  const { store, load, wait } = Atomics;
  const writer = openIndexWriter(task.index, task.writerId, 2);
  const reader = openIndexReader(task.index);
  let virtualId = -1;
  let steps = 0;
  let stepping = false;
  const report = (status: SteppedStatus): void => parentPort?.postMessage(status);
  stepAtomics(task.index, task, () => {
    if (!stepping || ++steps !== load(words, STEPPING.stopAt)) return;
    const seen = load(words, STEPPING.go);
    report('stopped');
    wait(words, STEPPING.go, seen);
  });
  const run = (command: Command): number => {
    switch (command.kind) {
      case 'open':
        virtualId = writer.openEndpoint(command.slot);
        return virtualId;
      case 'drop':
        writer.dropEndpoint(virtualId);
        return 0;
      case 'sweep':
        return writer.sweep(command.bucketCount) ? 1 : 0;
      case 'match': {
        const words = Uint32Array.of(command.key.low, command.key.high);
        const matches = matchAll(reader, { keys: [command.key], words }, command.slot + 1);
        return matches[command.slot]?.usable ?? -1;
      }
      default: {
        const { low, high } = command.key;
        return writer[command.kind](virtualId, command.tier, 0, low, high) === 'done' ? 1 : 0;
      }
    }
  };
  parentPort?.on('message', (commands: readonly Command[]) => {
    for (const command of commands.slice(0, -1)) run(command);
    const last = commands.at(-1);
    assert.ok(last !== undefined);
    steps = 0;
    stepping = true;
    const result = run(last);
    stepping = false;
    store(words, STEPPING.result, result);
    report('done');
  });
  report('done');
}
