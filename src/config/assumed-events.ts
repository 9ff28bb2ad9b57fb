// Where the events of engines are that do not tell: from the ports (or the address that engines connect
// to) under `events` to one source per endpoint. What an engine tells itself always wins.

import type { EventSource } from '#contracts/endpoint.js';
import { socketAddresses } from './addresses.js';
import type { AssumedEvents, EndpointSettings } from './configuration.js';
import type { FileConfiguration } from './schema.js';

/**
 * Checks what is written under `events`; null when it says nothing about engines. `fault` also gets the
 * fields that are missed.
 */
export function assumedEvents(
  { port, replayPort, bind, topic }: FileConfiguration['events'],
  fault: (field: string, text: string, missing?: readonly string[]) => void,
): AssumedEvents | null {
  if (port !== undefined && bind !== undefined) {
    fault('bind', 'give either `port`, when engines listen, or `bind`, when they connect');
    return null;
  }
  if (topic !== undefined && bind === undefined) fault('topic', 'needs `bind` beside it', ['bind']);
  if (port !== undefined) return { port, replayPort: replayPort ?? null };
  if (bind === undefined) {
    if (replayPort !== undefined)
      fault('replayPort', 'needs `port` or `bind` beside it', ['port', 'bind']);
    return null;
  }
  const found = socketAddresses(bind.startsWith('bind:') ? bind : `bind:${bind}`);
  if ('fault' in found || found.length !== 1 || found[0] === undefined) {
    fault('bind', `expected one address such as tcp://*:5557, got ${JSON.stringify(bind)}`);
    return null;
  }
  if (topic === undefined) {
    fault('bind', 'needs `topic` beside it, which tells the engines apart', ['topic']);
    return null;
  }
  return { bind: found[0].address, replayPort: replayPort ?? null, topic };
}

/** Gives every endpoint the source that is assumed for it. */
export function withAssumedEvents(
  endpoints: readonly EndpointSettings[],
  assumed: AssumedEvents | null,
): readonly EndpointSettings[] {
  if (assumed === null) return endpoints;
  const positions = positionsOnHost(endpoints.map(({ url }) => url));
  return endpoints.map((endpoint) => {
    const position = positions.get(endpoint.url) ?? 0;
    return { ...endpoint, assumedEvents: sourceOf(new URL(endpoint.url), position, assumed) };
  });
}

function sourceOf(url: URL, position: number, assumed: AssumedEvents): EventSource {
  const { hostname } = url;
  const at = (port: number): string => `tcp://${hostname}:${port + position}`;
  const replayAddress = assumed.replayPort === null ? null : at(assumed.replayPort);
  if ('port' in assumed) {
    return { address: at(assumed.port), mode: 'dial', replayAddress, topic: null };
  }
  const topic = assumed.topic.replaceAll('{host}', hostname).replaceAll('{port}', portOf(url));
  return { address: assumed.bind, mode: 'bind', replayAddress, topic };
}

/**
 * Place of each URL among those of its host, by port: engines of one host are ranks to llm-d, and
 * the event port of a rank is the first one's plus the rank.
 */
function positionsOnHost(urls: readonly string[]): ReadonlyMap<string, number> {
  const positions = new Map<string, number>();
  const counts = new Map<string, number>();
  for (const url of urls.toSorted((a, b) => Number(portOf(a)) - Number(portOf(b)))) {
    const { hostname } = new URL(url);
    const position = counts.get(hostname) ?? 0;
    positions.set(url, position);
    counts.set(hostname, position + 1);
  }
  return positions;
}

function portOf(url: URL | string): string {
  const { port, protocol } = new URL(url);
  if (port !== '') return port;
  return protocol === 'https:' ? '443' : '80';
}
