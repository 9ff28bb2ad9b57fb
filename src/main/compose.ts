// The router as a whole: builds the fleet at once and everything that needs the shared memory when it
// starts. Order matters: the fleet is asked first, because it says how large the memory must be;
// sockets for clients open last, when everything behind them stands. Tokenizers are not waited for:
// until a model's is loaded and proven, its requests go by load, and their decisions say so.

import { randomBytes } from 'node:crypto';
import { looksAtMedia, looksAtPrompts } from '#config/build-policy.js';
import type { Configuration } from '#config/configuration.js';
import type { Logger } from '#contracts/logger.js';
import { type Random, seededRandom } from '#contracts/random.js';
import type { ClosableEngineWatcher } from '#contracts/transport.js';
import { packageVersion } from '#core/package-version.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { METRIC_LINES } from '#fleet/metrics-text.js';
import { FLEET_TIMINGS } from '#fleet/monitor.js';
import { createLogger } from '#observability/log.js';
import { RouterMetrics } from '#observability/metrics.js';
import { processClock } from '#workers/process-clock.js';
import { type Assembly, assemble } from './assemble.js';
import type { ChosenCore } from './core-choice.js';
import { EndpointsWatch } from './endpoints-watch.js';
import { HttpEngineClient } from './engine-client.js';
import { FleetRelay } from './fleet-relay.js';
import { isoNow } from './iso-time.js';
import { LogOutput } from './log-output.js';
import { untilDiscovered, untilProven } from './start-up.js';

/** A router that can be started once and stopped once. */
export class ComposedRouter {
  readonly #configuration: Configuration;
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #client = new HttpEngineClient();
  readonly #watcher: ClosableEngineWatcher;
  readonly #relay = new FleetRelay();
  readonly #fleet: FleetManager;
  readonly #endpointsWatch: EndpointsWatch;
  readonly #metrics: RouterMetrics;
  readonly #chosen: ChosenCore;
  #running: Assembly | null = null;
  #draining = false;
  #url = '';
  #adminUrl = '';

  constructor(configuration: Configuration, chosen: ChosenCore) {
    const seed = randomBytes(4).readUInt32LE();
    this.#configuration = configuration;
    this.#chosen = chosen;
    const core = chosen.core.name;
    this.#logger = createLogger({
      level: configuration.log.level,
      destination: new LogOutput(),
      isoNow,
    });
    this.#random = seededRandom(seed);
    this.#metrics = new RouterMetrics({
      core,
      version: packageVersion(),
      nodeVersion: process.versions.node,
      processMetrics: true,
    });
    this.#watcher = chosen.core.createEngineWatcher(METRIC_LINES) ?? this.#client;
    this.#fleet = new FleetManager({
      capacity: configuration.index.endpointCapacity,
      watcher: this.#watcher,
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
      adapters: configuration.adapters,
      keepsHistories: looksAtPrompts(configuration.policy),
      configuredBlockSize: (pool) => configuration.models[pool]?.blockSize ?? null,
      configuredCacheTokens: (model) => configuration.models[model]?.cacheTokens ?? null,
    });
    this.#endpointsWatch = new EndpointsWatch({
      configuration,
      logger: this.#logger,
      onEndpoints: (endpoints) => this.#fleet.setAddresses(endpoints),
    });
    this.#logger.info({ seed, core, version: packageVersion() }, 'warmpath starts');
    if (looksAtMedia(configuration.policy)) {
      this.#logger.info({}, 'of prompts with media the text before the first of them is matched');
    }
    if (chosen.reason !== null) {
      const fields = { reason: chosen.reason };
      this.#logger.warn(fields, 'the portable core runs, which costs many times the CPU');
    }
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
    this.#fleet.setAddresses(this.#configuration.endpoints);
    this.#endpointsWatch.start();
    await untilDiscovered(() => this.#fleet.registry.snapshot());
    const running = assemble({
      configuration: this.#configuration,
      chosen: this.#chosen,
      logger: this.#logger,
      random: this.#random,
      client: this.#client,
      fleet: this.#fleet,
      metrics: this.#metrics,
      draining: () => this.#draining,
    });
    this.#running = running;
    running.eventWorkers.start();
    await running.encoder.start();
    this.#attach(running);
    const adminBound = await running.admin.start(admin.host, admin.port);
    const bound = await running.plane.start(running.pipeline);
    this.#url = baseUrl(listen.host, bound.port);
    this.#adminUrl = baseUrl(admin.host, adminBound.port);
  }

  /** Resolves when no model waits for its first proof any more; valid after `start`. */
  async untilProven(): Promise<void> {
    await untilProven(() => this.#running?.models.isProving() ?? false);
  }

  /** Refuses new requests, lets running ones finish within the drain time, closes everything. */
  async stop(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const running = this.#running;
    running?.pipeline.beginDrain();
    await running?.plane.drain(this.#configuration.timeouts.drainMs);
    running?.models.stop();
    this.#endpointsWatch.stop();
    this.#fleet.stop();
    await running?.admin.stop();
    await running?.encoder.stop();
    const stopped = (await running?.eventWorkers.stop()) ?? true;
    await this.#watcher.close();
    await this.#client.close();
    this.#logger.info({ eventWorkersStopped: stopped }, 'warmpath has stopped');
  }

  #attach({ plane, ownPick, models, eventWorkers, histories }: Assembly): void {
    this.#relay.attach({
      setEndpoints: (bySlot) => plane.setEndpoints(bySlot, ownPick),
      setUsable: (slot, usable) => plane.setUsable(slot, usable),
      setModels: (list, blockSizes, bySlot) => models.update(list, blockSizes, bySlot),
      subscribe: (subscription) => eventWorkers.subscribe(subscription),
      unsubscribe: (slot) => eventWorkers.unsubscribe(slot),
      setBlockSize: (pool, blockSize) => eventWorkers.setBlockSize(pool, blockSize),
      setHistories: (plans) => histories.update(plans),
      engineRestarted: (slot) => {
        eventWorkers.engineRestarted(slot);
        histories.restarted(slot);
      },
    });
  }
}

/** A URL a person can open: wildcard addresses become the loopback's. */
function baseUrl(host: string, port: number): string {
  const shown = host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`;
}
