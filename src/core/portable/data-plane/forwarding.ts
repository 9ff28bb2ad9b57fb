// Sends one request to the targets of its order, one after the other while no byte of an answer
// has been relayed, and relays the first answer. The head of an answer is held back until its
// first body byte, so that an engine that dies while it still computes is retried elsewhere.

import type { Clock } from '#contracts/clock.js';
import type { ForwardOrder, RequestStore, RouteTarget } from '#contracts/core.js';
import type { AttemptOutcome } from '#contracts/endpoint.js';
import { RouterError } from '#contracts/errors.js';
import { ATTEMPTS_MAX } from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import type { RequestHandle } from '#contracts/request.js';
import type { DataPlaneTimeouts } from '#core/data-plane-timeouts.js';
import { type AnswerHead, Attempt, type AttemptFailure, type AttemptListener } from './attempt.js';
import type { Batches } from './batches.js';
import type { Exchange } from './exchange.js';
import { requestBody } from './request-body.js';
import type { RetryBudget } from './retry-budget.js';
import type { Upstream } from './upstream.js';
import { Watchdog } from './watchdog.js';

/** What all forwardings of a plane share. */
export interface ForwardingHost {
  readonly clock: Clock;
  readonly store: RequestStore;
  readonly logger: Logger;
  readonly batches: Batches;
  readonly budget: RetryBudget;
  readonly timeouts: DataPlaneTimeouts;
  upstream(slot: number): Upstream | null;
  onRetry(): void;
  onReconnect(): void;
}

export class Forwarding implements AttemptListener {
  readonly #host: ForwardingHost;
  readonly #exchange: Exchange;
  readonly #handle: RequestHandle;
  readonly #order: ForwardOrder;
  readonly #path: string;
  readonly #deadline: Watchdog;
  #position = 0;
  #attempt: Attempt | null = null;
  /** Head of the running attempt's answer while it is held back. */
  #held: AnswerHead | null = null;
  #over = false;

  constructor(
    host: ForwardingHost,
    exchange: Exchange,
    request: {
      readonly handle: RequestHandle;
      readonly order: ForwardOrder;
      readonly path: string;
    },
  ) {
    this.#host = host;
    this.#exchange = exchange;
    this.#handle = request.handle;
    this.#order = request.order;
    this.#path = request.path;
    this.#deadline = new Watchdog(host.clock);
  }

  start(): void {
    this.#host.budget.deposit();
    this.#try();
  }

  /** The client has gone, or the plane ends: the engine's request is cut at once. */
  cancel(): void {
    this.#over = true;
    this.#deadline.stop();
    this.#attempt?.abort();
    this.#attempt = null;
  }

  onHead(head: AnswerHead): boolean {
    this.#deadline.touch();
    if (head.status === 503) {
      const nextSlot = this.#takeNext();
      if (nextSlot >= 0) {
        this.#next('busy', nextSlot, 'the endpoint answered 503');
        return false;
      }
    }
    this.#held = head;
    return true;
  }

