// Engines in virtual time: the engine model and driver of the simulator behind the real fleet registry,
// their events through the real wire format into a real index, late as a real stream is, their load
// as of the last scrape. No sockets, no threads, no wall clock: the same seed gives the same run.

import { assert } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type { EventApplier } from '#contracts/core.js';
import type { EndpointState } from '#contracts/endpoint.js';
import type { Random } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { FleetRegistry } from '#fleet/registry.js';
import { noneHash } from '#simulation/block-hash.js';
import { EngineDriver } from '#simulation/engine-driver.js';
import type { EngineEvent } from '#simulation/engine-event.js';
import {
  EngineModel,
  type EngineModelOptions,
  type GeneratedToken,
} from '#simulation/engine-model.js';
import type { EngineRequest } from '#simulation/engine-request.js';
import { encodeBatch, toWireEvent } from '#simulation/event-encoding.js';
import { DEFAULT_COEFFICIENTS } from '#simulation/step-time.js';
import { servedModel } from '#test/support/scheduling.js';

export const MODEL = 'model-a';
export const BLOCK_SIZE = 16;
export const HASH_SECRET = 7n;
/** Slots of every per-endpoint array. */
export const CAPACITY = 64;

export interface EnginesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly endpoints: number;
  /** From the end of a step until its events are in the index. */
  readonly eventDelayMs: number;
  /** Whether the engines publish events. Those that do not are never restarted here. */
  readonly events: boolean;
  readonly scrapeIntervalMs: number;
  readonly engine: Partial<EngineModelOptions>;
}

/** Told of every token of a request, or, with null, that its engine has died. */
export type OnToken = (token: GeneratedToken | null) => void;

/** All engines of a fleet, one endpoint each; endpoint n is in slot n. */
export class VirtualEngines {
  readonly index: SharedArrayBuffer = createBlockIndex({
    blockCapacity: 1 << 18,
    endpointCapacity: CAPACITY,
  });
  readonly registry: FleetRegistry = new FleetRegistry({ capacity: CAPACITY, onReport: () => {} });
  readonly #options: EnginesOptions;
  readonly #applier: EventApplier;
  readonly #drivers: EngineDriver[] = [];
  readonly #open = new Map<string, { readonly slot: number; readonly onToken: OnToken }>();
  readonly #alive: boolean[] = [];

  constructor(options: EnginesOptions) {
    this.#options = options;
    this.#applier = createEventApplier(openIndexWriter(this.index, 0), HASH_SECRET);
    for (let slot = 0; slot < options.endpoints; slot += 1) this.#add(slot);
  }

  state(slot: number): EndpointState {
    const state = this.registry.state(slot);
    if (state === null) throw new Error(`slot ${slot} is free`);
    return state;
  }

