// The main thread's handle on a stepped index thread: run to a step, look around, go on or end it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import {
  type Command,
  STEPPING,
  type SteppedStatus,
  type SteppedTask,
} from '#test/integration/block-index-steps.worker.js';
import type { Sabotage } from '#test/support/stepped-atomics.js';

export class SteppedWorker {
  readonly #worker: Worker;
  readonly #words: Int32Array = new Int32Array(new SharedArrayBuffer(STEPPING.words * 4));
  readonly #ready: Promise<SteppedStatus>;

  constructor(
    index: SharedArrayBuffer,
    options: { readonly loads?: boolean; readonly sabotage?: Sabotage } = {},
  ) {
    const workerData: SteppedTask = {
      index,
      stepping: this.#words.buffer as SharedArrayBuffer,
      writerId: 1,
      loads: options.loads ?? false,
      sabotage: options.sabotage ?? 'none',
    };
    const file = new URL('../integration/block-index-steps.worker.js', import.meta.url);
    this.#worker = new Worker(file, { workerData });
    this.#ready = this.#status();
  }

  /** Runs the commands, the last one up to step `stopAt`. True when it stopped there. */
  async run(commands: readonly Command[], stopAt: number): Promise<boolean> {
    await this.#ready;
    Atomics.store(this.#words, STEPPING.stopAt, stopAt);
    const status = this.#status();
    this.#worker.postMessage(commands);
    return (await status) === 'stopped';
  }

  /** Goes on from where it stopped, to the end; the command's result. */
  async resume(): Promise<number> {
    const status = this.#status();
    Atomics.add(this.#words, STEPPING.go, 1);
    Atomics.notify(this.#words, STEPPING.go);
    assert.equal(await status, 'done');
    return Atomics.load(this.#words, STEPPING.result);
  }

  /** Ends the thread wherever it is. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async #status(): Promise<SteppedStatus> {
    const [status] = (await once(this.#worker, 'message')) as [SteppedStatus];
    return status;
  }
}
