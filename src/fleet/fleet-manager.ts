// Ties discovery, scraping, probing and the model directory together: addresses come in from the
// configuration, and main is told what changed through one listener. Membership, models and
// publishers are derived from the endpoints after every change, so that they cannot drift apart.

import type { Clock } from '#contracts/clock.js';
import type { Endpoint, FleetSnapshot } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import type { Subscription } from '#contracts/messages.js';
import type { Random } from '#contracts/random.js';
import type { HistoryPlan } from '#contracts/routing-history.js';
import type { EngineWatcher } from '#contracts/transport.js';
import { runsUnlisted } from './adapters.js';
import type { ConfiguredAddress } from './addresses.js';
import { poolBlockSizes } from './block-sizes.js';
import { CoarseClock } from './coarse-clock.js';
import type { DiscoveredEngine } from './discover.js';
import { type Configured, draftsOf, placeholder } from './drafts.js';
import { FleetHealth, type HealthDetail } from './health.js';
import { historyPlans } from './histories.js';
import type { EngineMetrics } from './metrics-text.js';
import { type FleetModel, mergedModelList, poolNames, poolOf, updateModels } from './models.js';
import { AddressMonitor, type FleetTimings, type MonitorSink } from './monitor.js';
import { type EndpointDraft, FleetRegistry } from './registry.js';

/** Who is told what changed. Called synchronously, in this order, after every change. */
export interface FleetListener {
  /** Endpoints came, went or changed: tell the data plane. */
  membershipChanged(snapshot: FleetSnapshot): void;
  /** Models, pools or canonical block sizes changed: tell the encoder. */
  modelsChanged(models: readonly FleetModel[], blockSizes: ReadonlyMap<string, number>): void;
  /** Endpoint in `slot` has no publisher any more. */
  publisherGone(slot: number): void;
  /** An event source is known: follow it. */
  publisherFound(subscription: Subscription): void;
  /** Endpoints without events, and the history each of them is to have. */
  historiesChanged(plans: ReadonlyMap<number, HistoryPlan>): void;
  /** The canonical block size of a pool is known or another one: its publishers rebuild. */
  blockSizeChanged(pool: string, blockSize: number): void;
  /** The engine behind the slot is another process than before. */
  engineRestarted(slot: number): void;
  /** Whether new requests may go to the endpoint in `slot`. */
  healthChanged(slot: number, healthy: boolean): void;
}

export interface FleetManagerOptions extends Configured {
  readonly capacity: number;
  readonly watcher: EngineWatcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly timings: FleetTimings;
  readonly listener: FleetListener;
  /** Whether endpoints without events have histories: the policy looks at prefixes. */
  readonly keepsHistories: boolean;
  /** Configured block size of a pool, null to derive it from the engines. */
  readonly configuredBlockSize: (pool: string) => number | null;
}

/** One pool for /status. */
export interface PoolSummary {
  readonly pool: string;
  readonly blockSize: number | null;
  readonly endpoints: number;
}

const NO_NAMES: ReadonlySet<string> = new Set();

export class FleetManager {
  readonly registry: FleetRegistry;
  readonly #options: FleetManagerOptions;
  readonly #health: FleetHealth;
  readonly #monitorClock: Clock;
  readonly #addresses = new Map<string, { address: ConfiguredAddress; monitor: AddressMonitor }>();
  /** Last problem of an address, logged once; cleared when it answers. */
  readonly #problems = new Map<string, string>();
  /** Sizes that publishers' own events tell, by slot; they beat /metrics. */
  readonly #eventBlockSizes = new Map<number, number>();
  readonly #publishers = new Map<number, Subscription>();
  #models: readonly FleetModel[] = [];
  #blockSizes: ReadonlyMap<string, number> = new Map();
  #conflicts = '';

