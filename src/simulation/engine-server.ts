// One simulated engine process: an HTTP server like vLLM's in front of one or more data-parallel
// ranks. Fleet and tests start, restart and kill it. Every socket it opened is closed by `stop`
// and `kill`, at once.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { assert } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import { seededRandom } from '#contracts/random.js';
import { EngineMetrics } from './engine-metrics.js';
import type { EngineStats } from './engine-model.js';
import { type EngineRank, type RankAddresses, startRank, stopRank } from './engine-rank.js';
import { createRoutes, type Routes } from './engine-routes.js';
import type { EngineTokenizer } from './engine-tokenizer.js';
import { type EngineFaults, FaultPlan } from './faults.js';
import { ApiError, sendError, sendJson } from './http-io.js';
import { ServedModels } from './served-models.js';
import type { EngineSimSettings } from './sim-options.js';

/** A just closed address may stay taken for a moment. */
const BIND_ATTEMPTS_MAX = 100;
const BIND_RETRY_MS = 20;
/** Longer than any client keeps idle connections, so that a reused one is not closed under it. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

export interface EngineServerOptions {
  readonly settings: EngineSimSettings;
  readonly tokenizer: EngineTokenizer;
  /** Position in the fleet: decides ports and seeds. */
  readonly position: number;
}

export class EngineServer {
  readonly #options: EngineServerOptions;
  readonly #faults: FaultPlan;
  readonly #models: ServedModels;
  #server: Server | null = null;
  #ranks: readonly EngineRank[] = [];
  #routes: Routes | null = null;
  #port: number;
  /** Where each rank's sockets were; a restart comes back there. */
  #addresses: readonly RankAddresses[];

