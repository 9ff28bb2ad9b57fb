// Asks one engine address what it is: engine kind, models, data-parallel ranks, block sizes, event
// sockets. Called by the address's monitor at start, after restarts and now and then; a transport
// failure fails the whole discovery, because half an answer would silently lose events.

import type { EngineKind, EventSource, ServedModel } from '#contracts/endpoint.js';
import type { EngineResponse, EngineWatch, MetricsPath } from '#contracts/transport.js';
import { METRICS_PATHS } from '#contracts/transport.js';
import { type ConfiguredAddress, hostOf } from './addresses.js';
import {
  isRecord,
  type RankSources,
  sglangEventSources,
  sglangRankCount,
  sourceForRank,
  vllmEventSources,
} from './event-sources.js';
import { type EngineMetrics, parseEngineMetrics } from './metrics-text.js';

/** One data-parallel rank behind an address. */
export interface DiscoveredRank {
  /** null when the address has a single rank. */
  readonly dpRank: number | null;
  readonly blockSize: number | null;
  readonly gpuBlocks: number | null;
  readonly cacheTokens: number | null;
  readonly events: EventSource | null;
}

/** What one engine address is. */
export interface DiscoveredEngine {
  readonly engine: EngineKind;
  readonly version: string | null;
  readonly models: readonly ServedModel[];
  readonly ranks: readonly DiscoveredRank[];
  readonly startTimeSeconds: number | null;
  /** Where its metrics are to be read. */
  readonly metricsPath: MetricsPath;
  /** What a person should know, one sentence each: why there are no events, no metrics. */
  readonly notes: readonly string[];
  /** Routes that answered 5xx: what they would have told is missing, perhaps only for now. */
  readonly failedPaths: readonly string[];
}

/** Models one engine may list; a longer list is cut, because every model costs the encoder memory. */
const MODELS_PER_ENGINE_MAX = 1000;
const NO_METRICS: EngineMetrics = {
  engine: 'unknown',
  ranks: [],
  adapters: null,
  startTimeSeconds: null,
};

/**
 * Asks the engine, for metrics first where they were found before. Rejects when it cannot be reached
 * or does not list its models.
 */
export async function discoverEngine(
  watch: EngineWatch,
  address: ConfiguredAddress,
  timeoutMs: number,
  knownPath: MetricsPath = '/metrics',
): Promise<DiscoveredEngine> {
  const failedPaths: string[] = [];
  const ask = async (path: string): Promise<string | null> => {
    const answer = await fetchAnswer(watch, address, path, timeoutMs);
    if (answer.status >= 500) failedPaths.push(path);
    // Any status but 200 means that the engine has no such route.
    return answer.status === 200 ? answer.body : null;
  };
  const models = await listModels(watch, address, timeoutMs);
  const [versionBody, sourcesBody, serverInfoBody, found] = await Promise.all([
    ask('/version'),
    ask('/kv_event_sources'),
    ask('/server_info'),
    findMetrics(knownPath, ask),
  ]);
  const { metricsPath, metrics } = found;
  const serverInfo = parseJson(serverInfoBody);
  const engine = engineKind(metrics, serverInfo, versionBody, models);
  const announced =
    engine === 'sglang'
      ? sglangEventSources(serverInfo, hostOf(address.url))
      : vllmEventSources(parseJson(sourcesBody), hostOf(address.url));
  const tells = engine === 'sglang' ? hasKvEvents(serverInfo) : sourcesBody !== null;
  const ranks = joinRanks(
    { configured: address.events, announced, assumed: tells ? null : address.assumedEvents },
    metrics,
    serverInfo,
  );
  return {
    engine,
    version: versionOf(parseJson(versionBody), serverInfo),
    models,
    ranks,
    startTimeSeconds: metrics.startTimeSeconds,
    metricsPath,
    notes: notesOn(ranks, engine, found, sourcesBody),
    failedPaths,
  };
}

interface FoundMetrics {
  readonly metricsPath: MetricsPath;
  readonly metrics: EngineMetrics;
  /** Null when there is nothing at either path. */
  readonly metricsBody: string | null;
}

/**
 * Reads the path that is known, and the other one only where that does not name the engine: TensorRT-LLM
 * gives the JSON under /metrics out once, so that somebody else would miss it.
 */
async function findMetrics(
  knownPath: MetricsPath,
  ask: (path: string) => Promise<string | null>,
): Promise<FoundMetrics> {
  const read = async (metricsPath: MetricsPath): Promise<FoundMetrics> => {
    const metricsBody = await ask(metricsPath);
    const metrics = metricsBody === null ? NO_METRICS : parseEngineMetrics(metricsBody);
    return { metricsPath, metrics, metricsBody };
  };
  const known = await read(knownPath);
  if (known.metrics.engine !== 'unknown') return known;
  const otherPath = METRICS_PATHS.find((path) => path !== knownPath) ?? knownPath;
  const other = await read(otherPath);
  return other.metrics.engine === 'unknown' ? known : other;
}

async function listModels(
  watch: EngineWatch,
  address: ConfiguredAddress,
  timeoutMs: number,
): Promise<readonly ServedModel[]> {
  const answer = await fetchAnswer(watch, address, '/v1/models', timeoutMs);
  if (answer.status === 401 || answer.status === 403) {
    throw new Error(
      `${address.url}/v1/models answered ${answer.status}: give the endpoint the engine's API key`,
    );
  }
  if (answer.status !== 200) {
    throw new Error(`${address.url}/v1/models answered ${answer.status}, expected 200`);
  }
  return parseModels(answer.body, address.url);
}

