// The native EngineWatcher's face. Sockets, time limits and the 30 KB of each /metrics stay on a
// native thread; answers come in batches, with the lines of the text that are read and no others.

import { assert, assertNever } from '#contracts/assert.js';
import type { EndpointSecurity } from '#contracts/endpoint.js';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type {
  ClosableEngineWatcher,
  EngineWatch,
  ScrapedText,
  WantedLines,
} from '#contracts/transport.js';
import { engineAddress } from './engine-address.js';

/** What the addon exports for watching engines. `native/binding/src/watcher.rs` says what it does. */
export interface WatcherAddon {
  /** `lines` is JSON; `answers` stays registered until the watcher is closed. */
  watcherCreate(lines: string, wake: () => void, answers: Float64Array): number;
  /** `address` is JSON; returns the engine's number. */
  watcherOpen(watcher: number, address: string): number;
  /** False when the engine takes no more questions. */
  readonly watcherAsk: (
    watcher: number,
    engine: number,
    question: number,
    ticket: number,
    limitMs: number,
  ) => boolean;
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
/** By their numbers in `watch/mod.rs`. */
const PATHS = ['/metrics', '/health'] as const;
/** Tickets are 32-bit numbers that start over. */
const TICKETS = 2 ** 32;
/** Longer than anybody waits. */
const LIMIT_MS_MAX = 2 ** 31;

type Path = (typeof PATHS)[number];

/** A question that is not answered yet. */
interface Question {
  readonly url: string;
  readonly timeoutMs: number;
  readonly resolve: (answer: ScrapedText) => void;
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
  #nextTicket = 0;
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
    return {
      scrape: (timeoutMs) => this.#ask(engine, baseUrl, '/metrics', timeoutMs),
      probe: async (timeoutMs) => (await this.#ask(engine, baseUrl, '/health', timeoutMs)).status,
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
    for (const { url, reject } of questions) reject(new Error(`${url} is not asked any more`));
  }

  #ask(engine: number, baseUrl: string, path: Path, timeoutMs: number): Promise<ScrapedText> {
    const url = baseUrl + path;
    if (this.#closed) return Promise.reject(new Error(`${url} is not asked any more`));
    const ticket = this.#nextTicket;
    this.#nextTicket = (ticket + 1) % TICKETS;
    const limitMs = Math.min(LIMIT_MS_MAX, Math.max(0, Math.ceil(timeoutMs)));
    const question = PATHS.indexOf(path);
    const asked = this.#addon.watcherAsk(this.#watcher, engine, question, ticket, limitMs);
    if (!asked) return Promise.reject(new Error(`${url} is asked too often at once`));
    return new Promise((resolve, reject) => {
      this.#questions.set(ticket, { url, timeoutMs, resolve, reject });
    });
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
      const [kind = 0, id = 0, number = 0, length = 0] = this.#answers.subarray(at, at + 4);
      const own = text.slice(textAt, textAt + length);
      textAt += length;
      this.#deliverOne(kind, id, number, own);
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
    if (kind === 'answered') question?.resolve({ status: number, text });
    else question?.reject(failure(question, number, text));
  }
}

function failure({ url, timeoutMs }: Question, number: number, reason: string): Error {
  const kind = FAILURES[number];
  assert(kind !== undefined, 'a failure has a known kind');
  switch (kind) {
    case 'unreachable':
      return new Error(`${url} gave no answer: ${reason}`);
    case 'timed-out':
      return Object.assign(new Error(`${url} did not answer within ${timeoutMs} ms`), {
        name: 'TimeoutError',
      });
    case 'not-http':
      return new Error(`${url} answered something that is not HTTP: ${reason}`);
    case 'too-large':
      return new Error(`${url} answered more than ${ENGINE_BODY_BYTES_MAX} bytes`);
    default:
      return assertNever(kind);
  }
}
