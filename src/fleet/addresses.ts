// What an operator configures for one engine address, and how endpoints are named after it. Read by
// discovery and the manager; names here are the ones of logs, headers and scores.

import type { EndpointSecurity, EventSource } from '#contracts/endpoint.js';

/** One engine address as configured. */
export interface ConfiguredAddress {
  /** Base URL without trailing slash; names the address everywhere. */
  readonly url: string;
  /** `namespace/name`, which llm-d knows it by; null where it has no name. */
  readonly id: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly security: EndpointSecurity;
  /** Tokens that each rank can hold for reuse, in all tiers; null: as its model or engine says. */
  readonly cacheTokens: number | null;
  /** Event sockets of data-parallel rank 0; null asks the engine (vLLM ≥ 0.31, SGLang). */
  readonly events: EventSource | null;
  /** Those of rank 0 where neither `events` nor the engine says; null: then it has none. */
  readonly assumedEvents: EventSource | null;
}

/** `address:port` of a base URL, plus `|rank` where there are several ranks (architecture §10). */
export function endpointName(url: string, dpRank: number | null): string {
  const parsed = new URL(url);
  const port = parsed.port !== '' ? parsed.port : parsed.protocol === 'https:' ? '443' : '80';
  return withRank(`${parsed.hostname}:${port}`, dpRank);
}

/** A name of one of several ranks behind an address. */
export function withRank(name: string, dpRank: number | null): string {
  return dpRank === null ? name : `${name}|${dpRank}`;
}

/** Host of a base URL as ZMQ and URLs write it: IPv6 in brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname;
}
