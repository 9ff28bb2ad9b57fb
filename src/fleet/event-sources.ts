// Turns what an engine says about its event sockets into an EventSource per data-parallel rank
// (wire-formats §1). Used by discovery; it never guesses a socket the engine did not name.

import type { EventSource } from '#contracts/endpoint.js';

/** Event sources by data-parallel rank. */
export type RankSources = ReadonlyMap<number, EventSource>;

/** Most ranks one engine may announce; the router has that many endpoint slots in all. */
const RANKS_MAX = 1024;

/**
 * Reads vLLM's /kv_event_sources: one resolved config per rank. An engine that publishes nothing
 * yields an empty map. `host` is the engine's host as its URL names it.
 */
export function vllmEventSources(answer: unknown, host: string): RankSources {
  const sources = new Map<number, EventSource>();
  if (!isRecord(answer)) return sources;
  for (const [key, config] of Object.entries(answer)) {
    const rank = Number(key);
    if (!isRank(rank) || !isRecord(config)) continue;
    if (config['publisher'] !== 'zmq' || config['enable_kv_cache_events'] === false) continue;
    const source = sourceOf(text(config['endpoint']), text(config['replay_endpoint']), host);
    if (source !== null) sources.set(rank, { ...source, topic: topicOf(config['topic']) });
  }
  return sources;
}

/** Reads `kv_events` of SGLang's /server_info: a base port, one port per rank above it. */
export function sglangEventSources(answer: unknown, host: string): RankSources {
  const sources = new Map<number, EventSource>();
  const config = isRecord(answer) ? answer['kv_events'] : null;
  if (!isRecord(config) || config['publisher'] !== 'zmq') return sources;
  const port = config['endpoint_port_base'];
  const replayPort = config['replay_endpoint_port_base'];
  const announced = text(config['endpoint_host']) ?? '*';
  const bare = announced.replace(/^tcp:\/\//, '');
  const dpSize = typeof config['dp_size'] === 'number' ? config['dp_size'] : 1;
  if (!isPort(port)) return sources;
  for (let rank = 0; rank < Math.min(dpSize, RANKS_MAX); rank += 1) {
    const replay = isPort(replayPort) ? `tcp://*:${replayPort + rank}` : null;
    const source = sourceOf(`tcp://${bare}:${port + rank}`, replay, host);
    // Only SGLang can be told to bind to a named host.
    const mode = config['bind'] === true ? 'dial' : (source?.mode ?? 'dial');
    if (source !== null) sources.set(rank, { ...source, mode, topic: topicOf(config['topic']) });
  }
  return sources;
}

/** Moves a configured source of rank 0 to `rank`: TCP ports are base + rank. */
export function sourceForRank(source: EventSource, rank: number): EventSource {
  const replay = source.replayAddress;
  return {
    ...source,
    address: shiftPort(source.address, rank),
    replayAddress: replay === null ? null : shiftPort(replay, rank),
  };
}

/** Number of ranks an engine's answer to /server_info names, null when it says nothing. */
export function sglangRankCount(answer: unknown): number | null {
  const config = isRecord(answer) ? answer['kv_events'] : null;
  const size = isRecord(config) ? config['dp_size'] : null;
  return typeof size === 'number' && Number.isInteger(size) && size >= 1 ? size : null;
}

/** True for a plain JSON object. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One publisher's sockets; null for an address no other process can reach. */
function sourceOf(
  endpoint: string | null,
  replay: string | null,
  host: string,
): Omit<EventSource, 'topic'> | null {
  if (endpoint === null || endpoint.startsWith('inproc://')) return null;
  const replayAddress =
    replay === null || replay.startsWith('inproc://') ? null : dialAddress(replay, host);
  if (engineBinds(endpoint, host)) {
    return { address: dialAddress(endpoint, host), mode: 'dial', replayAddress };
  }
  return { address: bindAddress(endpoint), mode: 'bind', replayAddress };
}

/**
 * Whether the engine listens at `endpoint` (else it dials and the router must listen there). vLLM
 * binds wildcards and ipc; since 0.31 it also resolves `tcp://*:0` to the node's own address,
 * which is recognised by being the very IP address the engine is configured under. A loopback
 * address says nothing of that kind: both sides may be behind it.
 */
function engineBinds(endpoint: string, host: string): boolean {
  if (endpoint.startsWith('ipc://')) return true;
  const eventHost = splitTcp(endpoint).host;
  if (isWildcard(eventHost)) return true;
  return eventHost === host && isAddress(host) && !isLoopback(host);
}

function dialAddress(endpoint: string, host: string): string {
  if (!endpoint.startsWith('tcp://')) return endpoint;
  const { host: eventHost, port } = splitTcp(endpoint);
  return `tcp://${isWildcard(eventHost) ? host : eventHost}:${port}`;
}

/** Where to listen for an engine that dials `endpoint`: its name for us may not be one of ours. */
function bindAddress(endpoint: string): string {
  const { host, port } = splitTcp(endpoint);
  if (!isLoopback(host)) return `tcp://*:${port}`;
  return host.includes(':') ? `tcp://[::1]:${port}` : `tcp://127.0.0.1:${port}`;
}

function splitTcp(endpoint: string): { readonly host: string; readonly port: string } {
  const rest = endpoint.replace(/^tcp:\/\//, '');
  const colon = rest.lastIndexOf(':');
  return { host: rest.slice(0, colon), port: rest.slice(colon + 1) };
}

function isWildcard(host: string): boolean {
  return host === '*' || host === '0.0.0.0' || host === '::' || host === '[::]';
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host === '::1' || host.startsWith('127.');
}

function isAddress(host: string): boolean {
  return host.startsWith('[') || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

function shiftPort(address: string, rank: number): string {
  if (!address.startsWith('tcp://') || rank === 0) return address;
  const { host, port } = splitTcp(address);
  return `tcp://${host}:${Number(port) + rank}`;
}

/** An empty topic is a prefix of everything: then identity comes from the socket alone. */
function topicOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}

function isRank(rank: number): boolean {
  return Number.isInteger(rank) && rank >= 0 && rank < RANKS_MAX;
}
