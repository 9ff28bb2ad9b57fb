// The portable DataPlane: node:http towards clients, undici towards engines, bodies in the shared
// store. Wires front door, exchanges and forwardings together and knows which request a handle
// means; a handle that is no longer its request's is answered with false.

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { assert } from '#contracts/assert.js';
import type {
  DataPlane,
  DataPlaneHandler,
  ForwardOrder,
  OwnPick,
  RequestStore,
} from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import type { RouterError } from '#contracts/errors.js';
import { REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import type { HeaderPair, RequestHandle } from '#contracts/request.js';
import { type DataPlaneTimeouts, DEFAULT_TIMEOUTS } from '#core/data-plane-timeouts.js';
import { Batches } from './batches.js';
import { Connections } from './connections.js';
import type { Exchange } from './exchange.js';
import { Forwarding, type ForwardingHost } from './forwarding.js';
import { createFrontDoor, type FrontDoorHost } from './front-door.js';
import { RetryBudget } from './retry-budget.js';
import type { DataPlaneOptions, DataPlaneStats } from './settings.js';
import { Upstream } from './upstream.js';

/** How long ended streams may take to reach their clients when draining is over. */
const FLUSH_MS = 500;

/** A DataPlane that also counts what its handler never hears of. */
export interface PortableDataPlane extends DataPlane {
  stats(): DataPlaneStats;
}

export function createDataPlane(options: DataPlaneOptions): PortableDataPlane {
  return new NodeDataPlane(options);
}

class NodeDataPlane implements PortableDataPlane, FrontDoorHost, ForwardingHost {
  readonly clock: DataPlaneOptions['clock'];
  readonly store: RequestStore;
  readonly logger: DataPlaneOptions['logger'];
  readonly timeouts: DataPlaneTimeouts;
  readonly batches: Batches;
  readonly connections: Connections;
  readonly budget: RetryBudget;
  readonly #listen: { readonly host: string; readonly port: number };
  readonly #server: Server;
  /** Requests by slot of their handle. */
  readonly #exchanges: (Exchange | null)[] = new Array(REQUESTS_IN_FLIGHT_MAX).fill(null);
  readonly #paths: string[] = new Array(REQUESTS_IN_FLIGHT_MAX).fill('');
  readonly #open = new Set<Exchange>();
  #upstreams: (Upstream | null)[] = [];
  #drained: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;
  #strippedHeaders = 0;
  #refusedRequests = 0;
  #retries = 0;
  #reconnects = 0;

  constructor(options: DataPlaneOptions) {
    this.clock = options.clock;
    this.store = options.store;
    this.logger = options.logger;
    this.timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#listen = { host: options.host, port: options.port };
    this.batches = new Batches(options.store, () => this.#checkIdle());
    this.connections = new Connections(options.clock);
    this.budget = new RetryBudget(options.clock);
    this.#server = createFrontDoor(this, this.timeouts);
  }

  get clientStallMs(): number {
    return this.timeouts.clientStallMs;
  }

  get totalMs(): number {
    return this.timeouts.totalMs;
  }

  async start(
    handler: DataPlaneHandler,
  ): Promise<{ readonly address: string; readonly port: number }> {
    this.batches.handler = handler;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#listen, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const { address, port } = this.#server.address() as AddressInfo;
    return { address, port };
  }

  /** A blocked main thread blocks this plane too, so it has no pick of its own. */
  setEndpoints(bySlot: readonly (Endpoint | null)[], _ownPick: OwnPick): void {
    this.#setEndpoints(bySlot);
  }

  #setEndpoints(bySlot: readonly (Endpoint | null)[]): void {
    const before = this.#upstreams;
    this.#upstreams = bySlot.map((endpoint, slot) => {
      const kept = before[slot] ?? null;
      if (endpoint === null) return null;
      if (kept !== null && isSameInstance(kept.endpoint, endpoint)) return kept;
      return new Upstream(endpoint, this.timeouts);
    });
    const current = new Set(this.#upstreams);
    for (const upstream of before) if (!current.has(upstream)) upstream?.retire();
  }

  setUsable(_slot: number, _usable: boolean): void {}

  forward(handle: RequestHandle, order: ForwardOrder): boolean {
    assert(order.targets.length > 0, 'an order has a target');
    const exchange = this.#deciding(handle);
    if (exchange === null) return false;
    const path = this.#paths[handle.slot] ?? '/';
    const forwarding = new Forwarding(this, exchange, { handle, order, path });
    exchange.state = 'forwarding';
    exchange.forwarding = forwarding;
    forwarding.start();
    return true;
  }

  reject(handle: RequestHandle, error: RouterError): boolean {
    const exchange = this.#deciding(handle);
    if (exchange === null) return false;
    exchange.fail(error, 'rejected');
    return true;
  }

  respond(
    handle: RequestHandle,
    status: number,
    headers: readonly HeaderPair[],
    body: string | Uint8Array,
  ): boolean {
    const exchange = this.#deciding(handle);
    if (exchange === null) return false;
    exchange.answer(status, headers, body, { outcome: 'answered-locally', errorCode: null });
    return true;
  }

  drain(timeoutMs: number): Promise<void> {
    this.#drained ??= this.#drain(timeoutMs);
    return this.#drained;
  }

  inFlight(): number {
    return this.batches.inFlight;
  }

  stats(): DataPlaneStats {
    return {
      connections: this.connections.count,
      strippedHeaders: this.#strippedHeaders,
      refusedRequests: this.#refusedRequests,
      retries: this.#retries,
      reconnects: this.#reconnects,
    };
  }

  isDraining(): boolean {
    return this.#drained !== null;
  }

  upstream(slot: number): Upstream | null {
    return this.#upstreams[slot] ?? null;
  }

  onOpened(exchange: Exchange): void {
    this.#open.add(exchange);
    if (exchange.handle !== null) this.#exchanges[exchange.handle.slot] = exchange;
  }

  onComplete(exchange: Exchange, path: string): void {
    const { handle, request, head } = exchange;
    assert(handle !== null, 'a request that was read has a handle');
    exchange.state = 'deciding';
    this.#paths[handle.slot] = path;
    this.batches.announce({
      handle,
      method: request.method ?? 'GET',
      path,
      requestId: exchange.requestId,
      headers: head.headers,
      telling: head.telling,
      bodyBytes: this.store.body(handle)?.byteLength ?? 0,
      receivedAtMs: exchange.receivedAtMs,
    });
  }

  onEnded(exchange: Exchange): void {
    this.#open.delete(exchange);
    this.connections.ended(exchange);
    this.#checkIdle();
  }

  onRefused(): void {
    this.#refusedRequests += 1;
  }

  onStripped(count: number): void {
    this.#strippedHeaders += count;
  }

  onRetry(): void {
    this.#retries += 1;
  }

  onReconnect(): void {
    this.#reconnects += 1;
  }

  /** The request of a handle while its decision is awaited. */
  #deciding(handle: RequestHandle): Exchange | null {
    const exchange = this.#exchanges[handle.slot] ?? null;
    if (exchange?.handle?.generation !== handle.generation) return null;
    return exchange.state === 'deciding' ? exchange : null;
  }

  async #drain(timeoutMs: number): Promise<void> {
    await this.#acceptAll();
    if (this.#server.listening) this.#server.close();
    for (const { socket, exchanges } of this.connections.all()) {
      // A connection that never sent a byte is no request's.
      if (exchanges.size === 0 && socket.bytesRead === 0) socket.destroy();
    }
    await this.#idleWithin(timeoutMs);
    for (const exchange of [...this.#open]) exchange.terminate();
    await this.#idleWithin(FLUSH_MS);
    for (const { socket } of [...this.connections.all()]) socket.destroy();
    this.#setEndpoints([]);
    // Requests just cut still have their `done` to be delivered.
    await this.#idleWithin(FLUSH_MS);
  }

  /** Who has connected is served: a turn may accept but one of them, the next reads what they sent. */
  async #acceptAll(): Promise<void> {
    let before: number;
    do {
      before = this.connections.accepted;
      for (let turn = 0; turn < 2; turn += 1) await setImmediate();
    } while (this.connections.accepted > before);
  }

  /** Waits until no request is open and every `done` was seen, at most `timeoutMs`. */
  #idleWithin(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(timeoutMs, () => {
        this.#onIdle = null;
        resolve();
      });
      this.#onIdle = () => {
        this.#onIdle = null;
        cancel();
        resolve();
      };
      this.#checkIdle();
    });
  }

  #checkIdle(): void {
    if (this.#open.size === 0 && this.batches.inFlight === 0) this.#onIdle?.();
  }
}

/** True when connections to `before` may serve `after`. */
function isSameInstance(before: Endpoint, after: Endpoint): boolean {
  return (
    before.url === after.url &&
    before.name === after.name &&
    before.security.apiKey === after.security.apiKey &&
    before.security.caPem === after.security.caPem
  );
}