  /** Hands a request to an engine; false when it is dead. */
  submit(slot: number, request: EngineRequest, onToken: OnToken): boolean {
    if (this.#alive[slot] !== true) return false;
    this.#open.set(request.id, { slot, onToken });
    this.#drivers[slot]?.submit(request, (token) => {
      if (token.finished) this.#open.delete(request.id);
      onToken(token);
    });
    return true;
  }

  /** Ends an engine with all it has; whether anybody knows of it is another matter. */
  kill(slot: number): void {
    this.#alive[slot] = false;
    this.#drivers[slot]?.stop();
    for (const [id, request] of [...this.#open]) {
      if (request.slot !== slot) continue;
      this.#open.delete(id);
      request.onToken(null);
    }
  }

  /** Whether it would take a request, whatever anybody knows of it. */
  isAlive(slot: number): boolean {
    return this.#alive[slot] === true;
  }

  /** Blocks that all engines evicted, to those they stored: 0.5 when half of them have gone again. */
  turnover(): number {
    const stats = this.#drivers.map(({ model }) => model.stats());
    const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value);
    const stored = total(stats.map(({ blocksStored }) => blocksStored));
    return stored === 0 ? 0 : total(stats.map(({ blocksEvicted }) => blocksEvicted)) / stored;
  }

  /** Puts an empty engine where one died: a new process, a new stream. */
  restart(slot: number): void {
    assert(this.#options.events, 'nobody would hear of it');
    this.#drivers[slot] = this.#driver(slot);
    this.#alive[slot] = true;
    this.#applier.reset(slot);
  }

  #add(slot: number): void {
    const url = urlOf(slot);
    this.registry.replaceAddress(url, [
      {
        name: nameOf(slot),
        url,
        id: null,
        dpRank: null,
        engine: 'vllm',
        labels: {},
        security: { apiKey: null, caPem: null },
        models: [servedModel(MODEL)],
        blockSize: BLOCK_SIZE,
        gpuBlocks: null,
        cacheTokens: (this.#gpuBlocks - 1) * BLOCK_SIZE,
        events: null,
      },
    ]);
    const state = this.state(slot);
    state.healthy = true;
    state.publisher = this.#options.events ? 'live' : 'history';
    if (this.#options.events) this.#applier.open(slot, { pool: MODEL, blockSize: BLOCK_SIZE });
    this.#drivers.push(this.#driver(slot));
    this.#alive.push(true);
    const { clock, random, scrapeIntervalMs } = this.#options;
    this.#scrape(slot);
    // Scrapes of a fleet are spread over the interval, and so is what is known of it.
    clock.after(random.next() * scrapeIntervalMs, () => this.#scrapeOn(slot));
  }

  get #gpuBlocks(): number {
    return this.#options.engine.gpuBlocks ?? 19_209;
  }

  #driver(slot: number): EngineDriver {
    const { clock, engine, eventDelayMs } = this.#options;
    const model = new EngineModel({
      blockSize: BLOCK_SIZE,
      noneHash: noneHash('0'),
      extraKeyForm: 'tagged',
      gpuBlocks: this.#gpuBlocks,
      batchedTokensMax: 8192,
      runningMax: 256,
      lorasMax: 0,
      coefficients: DEFAULT_COEFFICIENTS,
      seed: slot,
      outputVocabulary: [900, 901, 902],
      ...engine,
    });
    const publish = (events: readonly EngineEvent[]): void => {
      if (!this.#options.events) return;
      const payload = encodeBatch(
        {
          timestampSeconds: clock.nowMs() / 1000,
          events: events.map((event) => toWireEvent(event, 'integer')),
          dataParallelRank: 0,
        },
        'map',
      );
      clock.after(eventDelayMs, () => {
        if (this.#drivers[slot] !== driver) return;
        const { status, detail } = this.#applier.apply(slot, payload);
        if (status !== 'applied') throw new Error(`${status}: ${detail}`);
      });
    };
    const driver = new EngineDriver({ model, clock, timeScale: 1, publish });
    return driver;
  }

  #scrapeOn(slot: number): void {
    const { clock, scrapeIntervalMs } = this.#options;
    this.#scrape(slot);
    clock.after(scrapeIntervalMs, () => this.#scrapeOn(slot));
  }

  #scrape(slot: number): void {
    const driver = this.#drivers[slot];
    if (driver === undefined || this.#alive[slot] !== true) return;
    const { waiting, running, cacheUsage } = driver.model.stats();
    const rank = {
      rank: 0,
      waitingRequests: waiting,
      runningRequests: running,
      kvCacheUsage: cacheUsage,
      blockSize: null,
      gpuBlocks: null,
      cacheTokens: null,
    };
    const metrics = {
      engine: 'vllm',
      ranks: [rank],
      adapters: null,
      startTimeSeconds: null,
    } as const;
    this.registry.recordLoad(urlOf(slot), metrics, this.#options.clock.nowMs());
  }
}

export function nameOf(slot: number): string {
  return `10.0.0.${slot}:8000`;
}

function urlOf(slot: number): string {
  return `http://${nameOf(slot)}`;
}
