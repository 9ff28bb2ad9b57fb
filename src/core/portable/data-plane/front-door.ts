// The HTTP server clients talk to: takes heads apart, refuses what must not go on, and reads
// bodies into the request store. Hands complete requests to the plane; every refusal has the
// shape of an OpenAI error and the client's request id.

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { RequestStore } from '#contracts/core.js';
import { RouterError } from '#contracts/errors.js';
import { BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADER_COUNT_MAX } from '#contracts/limits.js';
import type { RequestHandle } from '#contracts/request.js';
import type { DataPlaneTimeouts } from '#core/data-plane-timeouts.js';
import type { Connections } from './connections.js';
import { Exchange, type ExchangeHost } from './exchange.js';
import { type ReadHead, readHead, requestPath } from './head.js';

/** Bytes reserved for a body before it has come; a declared length is only a promise. */
const BODY_HINT_BYTES_MAX = 256 * 1024;
/** How often slow heads and bodies are looked for. */
const CHECK_INTERVAL_MS = 1_000;

export interface FrontDoorHost extends ExchangeHost {
  readonly store: RequestStore;
  readonly connections: Connections;
  onOpened(exchange: Exchange): void;
  onRefused(): void;
  onStripped(count: number): void;
  /** The body is complete; `path` is path and query of the request target. */
  onComplete(exchange: Exchange, path: string): void;
}

/** Makes the server; the caller listens and closes. */
export function createFrontDoor(host: FrontDoorHost, timeouts: DataPlaneTimeouts): Server {
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: timeouts.headersMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.keepAliveMs,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    insecureHTTPParser: false,
    // Checked in readHead, so that the refusal has the usual shape.
    requireHostHeader: false,
    noDelay: true,
  });
  // One more than allowed: Node drops the rest silently, and the excess must be seen.
  server.maxHeadersCount = HEADER_COUNT_MAX + 1;
  // Node has this property, its types do not: without it a half-closed client is cut.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on('connection', (socket: Socket) => host.connections.add(socket));
  server.on('request', (request, response) => accept(host, request, response, false));
  server.on('checkContinue', (request, response) => accept(host, request, response, true));
  server.on('clientError', (error: Error, socket: Socket) => onClientError(host, error, socket));
  return server;
}

function accept(
  host: FrontDoorHost,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): void {
  const receivedAtMs = host.clock.nowMs();
  const head = readHead(request.rawHeaders, request.httpVersion);
  if (head.strippedHeaders > 0) host.onStripped(head.strippedHeaders);
  const path = requestPath(request.url ?? '');
  const error = refusal(head, path);
  const handle = error === null ? openBody(host.store, head) : null;
  const exchange = new Exchange(host, { request, response }, head, {
    requestId: head.requestId ?? randomUUID(),
    receivedAtMs,
    handle,
  });
  host.connections.of(request.socket)?.exchanges.add(exchange);
  host.onOpened(exchange);
  if (handle === null) {
    host.onRefused();
    const full = new RouterError('too_many_requests', 'The router holds as much as it may.');
    // A client that waits for 100 sends no body: only closing keeps both sides in step.
    exchange.fail(error ?? full, 'rejected', expectsContinue || head.problem !== null);
    discardBody(request);
  } else {
    if (expectsContinue) response.writeContinue();
    readBody(host, exchange, handle, path ?? '/');
  }
}

function refusal(head: ReadHead, path: string | null): RouterError | null {
  if (head.problem !== null) return head.problem;
  if (path === null) {
    return new RouterError('malformed_request', 'The request target is neither a path nor a URL.');
  }
  return head.bodyBytes > BODY_BYTES_MAX ? tooLarge() : null;
}

function tooLarge(): RouterError {
  return new RouterError('body_too_large', `The body is larger than ${BODY_BYTES_MAX} bytes.`);
}

function openBody(store: RequestStore, head: ReadHead): RequestHandle | null {
  return store.open(Math.min(Math.max(0, head.bodyBytes), BODY_HINT_BYTES_MAX));
}

function readBody(
  host: FrontDoorHost,
  exchange: Exchange,
  handle: RequestHandle,
  path: string,
): void {
  const { request } = exchange;
  if (exchange.head.bodyBytes === 0) {
    host.onComplete(exchange, path);
    return;
  }
  request.on('data', (chunk: Buffer) => {
    if (exchange.state !== 'reading') return;
    const appended = host.store.append(handle, chunk);
    if (appended === 'done') return;
    const full = new RouterError('too_many_requests', 'The router holds as much as it may.');
    exchange.fail(appended === 'too-large' ? tooLarge() : full, 'rejected');
    discardBody(request);
  });
  request.on('end', () => {
    if (exchange.state === 'reading') host.onComplete(exchange, path);
  });
}

/** Reads on for a while, so that the client sees the answer instead of a reset connection. */
function discardBody(request: IncomingMessage): void {
  let discarded = 0;
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    if (discarded > BODY_BYTES_MAX) request.socket.destroy();
  });
}

/** The parser, or Node's own time limits, gave a connection up. */
function onClientError(host: FrontDoorHost, cause: Error, socket: Socket): void {
  const code = 'code' in cause ? String(cause.code) : '';
  const connection = host.connections.of(socket);
  const gone = code === 'ECONNRESET' || code === 'HPE_INVALID_EOF_STATE';
  if (!socket.writable || gone || connection === null) {
    socket.destroy();
    return;
  }
  // Whatever else it sends is no request either.
  if (connection.isRefused) return;
  connection.isRefused = true;
  const error = clientError(code, cause);
  const last = [...connection.exchanges].at(-1);
  if (last !== undefined && !last.request.complete) {
    if (last.unanswered) last.fail(error, 'rejected', true);
    else connection.onAnswered = () => socket.destroySoon();
    return;
  }
  const refuse = (): void => {
    if (!socket.writable) return;
    host.onRefused();
    socket.end(rawAnswer(error), () => socket.destroy());
  };
  // Before earlier answers, or within one, an error would be taken for theirs.
  if (last === undefined) refuse();
  else connection.onAnswered = refuse;
}

function clientError(code: string, cause: Error): RouterError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new RouterError('headers_too_large', `The head exceeds ${HEADER_BYTES_MAX} bytes.`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return tooLarge();
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RouterError('request_timeout', 'The request was not received in time.');
    default:
      return new RouterError('malformed_request', `The request is not HTTP: ${cause.message}`, {
        cause,
      });
  }
}

/** An error answer for a connection on which no request could be read. */
function rawAnswer(error: RouterError): string {
  const body = error.toBody();
  return [
    `HTTP/1.1 ${error.status} Refused`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${randomUUID()}`,
    `x-warmpath-error-source: ${error.source}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
