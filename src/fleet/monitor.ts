// Watches one engine address: discovery until it answers and now and then after, a scrape and a
// probe every second. Owned by the fleet manager, which is told what was found; after `stop`
// nothing is told any more.

import type { Clock } from '#contracts/clock.js';
import type { EventSource } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import type { Random } from '#contracts/random.js';
import type { EngineWatch, EngineWatcher, MetricsPath } from '#contracts/transport.js';
import type { ConfiguredAddress } from './addresses.js';
import { type DiscoveredEngine, discoverEngine } from './discover.js';
import type { ProbeResult } from './health.js';
import { Loop } from './loop.js';
import { type EngineMetrics, parseEngineMetrics } from './metrics-text.js';

/** Intervals and time limits of watching, milliseconds. */
export interface FleetTimings {
  readonly scrapeIntervalMs: number;
  readonly scrapeTimeoutMs: number;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  /** Failed probes in a row that make an address unhealthy. */
  readonly probeFailures: number;
  /** Spacing of probes while a verdict is due. */
  readonly probeFastMs: number;
  /** How often a known engine is asked again what it is (adapters come and go). */
  readonly rediscoverIntervalMs: number;
  /** First and longest wait before an engine that did not answer is asked again. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Limit of one request of a discovery. */
  readonly discoverTimeoutMs: number;
}

/**
 * A dead engine is seen within half a second without any traffic: the connection it was scraped on
 * closes, and two fast probes fail.
 */
export const FLEET_TIMINGS: FleetTimings = {
  scrapeIntervalMs: 1000,
  scrapeTimeoutMs: 2000,
  probeIntervalMs: 1000,
  probeTimeoutMs: 2000,
  probeFailures: 2,
  probeFastMs: 100,
  rediscoverIntervalMs: 15_000,
  retryMinMs: 100,
  retryMaxMs: 2000,
  discoverTimeoutMs: 5000,
};

/** Who is told. */
export interface MonitorSink {
  discovered(address: ConfiguredAddress, engine: DiscoveredEngine): void;
  discoveryFailed(address: ConfiguredAddress, error: unknown): void;
  scraped(address: ConfiguredAddress, metrics: EngineMetrics): void;
  /** Returns the time to the next probe. */
  probed(address: ConfiguredAddress, result: ProbeResult): number;
  restarted(address: ConfiguredAddress): void;
}

export interface MonitorOptions {
  readonly address: ConfiguredAddress;
  readonly watcher: EngineWatcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly timings: FleetTimings;
  readonly sink: MonitorSink;
}

/** A scrape this much slower suffices to notice that /metrics was switched on. */
const ABSENT_METRICS_FACTOR = 10;
/** Probes for closed connections are at least this many fast intervals apart. */
const LOST_PROBE_FACTOR = 2;

export class AddressMonitor {
  readonly #options: MonitorOptions;
  readonly #discovery: Loop;
  readonly #scraping: Loop;
  readonly #probing: Loop;
  readonly #watch: EngineWatch;
  #assumedEvents: EventSource | null;
  #retryMs: number;
  /** Latest start time seen; several processes behind one port may alternate, only later counts. */
  #startTimeSeconds: number | null = null;
  #discovered = false;
  #metricsPath: MetricsPath = '/metrics';
  #lastRead: { readonly body: string; readonly metrics: EngineMetrics } | null = null;
  #lostAtMs = Number.NEGATIVE_INFINITY;
  #cancelLost: (() => void) | null = null;

