// The native EngineWatcher's face. Sockets, time limits and the 30 KB of each /metrics stay on a
// native thread. Questions of one turn cross together, answers come in batches, with the lines of a
// /metrics text that are read and no others.

import { assert, assertNever } from '#contracts/assert.js';
import type { EndpointSecurity } from '#contracts/endpoint.js';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type {
  ClosableEngineWatcher,
  EngineResponse,
  EngineWatch,
  WantedLines,
} from '#contracts/transport.js';
import { engineAddress } from './engine-address.js';
import { ProcessHold } from './process-hold.js';

/** What the addon exports for watching engines. `native/binding/src/watcher.rs` says what it does. */
export interface WatcherAddon {
  /** `lines` is JSON; `answers` stays registered until the watcher is closed. */
  watcherCreate(lines: string, wake: () => void, answers: Float64Array): number;
  /** `address` is JSON; returns the engine's number. */
  watcherOpen(watcher: number, address: string): number;
  /** Nothing is asked before `watcherSend`. */
  readonly watcherAsk: (
    watcher: number,
    engine: number,
    keep: number,
    path: string,
    ticket: number,
    limitMs: number,
  ) => void;
  watcherSend(watcher: number): void;
  watcherTake(watcher: number): number;
  watcherText(watcher: number): string;
  watcherCloseEngine(watcher: number, engine: number): void;
  watcherClose(watcher: number): void;
}

/** Numbers of one answer: kind, ticket or engine, status or failure, length of its text. */
const ANSWER_NUMBERS = 4;
/** Answers taken at once. */
const ANSWERS_MAX = 256;
/** By their numbers in `answers.rs`. */
const KINDS = ['answered', 'failed', 'connection-lost'] as const;
const FAILURES = ['unreachable', 'timed-out', 'not-http', 'too-large'] as const;
/** What is kept of a body, as `watch/mod.rs` numbers it. */
const KEEP = { lines: 0, nothing: 1, everything: 2 } as const;
/** Tickets are 32-bit numbers that start over. */
const TICKETS = 2 ** 32;
/** Longer than anybody waits. */
const LIMIT_MS_MAX = 2 ** 31;

/** A question that is not answered yet. */
interface Question {
  readonly timeoutMs: number;
  readonly resolve: (answer: EngineResponse) => void;
  readonly reject: (error: Error) => void;
}

export function createEngineWatcher(
  addon: WatcherAddon,
  lines: WantedLines,
): ClosableEngineWatcher {
  return new NativeEngineWatcher(addon, lines);
}

class NativeEngineWatcher implements ClosableEngineWatcher {
  readonly #addon: WatcherAddon;
  readonly #answers = new Float64Array(ANSWER_NUMBERS * ANSWERS_MAX);
  readonly #watcher: number;
  /** By ticket. */
  readonly #questions = new Map<number, Question>();
  /** Who is told of lost connections, by the engine's number. */
  readonly #listeners = new Map<number, () => void>();
  readonly #hold = new ProcessHold();
  #nextTicket = 0;
  #sending = false;
  #closed = false;

  constructor(addon: WatcherAddon, lines: WantedLines) {
    this.#addon = addon;
    const wake = (): void => this.#take();
    this.#watcher = addon.watcherCreate(JSON.stringify(lines), wake, this.#answers);
  }

