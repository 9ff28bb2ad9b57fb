// From the endpoints as written (YAML entries or `--endpoint` texts) to one entry per address:
// ranges expanded, sockets paired with ports, key and certificate files read, doubles refused.

import type { EventSource } from '#contracts/endpoint.js';
import { ENDPOINTS_MAX } from '#contracts/limits.js';
import type { SocketAddress } from './addresses.js';
import { engineUrls, socketAddresses } from './addresses.js';
import type { EndpointSettings } from './configuration.js';
import type { ListedEndpoint } from './endpoints-file.js';
import type { ConfigurationPath, ConfigurationProblem, Finding } from './explain.js';
import { ConfigurationError, placeText } from './explain.js';
import { suggestion } from './nearest-name.js';
import type { EndpointEntry } from './schema.js';
import type { SecretFiles } from './secret-files.js';

const FLAG_OPTIONS = ['events', 'replay', 'topic', 'apiKeyFile', 'caFile'] as const;

/** Reads `URL[,events=…][,replay=…][,topic=…]` into an entry; throws an Error that says why not. */
export function parseEndpointFlag(text: string): Record<string, string> {
  const [url = '', ...options] = text.split(',');
  const entry: Record<string, string> = { url };
  for (const option of options) {
    const equals = option.indexOf('=');
    const name = option.slice(0, Math.max(0, equals));
    if (!(FLAG_OPTIONS as readonly string[]).includes(name)) {
      const given = equals < 0 ? option : name;
      throw new Error(
        `unknown option \`${given}\`${suggestion(given, FLAG_OPTIONS)} ` +
          `(options: ${FLAG_OPTIONS.map((known) => `${known}=…`).join(', ')})`,
      );
    }
    entry[name] = option.slice(equals + 1);
  }
  return entry;
}

/** What the entries are read with. */
export interface EndpointSurroundings {
  readonly files: SecretFiles;
  /** Told what is wrong, with its path. */
  readonly report: (finding: Finding) => void;
  /** What a path is called where it was written. */
  readonly writtenAs: (path: ConfigurationPath) => string;
}

/** Expands all entries. */
export function expandEndpoints(
  entries: readonly (string | EndpointEntry)[],
  { files, report, writtenAs }: EndpointSurroundings,
): readonly EndpointSettings[] {
  const settings: EndpointSettings[] = [];
  const seenUrls = new Map<string, number>();
  const seenSources = new Map<string, number>();
  for (const [position, written] of entries.entries()) {
    const entry = typeof written === 'string' ? { url: written, labels: {} } : written;
    const at = (field: string): ConfigurationPath => [
      ...['endpoints', position],
      ...(typeof written === 'string' ? [] : [field]),
    ];
    const fault: Fault = (field, text, needs) => {
      const restsOn = needs === undefined ? [] : [at(needs)];
      report({ path: at(field), at: 'value', text, restsOn });
    };
    for (const endpoint of expand(entry, files, fault)) {
      const { url, events } = endpoint;
      const first = seenUrls.get(url);
      if (first !== undefined)
        fault('url', `${url} is already given by ${writtenAs(['endpoints', first])}`);
      else seenUrls.set(url, position);
      const source = events === null ? null : `${events.address} ${events.topic ?? ''}`;
      const other = source === null ? undefined : seenSources.get(source);
      if (other !== undefined) {
        fault(
          'events',
          `${writtenAs(['endpoints', other])} has the same address and topic; events would be mixed`,
        );
      } else if (source !== null) seenSources.set(source, position);
      settings.push(endpoint);
    }
  }
  if (settings.length > ENDPOINTS_MAX) {
    const text = `${settings.length} endpoints are more than the limit of ${ENDPOINTS_MAX}`;
    report({ path: ['endpoints'], at: 'value', text });
  }
  return settings;
}

/** Adds the endpoints that a file lists to `own`; throws a ConfigurationError when they clash. */
export function withListedEndpoints(
  own: readonly EndpointSettings[],
  listed: readonly ListedEndpoint[],
): readonly EndpointSettings[] {
  const problems: ConfigurationProblem[] = [];
  const known = new Map(own.map(({ url }) => [url, 'the configuration']));
  const added = listed.map(({ url, id, labels, origin }): EndpointSettings => {
    const base = new URL(url).origin;
    const first = known.get(base);
    if (first === undefined) known.set(base, placeText(origin));
    else problems.push({ ...origin, text: `${base} is already given by ${first}` });
    const security = { apiKey: null, caPem: null };
    const own = { cacheTokens: null, events: null, assumedEvents: null };
    return { url: base, id, labels, security, ...own };
  });
  const all = [...own, ...added];
  const [last] = listed.slice(-1);
  if (all.length > ENDPOINTS_MAX && last !== undefined) {
    const text = `${all.length} endpoints are more than the limit of ${ENDPOINTS_MAX}`;
    problems.push({ ...last.origin, text });
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return all;
}

/** `needs` is the field beside it that is missed. */
type Fault = (field: string, text: string, needs?: string) => void;

function expand(entry: EndpointEntry, files: SecretFiles, fault: Fault): EndpointSettings[] {
  const urls = engineUrls(entry.url);
  if ('fault' in urls) {
    fault('url', urls.fault);
    return [];
  }
  const sources = eventSources(entry, urls.length, fault);
  const apiKey = files.apiKey(entry.apiKeyFile, (text) => fault('apiKeyFile', text));
  const caPem = files.certificate(entry.caFile, (text) => fault('caFile', text));
  return urls.map((url, index) => ({
    url,
    id: null,
    labels: entry.labels,
    security: { apiKey, caPem },
    cacheTokens: entry.cacheTokens ?? null,
    events: sources[index] ?? null,
    assumedEvents: null,
  }));
}

function eventSources(
  { events, replay, topic }: EndpointEntry,
  count: number,
  fault: Fault,
): readonly EventSource[] {
  if (events === undefined) {
    if (replay !== undefined) fault('replay', 'needs `events` beside it', 'events');
    if (topic !== undefined) fault('topic', 'needs `events` beside it', 'events');
    return [];
  }
  const published = sockets('events', events, count, fault);
  const replayed = replay === undefined ? null : sockets('replay', replay, count, fault);
  if (replayed?.some(({ mode }) => mode === 'bind') === true) {
    fault('replay', 'the engine binds its replay socket, so a host to dial is needed');
  }
  return published.map(({ address, mode }, index) => ({
    address,
    mode,
    replayAddress: replayed?.[index]?.address ?? null,
    topic: topic ?? null,
  }));
}

/** As many socket addresses as there are URLs. */
function sockets(
  field: string,
  text: string,
  count: number,
  fault: Fault,
): readonly SocketAddress[] {
  const found = socketAddresses(text);
  if ('fault' in found) {
    fault(field, found.fault);
    return [];
  }
  if (found.length === count) return found;
  fault(
    field,
    `${found.length} address(es) for ${count} endpoint(s); give a range of ${count} ports`,
  );
  return [];
}
