// Builds the router from a configuration: the only place that makes long-lived objects, general to
// specific. Order matters in `start`: the fleet is asked first, because it says how large the shared
// memory must be; sockets for clients open last, when everything behind them stands.

import { randomBytes } from 'node:crypto';
import { homedir } from 'node:os';
import { buildProfile } from '#config/build-profile.js';
import type { Configuration } from '#config/configuration.js';
import type { DataPlane, PromptEncoder, SharedMemory } from '#contracts/core.js';
import { DECISIONS_KEPT } from '#contracts/limits.js';
import { publisherMemoryBytes } from '#contracts/shared-layout.js';
import { createDataPlane } from '#core/portable/data-plane/data-plane.js';
import { createBlockIndex } from '#core/portable/index/memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { createPromptEncoder } from '#core/portable/prompt/prompt-encoder.js';
import { findTokenizer } from '#core/portable/prompt/tokenizer-source.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { FLEET_TIMINGS } from '#fleet/monitor.js';
import { DecisionRing } from '#observability/decision-log.js';
import { createLogger } from '#observability/log.js';
import { RouterMetrics } from '#observability/metrics.js';
import { PublisherStats } from '#observability/publisher-stats.js';
import { RequestPipeline } from '#request/pipeline.js';
import { AdminServer } from './admin.js';
import { packageVersion } from './commands/version.js';
import { configuredAddresses } from './configuration.js';
import { HttpEngineClient } from './engine-client.js';
import { EVENT_WORKER_URL, EventWorkers } from './event-workers.js';
import { FleetRelay } from './fleet-relay.js';
import { indexGeometry } from './index-geometry.js';
import { localHandlers } from './local-handlers.js';
import { ModelCoordinator } from './models.js';
import { processClock } from './process-clock.js';
import { processRandom } from './process-random.js';
import { routerReports } from './reports.js';
import { promptWorkerCount, untilDiscovered } from './start-up.js';

const PROMPT_WORKER_URL: URL = new URL('../workers/prompt.worker.js', import.meta.url);
/** A publisher whose connection is down for longer no longer counts. */
const PUBLISHER_STALE_AFTER_MS = 30_000;

/** Everything that exists once the shared memory does. */
interface Running {
  readonly plane: DataPlane;
  readonly pipeline: RequestPipeline;
  readonly encoder: PromptEncoder;
  readonly eventWorkers: EventWorkers;
  readonly models: ModelCoordinator;
  readonly admin: AdminServer;
}

/** A router that can be started once and stopped once. */
export class ComposedRouter {
  readonly #configuration: Configuration;
  readonly #logger;
  readonly #random;
  readonly #client = new HttpEngineClient();
  readonly #relay = new FleetRelay();
  readonly #fleet: FleetManager;
  readonly #metrics: RouterMetrics;
  readonly #decisions = new DecisionRing(DECISIONS_KEPT);
  #running: Running | null = null;
  #draining = false;
  #url = '';
  #adminUrl = '';

