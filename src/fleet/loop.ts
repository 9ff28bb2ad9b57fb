// One task that runs again and again, never twice at once: the skeleton of scraping, probing and
// discovery. The task says how long to wait; `hurry` shortens the wait.

import type { Clock } from '#contracts/clock.js';

/** Repeats a task until stopped. */
export class Loop {
  readonly #clock: Clock;
  readonly #task: () => Promise<number>;
  readonly #onError: (error: unknown) => number;
  readonly #run = (): void => void this.#once();
  #cancel: (() => void) | null = null;
  #running = false;
  #hurried = false;
  #stopped = false;

  /**
   * `task` resolves to the milliseconds until it runs again; when it rejects, `onError` tells them.
   */
  constructor(clock: Clock, task: () => Promise<number>, onError: (error: unknown) => number) {
    this.#clock = clock;
    this.#task = task;
    this.#onError = onError;
  }

  start(delayMs: number): void {
    this.#wait(delayMs);
  }

  /** Runs the task now, or once more when it is running. */
  hurry(): void {
    if (this.#running) this.#hurried = true;
    else this.#wait(0);
  }

  /** No task begins after this; one that runs ends by itself and its result must be ignored. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  #wait(delayMs: number): void {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#stopped) return;
    this.#cancel = this.#clock.after(delayMs, this.#run);
  }

  /** Errors of error handlers are bugs: they end the process as an unhandled rejection. */
  async #once(): Promise<void> {
    this.#cancel = null;
    this.#running = true;
    let delayMs: number;
    try {
      delayMs = await this.#task();
    } catch (error) {
      delayMs = this.#onError(error);
    }
    this.#running = false;
    const next = this.#hurried ? 0 : delayMs;
    this.#hurried = false;
    this.#wait(next);
  }
}