  constructor(options: EngineServerOptions) {
    this.#options = options;
    const { settings, tokenizer, position } = options;
    const random = seededRandom(settings.seed + position);
    this.#faults = new FaultPlan(random, settings.faults);
    this.#models = new ServedModels({
      baseId: settings.modelId,
      root: tokenizer.directory,
      maxModelLen: settings.maxModelLen,
      createdSeconds: Math.floor(settings.unixTimeMs() / 1000),
      loras: settings.loras,
      resolvable: settings.resolvableLoras,
    });
    this.#port = settings.port === 0 ? 0 : settings.port + position;
    this.#addresses = initialAddresses(settings, position);
  }

  /** `host:port` of the HTTP server. */
  get name(): string {
    return `${hostInUrl(this.#options.settings.host)}:${this.#port}`;
  }

  get url(): string {
    return `http://${this.name}`;
  }

  get modelId(): string {
    return this.#options.settings.modelId;
  }

  /** Event and replay address per rank, with real ports. */
  get eventAddresses(): readonly RankAddresses[] {
    return this.#addresses;
  }

  /** Listens and opens the event sockets; rejects when an address cannot be used. */
  async start(): Promise<void> {
    assert(this.#server === null, 'the engine is stopped');
    const server = createServer((incoming, response) => this.#handle(incoming, response));
    server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
    const { host, clock } = this.#options.settings;
    await retryBind(clock, () => listen(server, this.#port, host));
    this.#port = portOf(server);
    this.#server = server;
    try {
      await this.#startEngine();
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Replaces the engine as after a crash: open streams end, cache empty, `seq` from 0. */
  async restart(): Promise<void> {
    if (this.#server === null) return this.start();
    this.#stopEngine();
    this.#server.closeAllConnections();
    await this.#startEngine();
  }

  /** Closes every connection, socket and port at once. `restart` brings the engine back. */
  async kill(): Promise<void> {
    this.#stopEngine();
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }

  /** Replaces the faults that the engine commits. */
  setFaults(faults: EngineFaults): void {
    this.#faults.set(faults);
  }

  /** Prompt tokens the engine would reuse right now. `model` as in a request's body. */
  lookup(
    promptTokenIds: readonly number[],
    options: { readonly model?: string; readonly cacheSalt?: string; readonly rank?: number } = {},
  ): number {
    const lora = this.#models.resolve(options.model);
    const identity = { lora, cacheSalt: options.cacheSalt ?? null };
    return this.#rank(options.rank ?? 0).model.lookup(promptTokenIds, identity);
  }

  /** Gauges and counters of one rank. */
  stats(rank = 0): EngineStats & { readonly requests: number; readonly nextSeq: bigint } {
    const { model, publisher } = this.#rank(rank);
    return { ...model.stats(), requests: model.requests, nextSeq: publisher.nextSeq };
  }

  #rank(rank: number): EngineRank {
    const found = this.#ranks[rank];
    if (found === undefined) throw new Error(`engine ${this.name} has no running rank ${rank}`);
    return found;
  }

  async #startEngine(): Promise<void> {
    const { settings, tokenizer, position } = this.#options;
    const metrics = new EngineMetrics(settings);
    const context = {
      settings,
      tokenizer,
      faults: this.#faults,
      topic: `kv@${this.name}@${settings.modelId}`,
    };
    const ranks: EngineRank[] = [];
    try {
      for (const [rank, addresses] of this.#addresses.entries()) {
        const start = (): Promise<EngineRank> => startRank(rank, addresses, context);
        ranks.push(await retryBind(settings.clock, start));
      }
    } catch (error) {
      for (const rank of ranks) stopRank(rank);
      throw error;
    }
    this.#ranks = ranks;
    this.#addresses = ranks.map(({ publisher: { address, replayAddress } }) => ({
      address,
      replayAddress,
    }));
    this.#routes = createRoutes({
      settings,
      tokenizer,
      models: this.#models,
      metrics,
      faults: this.#faults,
      ranks: () => this.#ranks,
      idPrefix: `${position}${Math.floor(settings.unixTimeMs()).toString(16)}`,
      restart: () => this.restart(),
      kill: () => this.kill(),
    });
  }

  #stopEngine(): void {
    for (const rank of this.#ranks) stopRank(rank);
    this.#ranks = [];
  }

  #handle(incoming: IncomingMessage, response: ServerResponse): void {
    const path = (incoming.url ?? '/').split('?', 1)[0] ?? '/';
    const { apiKey } = this.#options.settings;
    const key = incoming.headers.authorization;
    if (apiKey !== null && path.startsWith('/v1') && key !== `Bearer ${apiKey}`) {
      sendJson(response, 401, { error: 'Unauthorized' });
      return;
    }
    const route = this.#routes?.get(`${incoming.method} ${path}`);
    if (route === undefined) {
      sendJson(response, 404, { detail: 'Not Found' });
      return;
    }
    route(incoming, response).catch((error: unknown) => {
      if (error instanceof ApiError) sendError(response, error);
      else if (!response.destroyed) sendError(response, new ApiError(500, String(error)));
    });
  }
}

function initialAddresses(settings: EngineSimSettings, position: number): readonly RankAddresses[] {
  const { host, eventPort, replayPort, dataParallelRanks, eventConnect } = settings;
  const at = (first: number, rank: number): string =>
    `tcp://${hostInUrl(host)}:${first === 0 ? 0 : first + position * dataParallelRanks + rank}`;
  return Array.from({ length: dataParallelRanks }, (_, rank) => ({
    address: eventConnect ?? at(eventPort, rank),
    replayAddress: at(replayPort, rank),
  }));
}

/** IPv6 in brackets, as URLs and ZMQ write it. */
function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  assert(typeof address === 'object' && address !== null, 'the server listens on TCP');
  return address.port;
}

/** Tries again while the address is still taken by the socket that was just closed. */
async function retryBind<Result>(clock: Clock, bind: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await bind();
    } catch (error) {
      if (attempt === BIND_ATTEMPTS_MAX || !isAddressInUse(error)) throw error;
      await new Promise<void>((resolve) => clock.after(BIND_RETRY_MS, resolve));
    }
  }
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && /EADDRINUSE|Address already in use/i.test(error.message);
}