  watch(baseUrl: string, security: EndpointSecurity, onConnectionLost: () => void): EngineWatch {
    assert(!this.#closed, 'the watcher is open');
    const address = JSON.stringify(engineAddress(baseUrl, security));
    const engine = this.#addon.watcherOpen(this.#watcher, address);
    this.#listeners.set(engine, onConnectionLost);
    const ask = (keep: keyof typeof KEEP, path: string, timeoutMs: number) =>
      this.#ask(engine, KEEP[keep], path, timeoutMs);
    return {
      scrape: (path, timeoutMs) => ask('lines', path, timeoutMs),
      probe: async (timeoutMs) => (await ask('nothing', '/health', timeoutMs)).status,
      get: (path, timeoutMs) => ask('everything', path, timeoutMs),
      close: () => {
        if (this.#listeners.delete(engine) && !this.#closed) {
          this.#addon.watcherCloseEngine(this.#watcher, engine);
        }
      },
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#addon.watcherClose(this.#watcher);
    this.#listeners.clear();
    const questions = [...this.#questions.values()];
    this.#questions.clear();
    this.#hold.release();
    for (const { reject } of questions) reject(new Error(CLOSED));
  }

  #ask(engine: number, keep: number, path: string, timeoutMs: number): Promise<EngineResponse> {
    if (this.#closed) return Promise.reject(new Error(CLOSED));
    const ticket = this.#nextTicket;
    this.#nextTicket = (ticket + 1) % TICKETS;
    const limitMs = Math.min(LIMIT_MS_MAX, Math.max(0, Math.ceil(timeoutMs)));
    this.#addon.watcherAsk(this.#watcher, engine, keep, path, ticket, limitMs);
    if (!this.#sending) {
      this.#sending = true;
      queueMicrotask(() => this.#send());
    }
    return new Promise((resolve, reject) => {
      if (this.#questions.size === 0) this.#hold.take();
      this.#questions.set(ticket, { timeoutMs, resolve, reject });
    });
  }

  #send(): void {
    this.#sending = false;
    if (!this.#closed) this.#addon.watcherSend(this.#watcher);
  }

  /** Takes what waits; called by the native side, and at most one such call is pending. */
  #take(): void {
    let count: number;
    do {
      // Also the last call of the native side, which may come after its end.
      if (this.#closed) return;
      count = this.#addon.watcherTake(this.#watcher);
      if (count > 0) this.#deliver(count);
    } while (count === ANSWERS_MAX);
  }

  #deliver(count: number): void {
    const text = this.#addon.watcherText(this.#watcher);
    let textAt = 0;
    for (let at = 0; at < count * ANSWER_NUMBERS; at += ANSWER_NUMBERS) {
      const field = (offset: number): number => this.#answers[at + offset] ?? 0;
      const textEnd = textAt + field(3);
      this.#deliverOne(field(0), field(1), field(2), text.slice(textAt, textEnd));
      textAt = textEnd;
    }
  }

  #deliverOne(kindNumber: number, id: number, number: number, text: string): void {
    const kind = KINDS[kindNumber];
    assert(kind !== undefined, 'an answer has a known kind');
    if (kind === 'connection-lost') {
      this.#listeners.get(id)?.();
      return;
    }
    const question = this.#questions.get(id);
    this.#questions.delete(id);
    if (this.#questions.size === 0) this.#hold.release();
    if (kind === 'answered') question?.resolve({ status: number, body: text });
    else question?.reject(failure(question, number, text));
  }
}

const CLOSED = 'engines are not asked any more';

/** What the system's words mean to a person. */
const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it has cut the connection',
  EPIPE: 'it has cut the connection',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  ETIMEDOUT: 'it accepts no connection in time',
};

function failure({ timeoutMs }: Question, number: number, reason: string): Error {
  const kind = FAILURES[number];
  assert(kind !== undefined, 'a failure has a known kind');
  switch (kind) {
    case 'unreachable': {
      const meaning = MEANINGS[reason];
      return new Error(meaning === undefined ? reason : `${meaning} (${reason})`);
    }
    case 'timed-out': {
      const error = new Error(`no answer within ${timeoutMs} ms`);
      return Object.assign(error, { name: 'TimeoutError' });
    }
    case 'not-http':
      return new Error(`an answer that is not HTTP: ${reason}`);
    case 'too-large':
      return new Error(`an answer of more than ${ENGINE_BODY_BYTES_MAX} bytes`);
    default:
      return assertNever(kind);
  }
}
