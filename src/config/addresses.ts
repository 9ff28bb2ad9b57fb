// Reads the addresses a person writes: where to listen, where engines and their event sockets are,
// and ranges of ports. Each function gives the parts, or a sentence that says what is wrong.

import { ENDPOINTS_MAX } from '#contracts/limits.js';
import type { ListenAddress } from './configuration.js';

/** What is wrong with an address. */
export interface AddressFault {
  readonly fault: string;
}

const PORT_MAX = 65_535;
export const ALL_INTERFACES = '0.0.0.0';
export const LOOPBACK = '127.0.0.1';

/** Reads `host:port`, `[v6]:port`, `:port` (every interface) or `port` (at `bareHost`). */
export function listenAddress(text: string, bareHost: string): ListenAddress | AddressFault {
  const match = /^(?:(\[[^\]]+\]|[^:]*):)?(\d+)$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > PORT_MAX) {
    return { fault: `expected host:port or :port, got ${JSON.stringify(text)}` };
  }
  if (match[1] === undefined) return { host: bareHost, port };
  const host = match[1].replace(/^\[|\]$/g, '');
  return { host: host === '' ? ALL_INTERFACES : host, port };
}

/** Reads an engine's URL into one base URL per port. */
export function engineUrls(text: string): readonly string[] | AddressFault {
  const got = `got ${JSON.stringify(text)}`;
  if (!/^https?:\/\//i.test(text)) {
    return { fault: `expected a URL such as http://${text.replace(/^\w*:\/\//, '')}, ${got}` };
  }
  const range = /^(https?:\/\/(?:\[[^\]]+\]|[^/:]+)):(\d+)-(\d+)\/?$/i.exec(text);
  const ports = range === null ? null : portRange(range[2] ?? '', range[3] ?? '');
  if (ports !== null && 'fault' in ports) return ports;
  const urls = ports === null ? [text] : ports.map((port) => `${range?.[1] ?? ''}:${port}`);
  const bases: string[] = [];
  for (const url of urls) {
    const base = baseUrl(url);
    if (base === null) {
      return { fault: `expected http://host:port without path or credentials, ${got}` };
    }
    bases.push(base);
  }
  return bases;
}

/** Origin of a URL that is nothing but an origin, else null. */
function baseUrl(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { origin, pathname, search, hash, username, password } = new URL(text);
  const bare = pathname === '/' && `${search}${hash}${username}${password}` === '';
  return bare ? origin : null;
}

/** Nothing can be dialled there. */
const WILDCARD = /^tcp:\/\/(?:\*|0\.0\.0\.0|\[::\]):/;

/** One ZMQ address as the router uses it. */
export interface SocketAddress {
  readonly address: string;
  readonly mode: 'dial' | 'bind';
}

/**
 * Reads a ZMQ address into one per port. The router binds where the address is a wildcard or begins
 * with `bind:` (the engine then connects, as vLLM does with an address without `*`), else it dials.
 */
export function socketAddresses(text: string): readonly SocketAddress[] | AddressFault {
  const bare = text.replace(/^bind:/, '');
  const mode = bare !== text || WILDCARD.test(bare) ? 'bind' : 'dial';
  if (/^ipc:\/\/.+/.test(bare)) return [{ address: bare, mode }];
  const match = /^(tcp:\/\/(?:\[[^\]]+\]|[^/:]+)):(\d+)(?:-(\d+))?$/.exec(bare);
  if (match === null) {
    return {
      fault: `expected tcp://host:port, tcp://host:5557-5564 or ipc://path, got ${JSON.stringify(text)}`,
    };
  }
  const [, host = '', first = '', last = first] = match;
  const ports = portRange(first, last);
  if ('fault' in ports) return ports;
  return ports.map((port) => ({ address: `${host}:${port}`, mode }));
}

function portRange(first: string, last: string): readonly number[] | AddressFault {
  const [from, to] = [Number(first), Number(last)];
  if (from < 1 || to > PORT_MAX || to < from) {
    return { fault: `${first}-${last} is no range of ports between 1 and ${PORT_MAX}` };
  }
  if (to - from >= ENDPOINTS_MAX) return { fault: `more than ${ENDPOINTS_MAX} ports in a range` };
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
