// What an operator configures for one engine address, and how endpoints are named after it. Read by
// discovery and the manager; names here are the ones of logs, headers and scores.

import type { EndpointSecurity, EngineKind, EventSource } from '#contracts/endpoint.js';

/** One data-parallel rank named by the operator. */
export interface ConfiguredRank {
  readonly dpRank: number;
  /** Event sockets of this rank; null asks the engine. */
  readonly events: EventSource | null;
}

/** One engine address as configured. */
export interface ConfiguredAddress {
  /** Base URL without trailing slash; names the address everywhere. */
  readonly url: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly security: EndpointSecurity;
  /** Engine software when the operator names it, else `unknown`. */
  readonly engine: EngineKind;
  /** Event sockets of data-parallel rank 0; null asks the engine (vLLM ≥ 0.31, SGLang). */
  readonly events: EventSource | null;
  /** The ranks to use; empty takes all that the engine tells. */
  readonly ranks: readonly ConfiguredRank[];
}

/** One configured endpoint: an address, or one rank of it. */
export interface ConfiguredEndpoint extends Omit<ConfiguredAddress, 'ranks'> {
  readonly dpRank: number | null;
}

/** Groups endpoints by address; the first entry of an address gives labels and credentials. */
export function groupAddresses(
  endpoints: readonly ConfiguredEndpoint[],
): readonly ConfiguredAddress[] {
  const byUrl = new Map<string, ConfiguredAddress>();
  for (const { url, labels, security, engine, events, dpRank } of endpoints) {
    const known = byUrl.get(url);
    const ranks = [...(known?.ranks ?? [])];
    if (dpRank !== null) ranks.push({ dpRank, events });
    const first = known ?? { url, labels, security, engine, ranks, events: null };
    byUrl.set(url, { ...first, events: dpRank === null ? events : first.events, ranks });
  }
  return [...byUrl.values()];
}

/** `address:port` of a base URL, plus `|rank` where there are several ranks (architecture §10). */
export function endpointName(url: string, dpRank: number | null): string {
  const parsed = new URL(url);
  const port = parsed.port !== '' ? parsed.port : parsed.protocol === 'https:' ? '443' : '80';
  const name = `${parsed.hostname}:${port}`;
  return dpRank === null ? name : `${name}|${dpRank}`;
}

/** Host of a base URL as ZMQ and URLs write it: IPv6 in brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname;
}
