// Builds the heads this router sends to clients: an engine's head relayed, an answer of its own,
// and errors in OpenAI's shape. Pure functions over flat name/value lists, as node:http takes them.

import type { RouterError } from '#contracts/errors.js';
import type { HeaderPair } from '#contracts/request.js';
import type { AnswerHead } from './attempt.js';
import { connectionOptions } from './head.js';

/** Belong to the engine's connection (RFC 9110 §7.6.1), or are set here. */
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
]);

/** Seconds after which a refused client may come back. */
const RETRY_AFTER_SECONDS = '1';

export interface RelayedHead {
  readonly headers: readonly string[];
  readonly hasDate: boolean;
  readonly hasLength: boolean;
  /** `events` for an SSE stream, `json`, or neither; encoded content is neither. */
  readonly content: 'events' | 'json' | 'other';
}

/** Relays an engine's headers as they were written, minus its connection's, plus `added`. */
export function relayedHead(
  { status, rawHeaders }: Pick<AnswerHead, 'status' | 'rawHeaders'>,
  added: readonly HeaderPair[],
  requestId: string,
): RelayedHead {
  const headers: string[] = [];
  const replaced = new Set(added.map(([name]) => name));
  const nominated = connectionOptions(rawHeaders);
  let hasDate = false;
  let hasLength = false;
  let encoded = false;
  let content: RelayedHead['content'] = 'other';
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    const lower = name.toLowerCase();
    if (DROPPED.has(lower) || replaced.has(lower) || nominated.has(lower)) continue;
    // RFC 9110 §8.6: never with 204.
    if (status === 204 && lower === 'content-length') continue;
    if (lower === 'date') hasDate = true;
    else if (lower === 'content-length') hasLength = true;
    else if (lower === 'content-encoding') encoded = value.toLowerCase() !== 'identity';
    else if (lower === 'content-type') content = contentOf(value);
    headers.push(name, value);
  }
  headers.push('x-request-id', requestId);
  for (const [name, value] of added) headers.push(name, value);
  return { headers, hasDate, hasLength, content: encoded ? 'other' : content };
}

/** Headers of an answer the router gives itself. */
export function ownHead(
  added: readonly HeaderPair[],
  bodyBytes: number,
  requestId: string,
): string[] {
  const headers = ['x-request-id', requestId, 'content-length', String(bodyBytes)];
  for (const [name, value] of added) {
    if (name !== 'content-length' && name !== 'x-request-id') headers.push(name, value);
  }
  return headers;
}

/** Headers of an error answer, besides its length. */
export function errorHeaders(error: RouterError): readonly HeaderPair[] {
  const headers: HeaderPair[] = [
    ['content-type', 'application/json'],
    ['x-warmpath-error-source', error.source],
  ];
  if (error.status === 429 || error.status === 503) {
    headers.push(['retry-after', RETRY_AFTER_SECONDS]);
  }
  if (error.dropped !== null) headers.push(['x-llm-d-request-dropped-reason', error.dropped]);
  return headers;
}

function contentOf(type: string): RelayedHead['content'] {
  const essence = type.split(';', 1)[0]?.trim().toLowerCase();
  if (essence === 'text/event-stream') return 'events';
  return essence === 'application/json' ? 'json' : 'other';
}