  constructor(configuration: Configuration) {
    const seed = randomBytes(4).readUInt32LE();
    this.#configuration = configuration;
    this.#logger = createLogger({ level: configuration.log.level });
    this.#random = processRandom(seed);
    this.#metrics = new RouterMetrics({
      core: 'portable',
      version: packageVersion(),
      nodeVersion: process.versions.node,
      processMetrics: true,
    });
    this.#fleet = new FleetManager({
      capacity: configuration.index.endpointCapacity,
      client: this.#client,
      clock: processClock,
      random: this.#random,
      logger: this.#logger,
      timings: {
        ...FLEET_TIMINGS,
        scrapeIntervalMs: configuration.scrape.intervalMs,
        scrapeTimeoutMs: configuration.scrape.timeoutMs,
        probeIntervalMs: configuration.probe.intervalMs,
      },
      listener: this.#relay,
      configuredBlockSize: (pool) => configuration.models[pool]?.blockSize ?? null,
    });
    this.#logger.info({ seed, core: 'portable', version: packageVersion() }, 'warmpath starts');
  }

  /** Base URL of the data port; valid after `start`. */
  get url(): string {
    return this.#url;
  }

  get adminUrl(): string {
    return this.#adminUrl;
  }

  async start(): Promise<void> {
    const { listen, admin } = this.#configuration;
    this.#fleet.setAddresses(configuredAddresses(this.#configuration));
    await untilDiscovered(() => this.#fleet.registry.snapshot());
    const running = this.#compose();
    this.#running = running;
    running.eventWorkers.start();
    await running.encoder.start();
    this.#attach(running);
    const adminBound = await running.admin.start(admin.host, admin.port);
    const bound = await running.plane.start(running.pipeline);
    this.#url = baseUrl(listen.host, bound.port);
    this.#adminUrl = baseUrl(admin.host, adminBound.port);
  }

  /** Refuses new requests, lets running ones finish within the drain time, closes everything. */
  async stop(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const running = this.#running;
    running?.pipeline.beginDrain();
    await running?.plane.drain(this.#configuration.timeouts.drainMs);
    running?.models.stop();
    this.#fleet.stop();
    await running?.admin.stop();
    await running?.encoder.stop();
    const stopped = (await running?.eventWorkers.stop()) ?? true;
    await this.#client.close();
    this.#logger.info({ eventWorkersStopped: stopped }, 'warmpath has stopped');
  }

  #compose(): Running {
    const configuration = this.#configuration;
    const { endpointCapacity, hashSecret: configuredSecret, blockCapacity } = configuration.index;
    const snapshot = this.#fleet.registry.snapshot();
    const memory: SharedMemory = {
      index: createBlockIndex(indexGeometry(snapshot, endpointCapacity, blockCapacity)),
      requests: createRequestMemory(endpointCapacity),
      publishers: new SharedArrayBuffer(publisherMemoryBytes(endpointCapacity)),
    };
    const hashSecret = configuredSecret ?? randomBytes(8).readBigUInt64LE();
    const index = openIndexOwner(memory.index);
    const store = openRequestStore(memory.requests);
    const { clock, logger } = { clock: processClock, logger: this.#logger };
    const encoder = createPromptEncoder({
      memory,
      hashSecret,
      workerUrl: PROMPT_WORKER_URL,
      threads: promptWorkerCount(configuration.prompts.workers),
      clock,
      logger,
    });
    const eventWorkers = new EventWorkers({
      shards: configuration.events.shards,
      memory,
      index,
      hashSecret,
      staleAfterMs: PUBLISHER_STALE_AFTER_MS,
      clock,
      random: this.#random,
      logger,
      workerUrl: EVENT_WORKER_URL,
      onPublisher: (slot, state) => this.#fleet.registry.setPublisherState(slot, state),
      onBlockSize: (slot, blockSize) => this.#fleet.reportBlockSize(slot, blockSize),
    });
    const models = this.#modelCoordinator(encoder);
    const plane = createDataPlane({
      store,
      clock,
      logger,
      host: configuration.listen.host,
      port: configuration.listen.port,
      timeouts: {
        connectMs: configuration.timeouts.connectMs,
        firstByteMs: configuration.timeouts.firstByteMs,
        idleMs: configuration.timeouts.stallMs,
      },
    });
    const reports = routerReports({
      fleet: this.#fleet,
      models,
      encoder,
      eventWorkers,
      index,
      publishers: new PublisherStats(memory.publishers),
      store,
      plane,
      metrics: this.#metrics,
      draining: () => this.#draining,
    });
    const pipeline = new RequestPipeline({
      ports: {
        plane,
        encoder,
        fleet: this.#fleet.registry,
        observer: this.#metrics,
        decisions: this.#decisions,
        logger,
        clock,
        isoNow: () => new Date().toISOString(),
        defer: setImmediate,
      },
      profile: buildProfile(configuration.profile, {
        random: this.#random,
        endpointCapacity,
        metricsStaleAfterMs: configuration.scrape.staleAfterMs,
      }),
      localHandlers: localHandlers(reports, () => this.#fleet.modelList()),
      endpointCapacity,
      decisionHeaders: configuration.headers.decision,
    });
    const admin = new AdminServer({ reports, decisions: this.#decisions });
    return { plane, pipeline, encoder, eventWorkers, models, admin };
  }

  #modelCoordinator(encoder: PromptEncoder): ModelCoordinator {
    const configured: Record<string, string> = {};
    for (const [id, { tokenizer }] of Object.entries(this.#configuration.models)) {
      if (tokenizer !== null) configured[id] = tokenizer;
    }
    const environment = { hfHome: process.env['HF_HOME'] ?? null, home: homedir() };
    return new ModelCoordinator({
      encoder,
      client: this.#client,
      clock: processClock,
      logger: this.#logger,
      findTokenizer: (id, roots) =>
        findTokenizer({ id, root: roots[0] ?? null }, configured, environment),
    });
  }

  #attach({ plane, models, eventWorkers }: Running): void {
    this.#relay.attach({
      setEndpoints: (bySlot) => plane.setEndpoints(bySlot),
      setModels: (list, blockSizes, bySlot) => models.update(list, blockSizes, bySlot),
      subscribe: (subscription) => eventWorkers.subscribe(subscription),
      unsubscribe: (slot) => eventWorkers.unsubscribe(slot),
      setBlockSize: (pool, blockSize) => eventWorkers.setBlockSize(pool, blockSize),
      engineRestarted: (slot) => eventWorkers.engineRestarted(slot),
    });
  }
}

/** A URL a person can open: wildcard addresses become the loopback's. */
function baseUrl(host: string, port: number): string {
  const shown = host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}