  constructor(options: FleetManagerOptions) {
    const { capacity, clock, logger, timings } = options;
    this.#options = options;
    this.#monitorClock = new CoarseClock(clock);
    this.registry = new FleetRegistry({
      capacity,
      onReport: (slot, outcome) => this.#health.report(slot, outcome),
    });
    this.#health = new FleetHealth({
      clock,
      logger,
      states: () => this.registry.states(),
      state: (slot) => this.registry.state(slot),
      intervalMs: timings.probeIntervalMs,
      fastMs: timings.probeFastMs,
      failuresMax: timings.probeFailures,
      onHealth: (slot, healthy) => options.listener.healthChanged(slot, healthy),
      onSuspect: (url) => this.#addresses.get(url)?.monitor.suspect(),
      onRecovered: (url) => this.#recovered(url),
    });
  }

  /** Makes `addresses` the watched ones: new ones are started, missing ones dropped at once. */
  setAddresses(addresses: readonly ConfiguredAddress[]): void {
    const wanted = new Map(addresses.map((address) => [address.url, address]));
    for (const url of [...this.#addresses.keys()]) {
      const next = wanted.get(url);
      if (next === undefined || !this.#keep(url, next)) this.#drop(url);
    }
    for (const address of wanted.values()) {
      if (!this.#addresses.has(address.url)) this.#watch(address);
    }
    this.#changed();
  }

  /**
   * Watches an address of the same engine further; false when it is another. What is assumed of an
   * engine's events moves when another engine of its host comes or goes, and may not even matter.
   */
  #keep(url: string, next: ConfiguredAddress): boolean {
    const entry = this.#addresses.get(url);
    if (entry === undefined) return false;
    const { assumedEvents, ...known } = entry.address;
    const { assumedEvents: assumed, ...wanted } = next;
    if (JSON.stringify(known) !== JSON.stringify(wanted)) return false;
    if (JSON.stringify(assumedEvents) === JSON.stringify(assumed)) return true;
    entry.monitor.assumeEvents(assumed);
    this.#addresses.set(url, { ...entry, address: next });
    return true;
  }

  stop(): void {
    for (const { monitor } of this.#addresses.values()) monitor.stop();
    this.#health.stop();
  }

  /** Takes a publisher's block size from its events. */
  reportBlockSize(slot: number, blockSize: number): void {
    if (this.registry.state(slot) === null || this.#eventBlockSizes.get(slot) === blockSize) return;
    this.#eventBlockSizes.set(slot, blockSize);
    this.#changed();
  }

  /** Something speaks for an outage of the endpoint (its event socket broke): probe it at once. */
  suspect(slot: number): void {
    const url = this.registry.state(slot)?.endpoint.url;
    if (url !== undefined) this.#addresses.get(url)?.monitor.suspect();
  }

  healthDetail(slot: number): HealthDetail {
    return this.#health.detail(slot);
  }

  models(): readonly FleetModel[] {
    return this.#models;
  }

  /** Body of the merged `GET /v1/models`. */
  modelList(): string {
    return mergedModelList(this.#endpoints());
  }

  pools(): readonly PoolSummary[] {
    return [...this.#endpointsByPool()].map(([pool, endpoints]) => ({
      pool,
      blockSize: this.#blockSizes.get(pool) ?? null,
      endpoints: endpoints.length,
    }));
  }

  /** Last problem of each address that could not be discovered, by URL. */
  problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  #watch(address: ConfiguredAddress): void {
    const { watcher, random, logger, timings } = this.#options;
    const sink = this.#sink();
    const clock = this.#monitorClock;
    const monitor = new AddressMonitor({ address, watcher, clock, random, logger, timings, sink });
    this.#addresses.set(address.url, { address, monitor });
    this.#health.addAddress(address.url);
    this.#replace(address, [placeholder(address)]);
    monitor.start();
  }

  #drop(url: string): void {
    const entry = this.#addresses.get(url);
    if (entry === undefined) return;
    entry.monitor.stop();
    this.#replace(entry.address, []);
    this.#addresses.delete(url);
    this.#problems.delete(url);
    this.#health.removeAddress(url);
  }

  #sink(): MonitorSink {
    return {
      discovered: (address, engine) => this.#discovered(address, engine),
      discoveryFailed: (address, error) => this.#discoveryFailed(address, error),
      scraped: (address, metrics) => this.#scraped(address, metrics),
      probed: (address, result) => this.#health.probed(address.url, result),
      restarted: (address) => this.#restarted(address),
    };
  }

  #discovered(address: ConfiguredAddress, engine: DiscoveredEngine): void {
    const changed = this.#replace(address, draftsOf(address, engine, this.#options));
    if (changed || this.#problems.has(address.url)) {
      const { version, notes } = engine;
      const models = engine.models.map((model) => model.id);
      this.#options.logger.info(
        { url: address.url, engine: engine.engine, version, models, notes },
        'engine discovered',
      );
    }
    this.#problems.delete(address.url);
    if (changed) this.#changed();
  }

  #scraped({ url }: ConfiguredAddress, metrics: EngineMetrics): void {
    this.registry.recordLoad(url, metrics, this.#options.clock.nowMs());
    const [slot] = this.registry.slotsOf(url);
    const models = slot === undefined ? [] : (this.registry.state(slot)?.endpoint.models ?? []);
    // It has loaded an adapter: its own list is the truth from now on.
    if (runsUnlisted(models, metrics.adapters?.running ?? NO_NAMES)) {
      this.#addresses.get(url)?.monitor.rediscover();
    }
  }

  #discoveryFailed(address: ConfiguredAddress, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (this.#problems.get(address.url) === problem) return;
    this.#problems.set(address.url, problem);
    this.#options.logger.warn({ url: address.url, error }, 'engine could not be discovered');
  }

  #restarted(address: ConfiguredAddress): void {
    this.#options.logger.warn({ url: address.url }, 'engine was restarted');
    for (const slot of this.registry.slotsOf(address.url)) {
      this.#eventBlockSizes.delete(slot);
      this.#options.listener.engineRestarted(slot);
    }
  }

  /**
   * An outage has ended. An engine that does not tell when it began may be another process; events
   * would show it, a history would not.
   */
  #recovered(url: string): void {
    const monitor = this.#addresses.get(url)?.monitor;
    monitor?.rediscover();
    if (monitor?.tellsStartTime !== false) return;
    for (const slot of this.registry.slotsOf(url)) {
      const isHistory = this.registry.state(slot)?.publisher === 'history';
      if (isHistory) this.#options.listener.engineRestarted(slot);
    }
  }

  /** Puts an address's endpoints into the registry; true when something changed. */
  #replace(address: ConfiguredAddress, drafts: readonly EndpointDraft[]): boolean {
    const change = this.registry.replaceAddress(address.url, drafts);
    for (const slot of change?.removed ?? []) {
      this.#health.forget(slot);
      this.#eventBlockSizes.delete(slot);
      this.#options.listener.healthChanged(slot, false);
    }
    if (change !== null && change.refused.length > 0) {
      this.#options.logger.error(
        { url: address.url, endpoints: change.refused, capacity: this.registry.capacity },
        'endpoints left out: the fleet has no free slot',
      );
    }
    return change !== null;
  }

  /** Derives models, block sizes and publishers anew and tells what differs. */
  #changed(): void {
    const { listener } = this.#options;
    this.#health.evaluate();
    listener.membershipChanged(this.registry.snapshot());
    const previousSizes = this.#blockSizes;
    const previousModels = this.#models;
    this.#models = this.#updateModels();
    this.#blockSizes = poolBlockSizes(this.#endpointsByPool(), {
      byEvents: this.#eventBlockSizes,
      configured: this.#options.configuredBlockSize,
      keepsHistories: this.#options.keepsHistories,
    });
    if (
      JSON.stringify(previousModels) !== JSON.stringify(this.#models) ||
      JSON.stringify([...previousSizes]) !== JSON.stringify([...this.#blockSizes])
    ) {
      listener.modelsChanged(this.#models, this.#blockSizes);
    }
    for (const [pool, blockSize] of this.#blockSizes) {
      if (previousSizes.get(pool) !== blockSize) listener.blockSizeChanged(pool, blockSize);
    }
    this.#updatePublishers();
    this.#updateHistories();
  }

  #updateModels(): readonly FleetModel[] {
    const directory = updateModels(this.#models, this.#endpoints());
    const conflicts = directory.conflicts.join(' ');
    if (conflicts !== '' && conflicts !== this.#conflicts) {
      this.#options.logger.warn({ conflicts: directory.conflicts }, 'models of the fleet conflict');
    }
    this.#conflicts = conflicts;
    return directory.models;
  }

  #updateHistories(): void {
    const { listener, keepsHistories } = this.#options;
    if (!keepsHistories) return;
    const plans = historyPlans(this.#endpointsByPool(), this.#blockSizes);
    for (const { endpoint, publisher } of this.registry.states()) {
      const planned = plans.has(endpoint.slot);
      if (planned === (publisher === 'history')) continue;
      this.registry.setPublisherState(endpoint.slot, planned ? 'history' : 'cold');
    }
    listener.historiesChanged(plans);
  }

  #updatePublishers(): void {
    const { listener } = this.#options;
    const wanted = this.#wantedPublishers();
    for (const [slot, known] of this.#publishers) {
      const next = wanted.get(slot);
      if (next !== undefined && samePublisher(known, next)) continue;
      this.#publishers.delete(slot);
      listener.publisherGone(slot);
    }
    for (const [slot, subscription] of wanted) {
      const isNew = !this.#publishers.has(slot);
      this.#publishers.set(slot, subscription);
      if (isNew) listener.publisherFound(subscription);
    }
  }

  #wantedPublishers(): ReadonlyMap<number, Subscription> {
    const wanted = new Map<number, Subscription>();
    for (const [pool, endpoints] of this.#endpointsByPool()) {
      for (const { slot, name, events } of endpoints) {
        const blockSize = this.#blockSizes.get(pool) ?? null;
        if (events !== null) wanted.set(slot, { slot, name, source: events, pool, blockSize });
      }
    }
    return wanted;
  }

  #endpointsByPool(): ReadonlyMap<string, readonly Endpoint[]> {
    const endpoints = this.#endpoints();
    const names = poolNames(endpoints);
    const byPool = new Map<string, Endpoint[]>();
    for (const endpoint of endpoints) {
      const pool = poolOf(endpoint, names);
      if (pool === null) continue;
      const members = byPool.get(pool);
      if (members === undefined) byPool.set(pool, [endpoint]);
      else members.push(endpoint);
    }
    return byPool;
  }

  #endpoints(): readonly Endpoint[] {
    return this.registry.states().map((state) => state.endpoint);
  }
}

/** The block size is told to followers on its own, so it does not make another publisher. */
function samePublisher(known: Subscription, next: Subscription): boolean {
  return (
    known.pool === next.pool &&
    known.name === next.name &&
    JSON.stringify(known.source) === JSON.stringify(next.source)
  );
}
