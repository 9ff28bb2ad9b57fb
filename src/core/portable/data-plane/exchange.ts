// One request of one client, from its head to the last byte of its answer. Owns what is written to
// the client and the `done` record: whatever happens, exactly one is reported for a request that
// has a handle. Called by the front door, by forwarding and by the plane.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '#contracts/clock.js';
import type { CompletionOutcome } from '#contracts/core.js';
import { type ErrorCode, RouterError } from '#contracts/errors.js';
import type { HeaderPair, RequestHandle } from '#contracts/request.js';
import { errorHeaders, ownHead, type RelayedHead, relayedHead } from './answer-head.js';
import { AnswerScan, NO_USAGE } from './answer-scan.js';
import type { AnswerHead } from './attempt.js';
import type { Batches } from './batches.js';
import type { ReadHead } from './head.js';
import { Watchdog } from './watchdog.js';

/** Characters of a status line's text (RFC 9112 §4) as node:http takes them. */
const SENDABLE_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** What all exchanges of a plane share. */
export interface ExchangeHost {
  readonly clock: Clock;
  readonly batches: Batches;
  readonly clientStallMs: number;
  readonly totalMs: number;
  isDraining(): boolean;
  /** The exchange needs nothing any more. */
  onEnded(exchange: Exchange): void;
}

/**
 * reading: body still to come; deciding: with the handler; forwarding: with an engine, nothing
 * sent to the client; relaying: answer begun; flushing: answer complete; ended: `done` reported.
 */
export type ExchangeState =
  | 'reading'
  | 'deciding'
  | 'forwarding'
  | 'relaying'
  | 'flushing'
  | 'ended';

/** What a running forwarding is told. */
export interface Canceller {
  cancel(): void;
}

