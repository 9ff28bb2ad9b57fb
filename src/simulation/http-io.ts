// Reading and answering HTTP requests in vLLM's style: JSON bodies, its error objects, server-sent
// events. Used by all handlers of the simulated engine's server.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { BODY_BYTES_MAX } from '#contracts/limits.js';
import { isRefusal, scanJson } from '#core/portable/prompt/json-scan.js';
import { parseMarked } from '#core/portable/prompt/json-value.js';

/** An answer other than 200, in the words and shape of vLLM. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly param: string | null;

  constructor(
    status: number,
    message: string,
    options: { readonly type?: string; readonly param?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ApiError';
    this.status = status;
    this.type = options.type ?? (status === 400 ? 'BadRequestError' : 'InternalServerError');
    this.param = options.param ?? null;
  }
}

/** A field that is missing or of the wrong type, worded like vLLM's validator. */
export function validationError(field: string, kind: string, message: string): ApiError {
  const location = `body.${field}`;
  return new ApiError(
    400,
    `1 validation error:\n  {'type': '${kind}', 'loc': '${location}', 'msg': '${message}'}`,
    { type: 'Bad Request', param: location },
  );
}

/** Members whose numbers a template may print. */
const RENDERED: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'documents',
  'chat_template_kwargs',
]);

export type JsonBody = Readonly<Record<string, unknown>>;

/** Reads a JSON object; an empty body counts as `{}`. */
export async function readJson(request: IncomingMessage): Promise<JsonBody> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      throw new ApiError(413, `body is larger than ${BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  let body: unknown;
  try {
    body = parseBody(Buffer.concat(chunks));
  } catch (cause) {
    throw new ApiError(400, `JSON decode error: ${String(cause)}`, { type: 'Bad Request', cause });
  }
  if (!isRecord(body)) {
    throw new ApiError(400, 'the body must be a JSON object', { type: 'Bad Request' });
  }
  return body;
}

/** JSON whose rendered members keep the spelling of numbers, as Python's parser does. */
function parseBody(bytes: Buffer): unknown {
  const scan = scanJson(bytes, 'chat-completions');
  return isRefusal(scan) ? JSON.parse(bytes.toString('utf8')) : parseMarked(bytes, scan, RENDERED);
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

export function sendText(
  response: ServerResponse,
  status: number,
  type: string,
  text: string,
): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

export function sendEmpty(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 });
  response.end();
}

/** Answers with vLLM's error object; nothing is left to say once the answer has begun. */
export function sendError(response: ServerResponse, error: ApiError): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { message, type, param, status } = error;
  sendJson(response, status, { error: { message, type, param, code: status } });
}

/** Begins a stream of server-sent events. */
export function beginEventStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.flushHeaders();
}

export function sendEvent(response: ServerResponse, data: unknown): void {
  response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
