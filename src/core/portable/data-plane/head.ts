// Reads the head of a client's request: what is passed on, what the handler sees, what is refused.
// Called once per request; nothing that could be read differently by an engine gets through.

import { RouterError } from '#contracts/errors.js';
import { droppedHeader, isWish, OWN_HEADERS, TELLING_HEADERS } from '#contracts/header-names.js';
import { HEADER_COUNT_MAX, REQUEST_ID_LENGTH_MAX } from '#contracts/limits.js';

export interface ReadHead {
  /** Lower-case name → value for the handler; repeated headers are joined. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether any of TELLING_HEADERS is among them. */
  readonly telling: boolean;
  /** Names and values in turn, as the client wrote them, without `authorization` and wishes. */
  readonly forwarded: readonly string[];
  /** The client's credential, null without one. */
  readonly authorization: string | null;
  /** The client's acceptable request id, null without one. */
  readonly requestId: string | null;
  /** Declared body length, −1 for chunked, 0 without a body. */
  readonly bodyBytes: number;
  readonly strippedHeaders: number;
  readonly problem: RouterError | null;
}

const OWN = new Set(OWN_HEADERS);
const TELLING = new Set(TELLING_HEADERS);
const REQUEST_ID = new RegExp(`^[A-Za-z0-9._-]{1,${REQUEST_ID_LENGTH_MAX}}$`);

/** Reads the raw headers of a parsed head (name, value, name, value …). */
export function readHead(rawHeaders: readonly string[], httpVersion: string): ReadHead {
  const headers: Record<string, string> = Object.create(null);
  const forwarded: string[] = [];
  const seen: Record<string, string> = Object.create(null);
  let strippedHeaders = 0;
  let telling = false;
  const nominated = connectionOptions(rawHeaders);
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    const lower = name.toLowerCase();
    if (droppedHeader(lower) !== null) {
      strippedHeaders += 1;
      continue;
    }
    const own = OWN.has(lower);
    if (own) seen[lower] = lower in seen ? `${seen[lower]}, ${value}` : value;
    if (own ? lower !== 'host' : nominated.has(lower)) continue;
    telling ||= TELLING.has(lower);
    headers[lower] = lower in headers ? `${headers[lower]}, ${value}` : value;
    if (!own && lower !== 'authorization' && !isWish(lower)) forwarded.push(name, value);
  }
  const requestId = seen['x-request-id'];
  const { authorization = null } = headers;
  return {
    headers,
    telling,
    forwarded,
    authorization,
    requestId: requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : null,
    bodyBytes: bodyBytes(seen),
    strippedHeaders,
    problem: findProblem(rawHeaders.length / 2, httpVersion, seen),
  };
}

/** Path and query of a request target (RFC 9112 §3.2); null when it is neither path nor URL. */
export function requestPath(target: string): string | null {
  if (target.startsWith('/') || target === '*') return target;
  const rest = /^https?:\/\/[^/?#]+(.*)$/i.exec(target)?.[1];
  if (rest === undefined) return null;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

const NO_OPTIONS: ReadonlySet<string> = new Set();

/** What `Connection` nominates: headers for the next hop only (RFC 9110 §7.6.1). */
export function connectionOptions(rawHeaders: readonly string[]): ReadonlySet<string> {
  let options: Set<string> | null = null;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    options ??= new Set();
    for (const option of (rawHeaders[index + 1] ?? '').split(',')) {
      options.add(option.trim().toLowerCase());
    }
  }
  return options ?? NO_OPTIONS;
}

function bodyBytes(seen: Readonly<Record<string, string>>): number {
  if (seen['transfer-encoding'] !== undefined) return -1;
  const length = seen['content-length'];
  return length === undefined ? 0 : Number(length);
}

function findProblem(
  headerCount: number,
  httpVersion: string,
  seen: Readonly<Record<string, string>>,
): RouterError | null {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return new RouterError('malformed_request', `HTTP version ${httpVersion} is not spoken here.`);
  }
  if (headerCount > HEADER_COUNT_MAX) {
    return new RouterError('headers_too_large', `More than ${HEADER_COUNT_MAX} header lines.`);
  }
  const { host } = seen;
  if (host === undefined ? httpVersion === '1.1' : host.includes(',')) {
    return new RouterError('malformed_request', 'Exactly one Host header is needed.');
  }
  const transfer = seen['transfer-encoding'];
  if (transfer !== undefined && transfer.trim().toLowerCase() !== 'chunked') {
    return new RouterError('malformed_request', 'The only Transfer-Encoding taken is chunked.');
  }
  const encoding = seen['content-encoding'];
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    return new RouterError(
      'unsupported_encoding',
      'Send the body uncompressed, without Content-Encoding.',
      { param: 'content-encoding' },
    );
  }
  return null;
}