  onChunk(chunk: Buffer): boolean {
    if (!this.#commit()) return true;
    this.#deadline.touch();
    if (this.#exchange.relay(chunk)) return true;
    // The engine is not late while it is the client that does not read.
    this.#deadline.stop();
    const attempt = this.#attempt;
    this.#exchange.whenDrained(() => {
      if (this.#over) return;
      this.#watchIdle();
      attempt?.resume();
    });
    return false;
  }

  onEnd(): void {
    if (!this.#commit()) return;
    this.#over = true;
    this.#deadline.stop();
    this.#exchange.finish();
  }

  onFailure(failure: AttemptFailure, cause: Error): void {
    this.#deadline.stop();
    if (this.#exchange.state === 'relaying') {
      const text = 'The endpoint cut the answer short.';
      this.#cut(new RouterError('endpoint_disconnected', text, { cause }));
    } else if (failure === 'internal') {
      this.#over = true;
      this.#log('a request could not be sent', cause);
      const text = 'The router could not send the request.';
      this.#exchange.fail(new RouterError('internal_error', text, { cause }), 'rejected');
    } else if (failure === 'bad-response') {
      const text = 'The endpoint answered something that is not HTTP.';
      this.#failed('server-error', new RouterError('endpoint_bad_response', text, { cause }));
    } else {
      const text = `No endpoint could be reached: ${reason(cause)}.`;
      this.#failed('unreachable', new RouterError('endpoint_unreachable', text, { cause }));
    }
  }

  onReconnect(): void {
    this.#host.onReconnect();
  }

  get #target(): RouteTarget | undefined {
    return this.#order.targets[this.#position];
  }

  #try(): void {
    const target = this.#target;
    const upstream = target === undefined ? null : this.#host.upstream(target.slot);
    this.#held = null;
    if (target === undefined || upstream === null) {
      const text = 'The endpoint chosen for the request has left the fleet.';
      this.#failed('unreachable', new RouterError('endpoint_unreachable', text));
      return;
    }
    this.#deadline.start(this.#host.timeouts.firstByteMs, () => {
      this.#attempt?.abort();
      const text = 'The endpoint did not begin to answer in time.';
      this.#failed('timed-out', new RouterError('endpoint_timeout', text));
    });
    const { store } = this.#host;
    const request = {
      method: this.#exchange.request.method ?? 'GET',
      path: this.#path,
      headers: this.#headers(target, upstream),
      body: () =>
        requestBody(
          store.body(this.#handle) ?? new Uint8Array(0),
          this.#order.patches,
          () => !this.#over && store.body(this.#handle) !== null,
        ),
    };
    this.#attempt = new Attempt(upstream, request, this);
    this.#attempt.start();
  }

  #headers(target: RouteTarget, upstream: Upstream): readonly string[] {
    const { head, requestId } = this.#exchange;
    const replaced = new Set(target.requestHeaders.map(([name]) => name));
    const headers: string[] = [];
    for (let index = 0; index + 1 < head.forwarded.length; index += 2) {
      const name = head.forwarded[index] ?? '';
      if (replaced.size > 0 && replaced.has(name.toLowerCase())) continue;
      headers.push(name, head.forwarded[index + 1] ?? '');
    }
    headers.push('x-request-id', requestId);
    const { apiKey } = upstream.endpoint.security;
    // An engine with a key of its own never sees the client's.
    const authorization = apiKey === null ? head.authorization : `Bearer ${apiKey}`;
    if (authorization !== null) headers.push('authorization', authorization);
    for (const [name, value] of target.requestHeaders) headers.push(name, value);
    return headers;
  }

  /** Sends the held head to the client; false when it cannot be sent. */
  #commit(): boolean {
    const head = this.#held;
    const target = this.#target;
    if (head === null || target === undefined) return this.#exchange.state === 'relaying';
    this.#held = null;
    try {
      this.#exchange.begin(head, target.slot, target.responseHeaders);
    } catch (error) {
      this.#attempt?.abort();
      const cause = error instanceof Error ? error : new Error(String(error));
      this.onFailure('bad-response', cause);
      return false;
    }
    this.#watchIdle();
    return true;
  }

  #watchIdle(): void {
    this.#deadline.start(this.#host.timeouts.idleMs, () => {
      this.#attempt?.abort();
      const text = 'The endpoint stopped sending within an answer.';
      this.#cut(new RouterError('endpoint_stalled', text));
    });
  }

  #cut(error: RouterError): void {
    this.#over = true;
    this.#log('an answer was cut short', error);
    this.#exchange.cut(error, 'endpoint-failed');
  }

  #failed(outcome: AttemptOutcome, error: RouterError): void {
    this.#deadline.stop();
    this.#next(outcome, this.#takeNext(), error.message, error);
  }

  /** Slot of the next target if there is one and the budget allows it, else −1. */
  #takeNext(): number {
    const next = this.#order.targets[this.#position + 1];
    if (next === undefined || this.#position + 1 >= ATTEMPTS_MAX) return -1;
    return this.#host.budget.take() ? next.slot : -1;
  }

  #next(outcome: AttemptOutcome, nextSlot: number, text: string, error?: RouterError): void {
    const slot = this.#target?.slot ?? -1;
    this.#log('an attempt failed', error?.cause ?? text);
    this.#host.batches.report({
      kind: 'attempt-failed',
      handle: this.#handle,
      slot,
      outcome,
      nextSlot,
    });
    if (nextSlot >= 0) {
      this.#position += 1;
      this.#host.onRetry();
      // Not from within the parser of the answer that failed: undici's parsers do not nest.
      queueMicrotask(() => {
        if (!this.#over) this.#try();
      });
    } else if (error !== undefined) {
      this.#over = true;
      this.#exchange.fail(error, 'endpoint-failed');
    }
  }

  #log(sentence: string, error: unknown): void {
    const { requestId } = this.#exchange;
    const slot = this.#target?.slot ?? -1;
    const endpoint = this.#host.upstream(slot)?.endpoint.name ?? null;
    this.#host.logger.warn({ requestId, endpoint, error }, sentence);
  }
}

/** The system's word for a failed connection, without addresses. */
function reason(cause: Error): string {
  return 'code' in cause ? String(cause.code) : 'the connection failed';
}
