// One try at one endpoint: dispatches on a connection, passes the answer to its listener, and says
// how it failed. A kept connection that dies before any byte of an answer is replaced once by a
// fresh one (the engine had closed it while idle). After `abort` the listener hears nothing more.

import type { Dispatcher } from 'undici';
import type { RequestBody } from './request-body.js';
import type { Upstream, UpstreamConnection } from './upstream.js';

/** Head of an engine's answer: status line and raw headers (name, value, name, value …). */
export interface AnswerHead {
  readonly status: number;
  readonly statusText: string;
  readonly rawHeaders: readonly string[];
}

export type AttemptFailure = 'unreachable' | 'bad-response' | 'internal';

export interface AttemptListener {
  /** False drops the answer: the attempt is over. */
  onHead(head: AnswerHead): boolean;
  /** False pauses the answer until `resume`. */
  onChunk(chunk: Buffer): boolean;
  onEnd(): void;
  onFailure(failure: AttemptFailure, cause: Error): void;
  onReconnect(): void;
}

export interface AttemptRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn, without framing headers. */
  readonly headers: readonly string[];
  readonly body: () => RequestBody;
}

export class Attempt implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream;
  readonly #request: AttemptRequest;
  readonly #listener: AttemptListener;
  #connection: UpstreamConnection | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  /** Of the answer, 0 before its head. */
  #status = 0;
  #reconnected = false;
  #over = false;

  constructor(upstream: Upstream, request: AttemptRequest, listener: AttemptListener) {
    this.#upstream = upstream;
    this.#request = request;
    this.#listener = listener;
  }

  start(): void {
    const { method, path, headers, body } = this.#request;
    const { bytes, content } = body();
    const framed = content === null ? headers : [...headers, 'content-length', String(bytes)];
    this.#connection = this.#upstream.acquire(this.#reconnected);
    this.#connection.client.dispatch(
      { method, path: this.#upstream.basePath + path, headers: [...framed], body: bodyOf(content) },
      this,
    );
  }

  /** Ends the attempt and cuts its connection, at any stage. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#discard();
  }

  resume(): void {
    if (!this.#over) this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusText?: string,
  ): void {
    // 1xx answers are between the engine and this router.
    if (this.#over || status < 200) return;
    this.#status = status;
    const rawHeaders = rawHeaderText(controller.rawHeaders);
    if (!this.#listener.onHead({ status, statusText: statusText ?? '', rawHeaders })) this.abort();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    if (!this.#listener.onChunk(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#connection !== null) this.#upstream.release(this.#connection);
    this.#connection = null;
    this.#listener.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return;
    if (isBodiless(this.#status) && code(error) === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
      // Complete for want of a body, whatever length it has; undici has cut its connection.
      this.#over = true;
      this.#discard();
      this.#listener.onEnd();
      return;
    }
    const failure = classify(error);
    const reused = (this.#connection?.served ?? 0) > 0;
    this.#discard();
    if (failure === 'unreachable' && reused && this.#status === 0 && !this.#reconnected) {
      this.#reconnected = true;
      this.#listener.onReconnect();
      queueMicrotask(() => {
        if (!this.#over) this.start();
      });
      return;
    }
    this.#over = true;
    this.#listener.onFailure(failure, error);
  }

  #discard(): void {
    if (this.#connection !== null) this.#upstream.discard(this.#connection);
    this.#connection = null;
    this.#controller = null;
  }
}

/** undici takes any iterable as a body, but its type names only streams. */
function bodyOf(content: Buffer | Iterable<Buffer> | null): Buffer | null {
  return content as Buffer | null;
}

function rawHeaderText(rawHeaders: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(rawHeaders)) return [];
  return rawHeaders.map((part: Buffer | string) =>
    typeof part === 'string' ? part : part.toString('latin1'),
  );
}

/** Statuses whose answers have no body (RFC 9110 §6.4.1). */
function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

function code(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}

function classify(error: Error): AttemptFailure {
  if (error.name === 'HTTPParserError' || error.message === 'bad response') return 'bad-response';
  switch (code(error)) {
    case 'UND_ERR_HEADERS_OVERFLOW':
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      return 'bad-response';
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
    case 'UND_ERR_NOT_SUPPORTED':
      return 'internal';
    default:
      return 'unreachable';
  }
}
