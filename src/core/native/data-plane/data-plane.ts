// The native data plane's face: takes records in batches, hands them to the handler in the order
// of the contract, and packs decisions. Every socket and body byte is on threads of its own; what
// happens here can be late, but holds no stream up.

import { assert } from '#contracts/assert.js';
import type {
  DataPlane,
  DataPlaneHandler,
  ForwardOrder,
  ForwardProgress,
  OwnPick,
} from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import { ERROR_CODES, type RouterError } from '#contracts/errors.js';
import { REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import type { HeaderPair, RequestHandle } from '#contracts/request.js';
import { headerTexts, packEndpoints, packOrder } from './orders.js';
import {
  DRAIN_STEP,
  ORDER_NUMBERS,
  type PlaneAddon,
  RECORD_NUMBERS,
  RECORDS_MAX,
  TROUBLES,
} from './plane-addon.js';
import { readRecord } from './records.js';
import { LazyRequestHead, type NativeRequestHead } from './request-head.js';
import {
  type DataPlaneOptions,
  type DataPlaneStats,
  NATIVE_TIMEOUTS,
  type NativePlaneTimeouts,
} from './settings.js';

/** How long ended streams may take to reach their clients when draining is over. */
const FLUSH_MS = 500;

/** A DataPlane that also counts what its handler never hears of. */
export interface NativeDataPlane extends DataPlane {
  /** Number other native parts know the plane by. */
  readonly id: number;
  stats(): DataPlaneStats;
  /** Whether the native pick may use an endpoint; all may after `setEndpoints`. */
  setUsable(slot: number, usable: boolean): void;
  /** Moves a manual clock. */
  setTime(nowMs: number): void;
}

export function createDataPlane(addon: PlaneAddon, options: DataPlaneOptions): NativeDataPlane {
  return new FacedDataPlane(addon, options);
}

class FacedDataPlane implements NativeDataPlane {
  readonly id: number;
  readonly #addon: PlaneAddon;
  readonly #clock: DataPlaneOptions['clock'];
  readonly #logger: DataPlaneOptions['logger'];
  readonly #records = new Float64Array(RECORD_NUMBERS * RECORDS_MAX);
  readonly #orders = new Uint32Array(ORDER_NUMBERS);
  /** By slot, until their last record was handled. */
  readonly #heads: (LazyRequestHead | null)[] = new Array(REQUESTS_IN_FLIGHT_MAX).fill(null);
  /** Generation of the request announced last in each slot, while the batch is taken. */
  readonly #announced = new Uint32Array(REQUESTS_IN_FLIGHT_MAX);
  readonly #listen: { readonly address: string; readonly port: number };
  #handler: DataPlaneHandler | null = null;
  #drained: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;
  /** Set once the threads have ended: what the counters were then. */
  #ended: DataPlaneStats | null = null;

  constructor(addon: PlaneAddon, options: DataPlaneOptions) {
    const { store, host, port, threads, accept, manualClock = false } = options;
    const timeouts = withinTotal({ ...NATIVE_TIMEOUTS, ...options.timeouts });
    this.#addon = addon;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#listen = { address: host, port };
    this.id = addon.planeCreate(
      store.id,
      JSON.stringify({ host, port, threads, accept, timeouts, manualClock }),
      () => this.#take(),
      this.#records,
      this.#orders,
    );
  }

  async start(
    handler: DataPlaneHandler,
  ): Promise<{ readonly address: string; readonly port: number }> {
    this.#handler = handler;
    try {
      const [address = '', port = ''] = this.#addon.planeStart(this.id).split(' ');
      return { address, port: Number(port) };
    } catch (error) {
      throw listenError(error, this.#listen);
    }
  }

  setEndpoints(bySlot: readonly (Endpoint | null)[], ownPick: OwnPick): void {
    if (this.#ended !== null) return;
    this.#addon.planeSetEndpoints(this.id, packEndpoints(bySlot, ownPick));
  }

  setUsable(slot: number, usable: boolean): void {
    if (this.#ended !== null) return;
    this.#addon.planeSetUsable(this.id, slot, usable);
  }

  forward(handle: RequestHandle, order: ForwardOrder): boolean {
    assert(order.targets.length > 0, 'an order has a target');
    if (this.#ended !== null) return false;
    const text = packOrder(order, this.#orders);
    return this.#addon.planeForward(this.id, handle.slot, handle.generation, text);
  }

  reject({ slot, generation }: RequestHandle, error: RouterError): boolean {
    if (this.#ended !== null) return false;
    const number = ERROR_CODES.indexOf(error.code);
    return this.#addon.planeReject(this.id, slot, generation, number, error.toBody());
  }

  respond(
    { slot, generation }: RequestHandle,
    status: number,
    headers: readonly HeaderPair[],
    body: string | Uint8Array,
  ): boolean {
    if (this.#ended !== null) return false;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const packed = headerTexts(headers);
    return this.#addon.planeRespond(this.id, slot, generation, status, packed, bytes);
  }

  drain(timeoutMs: number): Promise<void> {
    this.#drained ??= this.#drain(timeoutMs);
    return this.#drained;
  }

  inFlight(): number {
    return this.#ended === null ? this.#addon.planeInFlight(this.id) : 0;
  }

  stats(): DataPlaneStats {
    if (this.#ended !== null) return this.#ended;
    const [
      connections = 0,
      strippedHeaders = 0,
      refusedRequests = 0,
      retries = 0,
      reconnects = 0,
      policyMissed = 0,
      lateOrders = 0,
    ] = this.#addon.planeStats(this.id);
    return {
      connections,
      strippedHeaders,
      refusedRequests,
      retries,
      reconnects,
      policyMissed,
      lateOrders,
    };
  }

  setTime(nowMs: number): void {
    if (this.#ended === null) this.#addon.planeSetTime(this.id, nowMs);
  }

  /** Takes what waits; called by the native side, and at most one such call is pending. */
  #take(): void {
    // The last call of the native side may come after its end.
    if (this.#ended !== null) return;
    let taken: number;
    do {
      taken = this.#addon.planeTake(this.id);
      if (taken >= TROUBLES) {
        taken -= TROUBLES;
        this.#logTroubles();
      }
      if (taken > 0) this.#deliver(taken);
    } while (taken === RECORDS_MAX);
    this.#checkIdle();
  }

  /**
   * Progress of requests announced before comes first, because it frees what new ones may need;
   * then the new ones; then theirs.
   */
  #deliver(count: number): void {
    const before: ForwardProgress[] = [];
    const requests: NativeRequestHead[] = [];
    const after: ForwardProgress[] = [];
    const source = { addon: this.#addon, plane: this.id };
    const ended: number[] = [];
    for (let position = 0; position < count; position += 1) {
      const record = readRecord(this.#records, position);
      const { slot, generation } = record.handle;
      if (record.kind === 'request') {
        const head = new LazyRequestHead(source, record.handle, record);
        requests.push(head);
        this.#heads[slot] = head;
        this.#announced[slot] = generation;
        continue;
      }
      (this.#announced[slot] === generation ? after : before).push(record);
      if (record.kind === 'done') ended.push(slot);
    }
    for (const { handle } of requests) this.#announced[handle.slot] = 0;
    try {
      if (before.length > 0) this.#handler?.onProgress(before, requests.length > 0);
      if (requests.length > 0) this.#handler?.onRequests(requests);
      if (after.length > 0) this.#handler?.onProgress(after, false);
    } finally {
      this.#release(ended);
    }
  }

  /** Ends a batch; handles go whose last record was handled, heads that are kept stay readable. */
  #release(slots: readonly number[]): void {
    for (const slot of slots) {
      this.#heads[slot]?.keep();
      this.#heads[slot] = null;
    }
    this.#addon.planeDelivered(this.id);
  }

  #logTroubles(): void {
    const lines = this.#addon.planeTroubles(this.id);
    for (let at = 0; at + 3 < lines.length; at += 4) {
      const [sentence = '', requestId, endpoint, error] = lines.slice(at, at + 4);
      this.#logger.warn({ requestId, endpoint, error }, sentence);
    }
  }

  async #drain(timeoutMs: number): Promise<void> {
    this.#addon.planeDrain(this.id, DRAIN_STEP.stopListening);
    await this.#idleWithin(timeoutMs);
    this.#addon.planeDrain(this.id, DRAIN_STEP.terminate);
    await this.#idleWithin(FLUSH_MS);
    this.#addon.planeDrain(this.id, DRAIN_STEP.cut);
    this.setEndpoints([], () => []);
    // Requests just cut still have their `done` to be delivered.
    await this.#idleWithin(FLUSH_MS);
    this.#addon.planeStop(this.id);
    this.#take();
    this.#ended = this.stats();
    this.#addon.planeClose(this.id);
  }

  /** Waits until no request is open and every `done` was seen, at most `timeoutMs`. */
  #idleWithin(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#onIdle = null;
        cancel();
        resolve();
      };
      const cancel = this.#clock.after(timeoutMs, end);
      this.#onIdle = end;
      this.#checkIdle();
    });
  }

  #checkIdle(): void {
    if (this.#onIdle !== null && this.#addon.planeIsIdle(this.id)) this.#onIdle();
  }
}

/** A client has no longer to send its request than the request may take in all. */
function withinTotal(timeouts: NativePlaneTimeouts): NativePlaneTimeouts {
  const { totalMs, requestMs } = timeouts;
  if (totalMs === 0 || (requestMs > 0 && requestMs <= totalMs)) return timeouts;
  return { ...timeouts, requestMs: totalMs };
}

/** The system's reason with what Node's own sockets put beside it. */
function listenError(error: unknown, listen: { address: string; port: number }): unknown {
  if (!(error instanceof Error)) return error;
  const code = /^(E[A-Z]+):/.exec(error.message)?.[1];
  return code === undefined ? error : Object.assign(new Error(error.message), { code, ...listen });
}
