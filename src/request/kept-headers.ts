// Which request headers a decision keeps: those that plugins of the policy say they read, because
// without them it could not be replayed, and those that other policies go by. Credentials are never
// kept, whatever a plugin reads, and neither are identities of a policy that may have made them of
// credentials.

import type { FleetSnapshot } from '#contracts/endpoint.js';
import { POLICY_HEADERS, SESSION_TOKEN_HEADER } from '#contracts/header-names.js';
import type { Policy } from '#contracts/plugin.js';
import type { HeaderRead, PluginHooks, SchedulingContext } from '#contracts/scheduling.js';

const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'api-key',
  'x-api-key',
]);

/** What decisions of a policy keep of a request's head. */
export interface KeptHeaders {
  readonly reads: readonly HeaderRead[];
  /** Whether the ids of session and agent are kept. */
  readonly identities: boolean;
}

/** Headers that the plugins of a policy read and a decision may keep, each once. */
export function keptHeaders({ profiles, producers, handler }: Policy): KeptHeaders {
  const placed = profiles.flatMap(({ filters, scorers, picker }) => [
    ...filters,
    ...scorers,
    picker,
  ]);
  const plugins: readonly Pick<PluginHooks, 'reads'>[] = [
    handler.plugin,
    ...[...producers, ...placed].map(({ plugin }): PluginHooks => plugin),
  ];
  const reads = new Map<string, HeaderRead>();
  let identities = true;
  for (const read of plugins.flatMap((plugin) => plugin.reads ?? [])) {
    if (isCredential(read)) identities = false;
    else reads.set(`${read.header} ${read.cookie ?? ''}`, read);
  }
  return { reads: [...reads.values()], identities };
}

const POLICY_READS: readonly HeaderRead[] = POLICY_HEADERS.map((header) => ({ header }));
const ANY_TOKEN = POLICY_READS.find(({ header }) => header === SESSION_TOKEN_HEADER);

/** The same with the headers that any policy may go by, for requests that have one of them. */
export function withPolicyHeaders({ reads, identities }: KeptHeaders): KeptHeaders {
  const read = new Set(reads.map(({ header }) => header));
  const others = POLICY_READS.filter(({ header }) => !read.has(header));
  return { reads: [...reads, ...others], identities };
}

/** A cookie header as a whole has the cookies of everybody else in it. */
function isCredential({ header, cookie }: HeaderRead): boolean {
  return CREDENTIALS.has(header) || (header === 'cookie' && cookie === undefined);
}

/** Writes what is read of the headers into `values`, by position; empty for what is not there. */
export function keepHeaders(
  reads: readonly HeaderRead[],
  { headers, fleet }: Pick<SchedulingContext, 'headers' | 'fleet'>,
  values: string[],
): void {
  const sent = headers();
  for (let at = 0; at < reads.length; at += 1) {
    const read = reads[at];
    const value = read === undefined ? '' : (sent[read.header] ?? '');
    if (read === ANY_TOKEN) values[at] = namesEndpoint(value, fleet) ? value : '';
    else values[at] = read?.cookie === undefined ? value : oneCookie(value, `${read.cookie}=`);
  }
}

/** Other programs keep secrets in a header of that name: only what a router of ours set is none. */
function namesEndpoint(token: string, { bySlot }: FleetSnapshot): boolean {
  if (token === '') return false;
  const name = Buffer.from(token, 'base64').toString('utf8');
  return bySlot.some((state) => state?.endpoint.name === name);
}

/** The kept values under their names; several cookies are one header again. */
export function headersOf(
  reads: readonly HeaderRead[],
  values: readonly string[],
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [at, { header }] of reads.entries()) {
    const value = values[at] ?? '';
    if (value === '') continue;
    const before = headers[header];
    headers[header] = before === undefined ? value : `${before}; ${value}`;
  }
  return headers;
}

function oneCookie(cookies: string, opening: string): string {
  if (cookies === '') return '';
  return (
    cookies
      .split(';')
      .map((cookie) => cookie.trim())
      .find((cookie) => cookie.startsWith(opening)) ?? ''
  );
}