/** Reads /v1/models; entries without a textual id are left out. */
export function parseModels(body: string, url: string): readonly ServedModel[] {
  const parsed = parseJson(body);
  const data = isRecord(parsed) ? parsed['data'] : null;
  if (!Array.isArray(data)) {
    throw new Error(`${url}/v1/models did not answer a list of models: is this an engine's URL?`);
  }
  return data
    .filter((raw: unknown): raw is Readonly<Record<string, unknown>> => isRecord(raw))
    .filter((raw) => typeof raw['id'] === 'string' && raw['id'] !== '')
    .slice(0, MODELS_PER_ENGINE_MAX)
    .map((raw) => ({
      id: String(raw['id']),
      parent: text(raw['parent']),
      root: text(raw['root']),
      maxModelLen: positiveInteger(raw['max_model_len']),
      loaded: true,
      raw,
    }));
}

/** Who says where events are: the operator, the engine, or the operator for engines that do not. */
interface KnownSources {
  readonly configured: EventSource | null;
  readonly announced: RankSources;
  readonly assumed: EventSource | null;
}

/** One entry per rank, whichever of configuration, event sources and metrics tells of it. */
function joinRanks(
  { configured, announced, assumed }: KnownSources,
  metrics: EngineMetrics,
  serverInfo: unknown,
): readonly DiscoveredRank[] {
  const numbers = new Set([...announced.keys(), ...metrics.ranks.map((entry) => entry.rank)]);
  for (let rank = 0; rank < (sglangRankCount(serverInfo) ?? 0); rank += 1) numbers.add(rank);
  if (numbers.size === 0) numbers.add(0);
  const single = numbers.size === 1;
  return [...numbers]
    .sort((a, b) => a - b)
    .map((rank) => {
      const measured = metrics.ranks.find((entry) => entry.rank === rank);
      return {
        dpRank: single ? null : rank,
        blockSize: measured?.blockSize ?? announcedBlockSize(serverInfo),
        gpuBlocks: measured?.gpuBlocks ?? null,
        cacheTokens: measured?.cacheTokens ?? null,
        events:
          eventsOf(forRank(configured, single ? 0 : rank), announced.get(rank) ?? null) ??
          forRank(assumed, single ? 0 : rank),
      };
    });
}

/** A source of rank 0, moved by the rank. */
function forRank(source: EventSource | null, rank: number): EventSource | null {
  return source === null ? null : sourceForRank(source, rank);
}

/** A configured source beats what the engine says: the operator knows the network between. */
function eventsOf(
  configured: EventSource | null,
  announced: EventSource | null,
): EventSource | null {
  if (configured === null) return announced;
  return {
    ...configured,
    replayAddress: configured.replayAddress ?? announced?.replayAddress ?? null,
    topic: configured.topic ?? announced?.topic ?? null,
  };
}

function announcedBlockSize(serverInfo: unknown): number | null {
  if (!isRecord(serverInfo)) return null;
  const events = serverInfo['kv_events'];
  return (
    (isRecord(events) ? positiveInteger(events['block_size']) : null) ??
    positiveInteger(serverInfo['page_size'])
  );
}

function engineKind(
  metrics: EngineMetrics,
  serverInfo: unknown,
  versionBody: string | null,
  models: readonly ServedModel[],
): EngineKind {
  if (metrics.engine !== 'unknown') return metrics.engine;
  const owner = models[0]?.raw['owned_by'];
  if (owner === 'vllm' || owner === 'sglang') return owner;
  if (owner === 'tensorrt_llm') return 'trtllm';
  if (hasKvEvents(serverInfo)) return 'sglang';
  return versionBody === null ? 'unknown' : 'vllm';
}

function hasKvEvents(serverInfo: unknown): boolean {
  return isRecord(serverInfo) && 'kv_events' in serverInfo;
}

function versionOf(version: unknown, serverInfo: unknown): string | null {
  if (isRecord(version)) return text(version['version']);
  return isRecord(serverInfo) ? text(serverInfo['version']) : null;
}

/** How metrics are switched on where they are off at first. */
const METRICS_FLAGS: Readonly<Partial<Record<EngineKind, string>>> = {
  sglang: '; start it with --enable-metrics',
  trtllm: '; its configuration needs `return_perf_metrics: true`',
};

function notesOn(
  ranks: readonly DiscoveredRank[],
  engine: EngineKind,
  { metrics, metricsBody }: FoundMetrics,
  sourcesBody: string | null,
): readonly string[] {
  const notes: string[] = [];
  if (metricsBody === null || (engine === 'trtllm' && metrics.engine === 'unknown')) {
    const flag = METRICS_FLAGS[engine] ?? '';
    notes.push(`The engine has no /metrics: its load and block size are not known${flag}.`);
  }
  if (ranks.every((rank) => rank.events === null)) {
    notes.push(
      engine === 'vllm' && sourcesBody === null
        ? 'This vLLM has no /kv_event_sources: configure its event and replay sockets.'
        : 'The engine publishes no KV events: what was sent to it counts as held there.',
    );
  }
  return notes;
}

/** Asks one route; an error names the route, because a bare ECONNRESET helps nobody. */
async function fetchAnswer(
  watch: EngineWatch,
  address: ConfiguredAddress,
  path: string,
  timeoutMs: number,
): Promise<EngineResponse> {
  try {
    // Nearly all of a text of metrics is not read.
    const metricsPath = METRICS_PATHS.find((known) => known === path);
    if (metricsPath !== undefined) return await watch.scrape(metricsPath, timeoutMs);
    return await watch.get(path, timeoutMs);
  } catch (error) {
    throw new Error(`${address.url}${path} gave no answer: ${describe(error)}`, { cause: error });
  }
}

/** Node's error for a name with several addresses has a code but no message. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  return 'code' in error ? String(error.code) : error.name;
}

function parseJson(body: string | null): unknown {
  if (body === null) return null;
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function positiveInteger(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 ? value : null;
}
