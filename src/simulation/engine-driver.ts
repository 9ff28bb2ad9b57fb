// Runs one engine model (one data-parallel rank) on a clock: begins a step when there is work,
// waits its scaled length, publishes its events, then hands out its tokens. The server submits and
// aborts; events always leave before the tokens of the same step.

import type { Clock } from '#contracts/clock.js';
import type { EngineEvent } from './engine-event.js';
import type { EngineModel, GeneratedToken } from './engine-model.js';
import type { EngineRequest } from './engine-request.js';

/** Steps done in one turn of the event loop when behind; other engines share the thread. */
const STEPS_PER_TURN_MAX = 16;
/** Lateness that is made up for; more is forgotten, as after a suspended process. */
const LAG_MAX_MS = 1000;

export interface DriverOptions {
  readonly model: EngineModel;
  readonly clock: Clock;
  /** Simulated seconds per real second. */
  readonly timeScale: number;
  readonly publish: (events: readonly EngineEvent[]) => void;
}

export class EngineDriver {
  readonly model: EngineModel;
  readonly #clock: Clock;
  readonly #timeScale: number;
  readonly #publish: (events: readonly EngineEvent[]) => void;
  readonly #listeners = new Map<string, (token: GeneratedToken) => void>();
  #cancelTimer: (() => void) | null = null;
  /** End of the running step, null when idle. */
  #dueMs: number | null = null;
  #stopped = false;

  constructor(options: DriverOptions) {
    this.model = options.model;
    this.#clock = options.clock;
    this.#timeScale = options.timeScale;
    this.#publish = options.publish;
  }

  /** Starts a request; `onToken` is called for each of its tokens until it finished or aborted. */
  submit(request: EngineRequest, onToken: (token: GeneratedToken) => void): void {
    this.#listeners.set(request.id, onToken);
    this.model.submit(request);
    if (this.#dueMs === null) this.#begin(this.#clock.nowMs());
  }

  /** Ends a request and frees its blocks; nothing if it is done. */
  abort(id: string): void {
    if (this.#listeners.delete(id)) this.model.abort(id);
  }

  /** Ends every step and request; the driver is of no use afterwards. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
    this.#listeners.clear();
  }

  #begin(startMs: number): void {
    const seconds = this.#stopped ? null : this.model.beginStep();
    this.#dueMs = seconds === null ? null : startMs + (seconds * 1000) / this.#timeScale;
    if (this.#dueMs !== null) this.#wait(this.#dueMs);
  }

  #wait(dueMs: number): void {
    const delayMs = Math.max(0, dueMs - this.#clock.nowMs());
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#turn());
  }

  /** Ends the step that is due, and those that would have followed it by now. */
  #turn(): void {
    const nowMs = this.#clock.nowMs();
    for (let steps = 0; this.#dueMs !== null; steps++) {
      if (this.#dueMs > nowMs || steps === STEPS_PER_TURN_MAX) {
        this.#wait(this.#dueMs);
        return;
      }
      this.#end();
      const startMs = Math.max(this.#dueMs, nowMs - LAG_MAX_MS);
      const seconds = this.#stopped ? null : this.model.beginStep();
      this.#dueMs = seconds === null ? null : startMs + (seconds * 1000) / this.#timeScale;
    }
  }

  #end(): void {
    const { tokens, events } = this.model.endStep();
    if (events.length > 0) this.#publish(events);
    for (const token of tokens) {
      const listener = this.#listeners.get(token.id);
      if (token.finished) this.#listeners.delete(token.id);
      listener?.(token);
    }
  }
}
