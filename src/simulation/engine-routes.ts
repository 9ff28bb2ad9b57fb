// The routes of a simulated engine's HTTP server, `METHOD /path` → handler. The server calls them
// and turns what they throw into vLLM's error objects.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EngineMetrics } from './engine-metrics.js';
import type { EngineRank } from './engine-rank.js';
import type { EngineTokenizer } from './engine-tokenizer.js';
import { BUFFER_STEPS, HIGH_WATER_MARK } from './event-publisher.js';
import { type FaultPlan, parseFaults } from './faults.js';
import { type GenerationHost, handleGeneration } from './generation-handler.js';
import { ApiError, readJson, sendEmpty, sendJson, sendText } from './http-io.js';
import type { ServedModels } from './served-models.js';
import type { EngineSimSettings } from './sim-options.js';
import { detokenize, tokenize } from './tokenize-routes.js';

export type RouteHandler = (incoming: IncomingMessage, response: ServerResponse) => Promise<void>;
export type Routes = ReadonlyMap<string, RouteHandler>;

export interface RouteContext {
  readonly settings: EngineSimSettings;
  readonly tokenizer: EngineTokenizer;
  readonly models: ServedModels;
  readonly metrics: EngineMetrics;
  readonly faults: FaultPlan;
  readonly ranks: () => readonly EngineRank[];
  /** Start of the ids of requests that bring none; different in every start of every engine. */
  readonly idPrefix: string;
  readonly restart: () => Promise<void>;
  readonly kill: () => Promise<void>;
}

export function createRoutes(context: RouteContext): Routes {
  const { settings, tokenizer, models, metrics, ranks } = context;
  const host = generationHost(context);
  const reply =
    (answer: () => unknown): RouteHandler =>
    async (_incoming, response) =>
      sendJson(response, 200, answer());
  return new Map<string, RouteHandler>([
    ['POST /v1/chat/completions', (incoming, out) => handleGeneration('chat', incoming, out, host)],
    [
      'POST /v1/completions',
      (incoming, out) => handleGeneration('completion', incoming, out, host),
    ],
    ['GET /v1/models', reply(() => models.list())],
    ['GET /version', reply(() => ({ version: versionOf(settings) }))],
    [
      'GET /load',
      reply(() => ({ server_load: ranks().reduce((n, r) => n + r.model.requests, 0) })),
    ],
    ['GET /kv_event_sources', reply(() => eventSources(context))],
    ['GET /health', async (_, response) => sendEmpty(response, ranks().length > 0 ? 200 : 503)],
    ['GET /ping', async (_, response) => sendEmpty(response, ranks().length > 0 ? 200 : 503)],
    [
      'GET /metrics',
      async (_, response) =>
        sendText(
          response,
          200,
          'text/plain; version=0.0.4; charset=utf-8',
          metrics.render(ranks()),
        ),
    ],
    [
      'POST /tokenize',
      async (incoming, response) => {
        const body = await readJson(incoming);
        models.resolve(body['model']);
        sendJson(response, 200, await tokenize(body, tokenizer, settings.maxModelLen));
      },
    ],
    [
      'POST /detokenize',
      async (incoming, response) =>
        sendJson(response, 200, await detokenize(await readJson(incoming), tokenizer)),
    ],
    ['POST /reset_prefix_cache', reply(() => ({ success: resetCaches(ranks()) }))],
    ['GET /admin/faults', reply(() => context.faults.faults)],
    ['POST /admin/faults', (incoming, response) => setFaults(incoming, response, context)],
  ]);
}

/** The release whose encoding the engine speaks. */
export function versionOf(settings: EngineSimSettings): string {
  return settings.encoding === 'map' ? '0.33.0' : '0.23.0';
}

function generationHost(context: RouteContext): GenerationHost {
  const { settings, idPrefix } = context;
  let requests = 0;
  return {
    tokenizer: context.tokenizer,
    models: context.models,
    maxModelLen: settings.maxModelLen,
    dataParallelRanks: settings.dataParallelRanks,
    ranks: context.ranks,
    faults: context.faults,
    metrics: context.metrics,
    nowMs: () => settings.clock.nowMs(),
    unixTimeMs: settings.unixTimeMs,
    newId: () => {
      requests += 1;
      return `${idPrefix}${requests.toString(16).padStart(6, '0')}`;
    },
    fingerprint: `vllm-${versionOf(settings)}-simulated`,
  };
}

/**
 * How vLLM writes an address tells who binds: with a wildcard the engine does, so that is what
 * subscribers must read here, also where the simulated engine listens on one interface only.
 */
function advertised(address: string, eventConnect: string | null): string {
  return eventConnect === null ? address.replace(/\/\/.*:/, '//*:') : address;
}

/** `GET /kv_event_sources`: rank → resolved configuration (vLLM ≥ 0.31). */
function eventSources(context: RouteContext): unknown {
  if (!context.settings.eventSources) throw new ApiError(404, 'Not Found');
  return Object.fromEntries(
    context.ranks().map(({ rank, publisher }) => [
      String(rank),
      {
        enable_kv_cache_events: true,
        publisher: 'zmq',
        endpoint: advertised(publisher.address, context.settings.eventConnect),
        replay_endpoint: publisher.replayAddress,
        buffer_steps: BUFFER_STEPS,
        hwm: HIGH_WATER_MARK,
        max_queue_size: HIGH_WATER_MARK,
        topic: publisher.topic,
      },
    ]),
  );
}

/** Resets every rank; false when blocks of any were in use. */
function resetCaches(ranks: readonly EngineRank[]): boolean {
  return ranks.map(({ model }) => model.resetPrefixCache()).every((done) => done);
}

/**
 * Replaces the faults, or acts: `{"restart": true}`, `{"kill": true}`. An action follows the
 * answer, because it ends the connection.
 */
async function setFaults(
  incoming: IncomingMessage,
  response: ServerResponse,
  context: RouteContext,
): Promise<void> {
  const { restart, kill, ...rest } = await readJson(incoming);
  const acts = restart === true || kill === true;
  if (!acts || Object.keys(rest).length > 0) {
    const faults = parseFaults(rest);
    if (typeof faults === 'string') throw new ApiError(400, faults);
    context.faults.set(faults);
  }
  const finished = new Promise<void>((resolve) => response.once('close', () => resolve()));
  if (acts) response.setHeader('connection', 'close');
  sendJson(response, 200, context.faults.faults);
  if (!acts) return;
  await finished;
  await (kill === true ? context.kill() : context.restart());
}