  constructor(options: MonitorOptions) {
    const { clock, timings } = options;
    this.#options = options;
    this.#assumedEvents = options.address.assumedEvents;
    this.#retryMs = timings.retryMinMs;
    const { url, security } = options.address;
    this.#watch = options.watcher.watch(url, security, () => this.#connectionLost());
    this.#discovery = new Loop(
      clock,
      () => this.#discover(),
      (error) => this.#retryLater(error),
    );
    this.#scraping = new Loop(
      clock,
      () => this.#scrape(),
      (error) => this.#scrapeFailed(error),
    );
    this.#probing = new Loop(
      clock,
      () => this.#probe(),
      () => timings.probeIntervalMs,
    );
  }

  start(): void {
    const { random, timings } = this.#options;
    this.#discovery.start(0);
    this.#probing.start(0);
    // Spread over the interval, so that a hundred engines are not scraped in one burst.
    this.#scraping.start(random.next() * timings.scrapeIntervalMs);
  }

  stop(): void {
    this.#cancelLost?.();
    this.#discovery.stop();
    this.#scraping.stop();
    this.#probing.stop();
    this.#watch.close();
  }

  /** Whether the engine says when it began, so that a restart is noticed by that. */
  get tellsStartTime(): boolean {
    return this.#startTimeSeconds !== null;
  }

  /** Probes at once: something speaks for an outage. */
  suspect(): void {
    this.#probing.hurry();
  }

  /** Asks the engine again what it is. */
  rediscover(): void {
    this.#discovery.hurry();
  }

  /** Assumes its events elsewhere from now on; whether that matters, only the engine can tell. */
  assumeEvents(assumedEvents: EventSource | null): void {
    this.#assumedEvents = assumedEvents;
    this.rediscover();
  }

  /** A connection has closed. Engines that close one after every answer are not probed for each. */
  #connectionLost(): void {
    const { clock, timings } = this.#options;
    const waitMs = this.#lostAtMs + LOST_PROBE_FACTOR * timings.probeFastMs - clock.nowMs();
    if (waitMs <= 0) this.#probeAfterLoss();
    else this.#cancelLost ??= clock.after(waitMs, () => this.#probeAfterLoss());
  }

  #probeAfterLoss(): void {
    this.#cancelLost = null;
    this.#lostAtMs = this.#options.clock.nowMs();
    this.suspect();
  }

  async #discover(): Promise<number> {
    const { sink, timings } = this.#options;
    const address = { ...this.#options.address, assumedEvents: this.#assumedEvents };
    const { discoverTimeoutMs } = timings;
    const engine = await discoverEngine(this.#watch, address, discoverTimeoutMs, this.#metricsPath);
    if (this.#discovery.stopped) return 0;
    // What is known of an engine is not given up for an answer that lacks a part.
    if (this.#discovered && engine.failedPaths.length > 0) {
      throw new Error(`${address.url} answered 5xx to ${engine.failedPaths.join(', ')}`);
    }
    this.#discovered = true;
    this.#metricsPath = engine.metricsPath;
    this.#retryMs = timings.retryMinMs;
    const restarted = this.#noteStartTime(engine.startTimeSeconds);
    sink.discovered(address, engine);
    if (restarted) sink.restarted(address);
    return this.#jittered(timings.rediscoverIntervalMs);
  }

  #retryLater(error: unknown): number {
    const { address, sink, timings } = this.#options;
    if (!this.#discovery.stopped) sink.discoveryFailed(address, error);
    const delayMs = this.#jittered(this.#retryMs);
    this.#retryMs = Math.min(timings.retryMaxMs, this.#retryMs * 2);
    return delayMs;
  }

  async #scrape(): Promise<number> {
    const { address, clock, sink, timings } = this.#options;
    const beganMs = clock.nowMs();
    const { status, body } = await this.#watch.scrape(this.#metricsPath, timings.scrapeTimeoutMs);
    if (this.#scraping.stopped) return 0;
    if (status !== 200) return this.#jittered(timings.scrapeIntervalMs * ABSENT_METRICS_FACTOR);
    const metrics = this.#read(body);
    sink.scraped(address, metrics);
    if (this.#noteStartTime(metrics.startTimeSeconds)) {
      sink.restarted(address);
      this.rediscover();
    }
    return Math.max(0, this.#jittered(timings.scrapeIntervalMs) - (clock.nowMs() - beganMs));
  }

  /** An idle engine says the same every second. */
  #read(body: string): EngineMetrics {
    if (this.#lastRead?.body !== body) this.#lastRead = { body, metrics: parseEngineMetrics(body) };
    return this.#lastRead.metrics;
  }

  #scrapeFailed(error: unknown): number {
    const { address, logger, timings } = this.#options;
    logger.debug({ url: address.url, error }, 'engine could not be scraped');
    if (probeFailureOf(error) === 'unreachable') this.suspect();
    return this.#jittered(timings.scrapeIntervalMs);
  }

  async #probe(): Promise<number> {
    const { address, sink } = this.#options;
    const result = await this.#probeOnce();
    if (this.#probing.stopped) return 0;
    return this.#jittered(sink.probed(address, result));
  }

  async #probeOnce(): Promise<ProbeResult> {
    try {
      const status = await this.#watch.probe(this.#options.timings.probeTimeoutMs);
      // A 5xx is the engine's own word that it is dead or not ready; an engine without the route
      // (404) or with keys on it (401) is alive.
      return status >= 500 ? 'unreachable' : 'ok';
    } catch (error) {
      return probeFailureOf(error);
    }
  }

  /** True when the engine process is another one than before. */
  #noteStartTime(startTimeSeconds: number | null): boolean {
    if (startTimeSeconds === null) return false;
    const known = this.#startTimeSeconds;
    if (known !== null && startTimeSeconds <= known) return false;
    this.#startTimeSeconds = startTimeSeconds;
    return known !== null;
  }

  #jittered(delayMs: number): number {
    return delayMs * (0.9 + 0.2 * this.#options.random.next());
  }
}

/** Slow or gone: the watcher names its timeouts. */
function probeFailureOf(error: unknown): 'timed-out' | 'unreachable' {
  return error instanceof Error && error.name === 'TimeoutError' ? 'timed-out' : 'unreachable';
}