interface Ending {
  readonly outcome: CompletionOutcome;
  readonly errorCode: ErrorCode | null;
}

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly head: ReadHead;
  readonly requestId: string;
  readonly receivedAtMs: number;
  /** null when the request was refused before it could get one. */
  readonly handle: RequestHandle | null;
  state: ExchangeState = 'reading';
  forwarding: Canceller | null = null;
  readonly #host: ExchangeHost;
  readonly #stall: Watchdog;
  /** Of the request as a whole; never touched. */
  readonly #total: Watchdog;
  #ending: Ending = { outcome: 'client-gone', errorCode: null };
  #slot = -1;
  #status = 0;
  #firstByteMs = -1;
  #lastByteMs = -1;
  #responseBytes = 0;
  #relayed: RelayedHead | null = null;
  #scan: AnswerScan | null = null;
  #unsent = 0;

  constructor(
    host: ExchangeHost,
    message: { readonly request: IncomingMessage; readonly response: ServerResponse },
    head: ReadHead,
    identity: {
      readonly requestId: string;
      readonly receivedAtMs: number;
      readonly handle: RequestHandle | null;
    },
  ) {
    this.#host = host;
    this.request = message.request;
    this.response = message.response;
    this.head = head;
    this.requestId = identity.requestId;
    this.receivedAtMs = identity.receivedAtMs;
    this.handle = identity.handle;
    this.#stall = new Watchdog(host.clock);
    this.#total = new Watchdog(host.clock);
    this.#total.start(host.totalMs, () => this.#overdue());
    this.response.once('finish', () => this.#onFlushed());
    if (this.handle !== null) host.batches.opened();
  }

  /** True when nothing of an answer has been sent. */
  get unanswered(): boolean {
    return this.state === 'reading' || this.state === 'deciding' || this.state === 'forwarding';
  }

  /** Answers with an error of the table. */
  fail(error: RouterError, outcome: CompletionOutcome, closing = false): void {
    this.answer(error.status, errorHeaders(error), error.toBody(), {
      outcome,
      errorCode: error.code,
      closing,
    });
  }

  /** Answers with a body of the router's own. */
  answer(
    status: number,
    headers: readonly HeaderPair[],
    body: string | Uint8Array,
    ending: Ending & { readonly closing?: boolean },
  ): void {
    if (!this.unanswered) return;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const flat = ownHead(headers, bytes.byteLength, this.requestId);
    this.#status = status;
    this.#writeHead(status, '', flat, ending.closing === true);
    this.#responseBytes = this.request.method === 'HEAD' ? 0 : bytes.byteLength;
    this.#complete(ending, bytes);
  }

  /** Begins to relay an engine's answer; throws when its head cannot be sent on. */
  begin(head: AnswerHead, slot: number, added: readonly HeaderPair[]): void {
    const relayed = relayedHead(head, added, this.requestId);
    this.response.sendDate = !relayed.hasDate;
    // Nobody reads the text, but node:http would refuse this answer and every later one for it.
    const statusText = SENDABLE_TEXT.test(head.statusText) ? head.statusText : '';
    this.#writeHead(head.status, statusText, [...relayed.headers], false);
    this.state = 'relaying';
    this.#relayed = relayed;
    this.#slot = slot;
    this.#status = head.status;
    this.#firstByteMs = this.#host.clock.nowMs() - this.receivedAtMs;
    if (relayed.content !== 'other') this.#scan = new AnswerScan(relayed.content);
    if (this.handle !== null) {
      const { handle } = this;
      this.#host.batches.report({ kind: 'first-byte', handle, slot, status: head.status });
    }
  }

  /** Relays bytes; false when the client must first take some. */
  relay(chunk: Buffer): boolean {
    this.#responseBytes += chunk.length;
    this.#scan?.push(chunk);
    return this.response.write(chunk);
  }

  /** Waits for a slow client, which is cut when it takes nothing for too long. */
  whenDrained(callback: () => void): void {
    this.#watchClient();
    this.response.once('drain', () => {
      if (this.state !== 'relaying') return;
      this.#stall.stop();
      callback();
    });
  }

  /** The engine's answer is complete. */
  finish(): void {
    this.#complete({ outcome: 'completed', errorCode: null });
  }

  /** Ends a begun answer that cannot be completed, so that the client notices. */
  cut(error: RouterError, outcome: CompletionOutcome): void {
    if (this.state !== 'relaying') return;
    const ending: Ending = { outcome, errorCode: error.code };
    if (this.#relayed?.content === 'events' && !this.#relayed.hasLength) {
      const separator = this.#scan?.atEventBoundary === false ? '\n\n' : '';
      // Without `[DONE]`, and with the connection closed behind it.
      this.response.once('finish', () => this.request.socket.destroySoon());
      this.#complete(ending, Buffer.from(`${separator}data: ${error.toBody()}\n\n`));
      return;
    }
    this.#lastByteMs = this.#host.clock.nowMs() - this.receivedAtMs;
    this.#ending = ending;
    this.#settle();
    this.request.socket.destroy();
  }

  /** The plane's time is up: ends the request whatever its state. */
  terminate(): void {
    this.#endEarly(new RouterError('shutting_down', 'The router is shutting down.'), true);
  }

  /** The client's connection has closed. */
  clientGone(): void {
    if (this.state === 'ended') return;
    if (this.state !== 'flushing' || this.#ending.outcome === 'completed') {
      this.#ending = { outcome: 'client-gone', errorCode: null };
    }
    const { forwarding } = this;
    this.#settle();
    forwarding?.cancel();
  }

  #overdue(): void {
    if (this.state === 'reading') {
      const error = new RouterError('request_timeout', 'The request was not received in time.');
      this.#endEarly(error, true);
    } else {
      const text = 'The request took longer than it may in all.';
      this.#endEarly(new RouterError('deadline_exceeded', text), false);
    }
  }

  #endEarly(error: RouterError, closing: boolean): void {
    const { forwarding } = this;
    if (this.unanswered) this.fail(error, 'rejected', closing);
    else this.cut(error, 'rejected');
    forwarding?.cancel();
  }

  #writeHead(status: number, statusText: string, headers: string[], closing: boolean): void {
    if (closing || this.#host.isDraining()) headers.push('connection', 'close');
    if (statusText === '') this.response.writeHead(status, headers);
    else this.response.writeHead(status, statusText, headers);
  }

  #complete(ending: Ending, last?: Uint8Array): void {
    this.#ending = ending;
    this.#lastByteMs = this.#host.clock.nowMs() - this.receivedAtMs;
    this.state = 'flushing';
    this.forwarding = null;
    this.#watchClient();
    if (last === undefined) this.response.end();
    else this.response.end(last);
  }

  #onFlushed(): void {
    this.#settle();
    // A head sent before draining began has promised to keep the connection.
    if (this.#host.isDraining()) this.request.socket.end();
  }

  #watchClient(): void {
    this.#unsent = this.response.writableLength;
    this.#stall.start(this.#host.clientStallMs, () => {
      if (this.response.writableLength < this.#unsent) this.#watchClient();
      else this.request.socket.destroy();
    });
  }

  #settle(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.forwarding = null;
    this.#stall.stop();
    this.#total.stop();
    if (this.handle !== null) {
      this.#host.batches.report({
        kind: 'done',
        handle: this.handle,
        slot: this.#slot,
        status: this.#status,
        outcome: this.#ending.outcome,
        errorCode: this.#ending.errorCode,
        firstByteMs: this.#firstByteMs,
        lastByteMs:
          this.#lastByteMs >= 0 ? this.#lastByteMs : this.#host.clock.nowMs() - this.receivedAtMs,
        responseBytes: this.#responseBytes,
        chunks: this.#scan?.chunks ?? 0,
        usage: this.#scan?.usage() ?? NO_USAGE,
      });
    }
    this.#host.onEnded(this);
  }
}
