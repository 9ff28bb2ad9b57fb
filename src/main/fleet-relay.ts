// Passes what the fleet tells on to data plane, encoder and event workers. The fleet is asked first,
// because it says how large the shared memory must be; what it told before the others exist is
// handed to them when they are attached.

import type { Endpoint, FleetSnapshot } from '#contracts/endpoint.js';
import type { Subscription } from '#contracts/messages.js';
import type { HistoryPlan } from '#contracts/routing-history.js';
import type { FleetListener } from '#fleet/fleet-manager.js';
import type { FleetModel } from '#fleet/models.js';

/** Who needs to know what the fleet tells. */
export interface FleetSinks {
  setEndpoints(bySlot: readonly (Endpoint | null)[]): void;
  setModels(
    models: readonly FleetModel[],
    blockSizes: ReadonlyMap<string, number>,
    bySlot: readonly (Endpoint | null)[],
  ): void;
  subscribe(subscription: Subscription): void;
  unsubscribe(slot: number): void;
  setHistories(plans: ReadonlyMap<number, HistoryPlan>): void;
  setBlockSize(pool: string, blockSize: number): void;
  engineRestarted(slot: number): void;
  setUsable(slot: number, usable: boolean): void;
}

/** Remembers the fleet's state until `attach`, passes changes on from then. */
export class FleetRelay implements FleetListener {
  readonly #publishers = new Map<number, Subscription>();
  readonly #healthy = new Set<number>();
  #endpoints: readonly (Endpoint | null)[] = [];
  #models: readonly FleetModel[] = [];
  #blockSizes: ReadonlyMap<string, number> = new Map();
  #histories: ReadonlyMap<number, HistoryPlan> = new Map();
  #sinks: FleetSinks | null = null;

  attach(sinks: FleetSinks): void {
    this.#sinks = sinks;
    this.#passEndpoints(sinks);
    sinks.setModels(this.#models, this.#blockSizes, this.#endpoints);
    for (const subscription of this.#publishers.values()) sinks.subscribe(subscription);
    sinks.setHistories(this.#histories);
  }

  membershipChanged(snapshot: FleetSnapshot): void {
    this.#endpoints = snapshot.bySlot.map((state) => state?.endpoint ?? null);
    if (this.#sinks !== null) this.#passEndpoints(this.#sinks);
    this.#sinks?.setModels(this.#models, this.#blockSizes, this.#endpoints);
  }

  modelsChanged(models: readonly FleetModel[], blockSizes: ReadonlyMap<string, number>): void {
    this.#models = models;
    this.#blockSizes = blockSizes;
    this.#sinks?.setModels(models, blockSizes, this.#endpoints);
  }

  publisherFound(subscription: Subscription): void {
    this.#publishers.set(subscription.slot, subscription);
    this.#sinks?.subscribe(subscription);
  }

  publisherGone(slot: number): void {
    this.#publishers.delete(slot);
    this.#sinks?.unsubscribe(slot);
  }

  historiesChanged(plans: ReadonlyMap<number, HistoryPlan>): void {
    this.#histories = plans;
    this.#sinks?.setHistories(plans);
  }

  blockSizeChanged(pool: string, blockSize: number): void {
    for (const [slot, subscription] of this.#publishers) {
      if (subscription.pool === pool) this.#publishers.set(slot, { ...subscription, blockSize });
    }
    this.#sinks?.setBlockSize(pool, blockSize);
  }

  engineRestarted(slot: number): void {
    this.#sinks?.engineRestarted(slot);
  }

  healthChanged(slot: number, healthy: boolean): void {
    if (healthy) this.#healthy.add(slot);
    else this.#healthy.delete(slot);
    this.#sinks?.setUsable(slot, healthy);
  }

  /** All slots are usable after `setEndpoints`, until told otherwise. */
  #passEndpoints(sinks: FleetSinks): void {
    sinks.setEndpoints(this.#endpoints);
    for (const [slot, endpoint] of this.#endpoints.entries()) {
      if (endpoint !== null && !this.#healthy.has(slot)) sinks.setUsable(slot, false);
    }
  }
}
