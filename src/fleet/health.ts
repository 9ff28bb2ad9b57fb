// Decides which endpoints are healthy, from active probes (per address) and the outcomes of real
// traffic (per endpoint). The only writer of EndpointState.healthy; every change is logged once.

import { assert } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type { AttemptOutcome, EndpointState } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import {
  type EjectionState,
  healthOf,
  newEjectionState,
  noteOutcome,
  type Standing,
} from './eject.js';
import { type PoolNames, poolNames, poolOf } from './models.js';
import {
  connectionFailed,
  newProbeState,
  type ProbeFailure,
  type ProbeState,
  probeDelayMs,
  probeFailed,
  probeSucceeded,
} from './probe.js';

/** What one probe found. */
export type ProbeResult = 'ok' | ProbeFailure;

export interface FleetHealthOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The endpoints there are now. */
  readonly states: () => readonly EndpointState[];
  readonly state: (slot: number) => EndpointState | null;
  readonly intervalMs: number;
  /** Failed probes in a row that make an address unhealthy. */
  readonly failuresMax: number;
  /** Spacing of probes while a verdict is due. */
  readonly fastMs: number;
  /** Real traffic failed: the address should be probed at once. */
  /** An endpoint's health has changed. */
  readonly onHealth: (slot: number, healthy: boolean) => void;
  readonly onSuspect: (url: string) => void;
  /** The address answers again after an outage, maybe as another process. */
  readonly onRecovered: (url: string) => void;
}

/** Why an endpoint is not chosen, for /status; null when nothing holds it back. */
export interface HealthDetail {
  readonly reason: 'unreachable' | 'timed-out' | 'flapping' | 'errors' | null;
  readonly ejections: number;
}

/** Keeps the health records; told by monitors and the registry. */
export class FleetHealth {
  readonly #options: FleetHealthOptions;
  readonly #probes = new Map<string, ProbeState>();
  readonly #ejections = new Map<number, EjectionState>();
  #cancelTimer: (() => void) | null = null;

  constructor(options: FleetHealthOptions) {
    this.#options = options;
  }

  addAddress(url: string): void {
    this.#probes.set(url, newProbeState());
  }

  removeAddress(url: string): void {
    this.#probes.delete(url);
  }

  /** Forgets a slot's failures, because another endpoint may get the slot. */
  forget(slot: number): void {
    this.#ejections.delete(slot);
  }

  /** Takes the outcome of real traffic. */
  report(slot: number, outcome: AttemptOutcome): void {
    // Nearly every report says that all is well with an endpoint that never failed.
    if (outcome === 'answered' && !this.#ejections.has(slot)) return;
    const state = this.#options.state(slot);
    if (state === null) return;
    const nowMs = this.#options.clock.nowMs();
    const { url } = state.endpoint;
    let changed = false;
    if (outcome === 'unreachable') changed = connectionFailed(this.#probe(url), nowMs);
    else changed = noteOutcome(this.#ejection(slot), outcome, nowMs);
    if (changed) this.evaluate();
    if (outcome === 'unreachable' || outcome === 'timed-out') this.#options.onSuspect(url);
  }

  /** Takes a probe's result; returns the time to the next probe. */
  probed(url: string, result: ProbeResult): number {
    const probe = this.#probe(url);
    const nowMs = this.#options.clock.nowMs();
    const hadOutage = probe.downAtMs !== Number.NEGATIVE_INFINITY;
    const { failuresMax } = this.#options;
    const changed =
      result === 'ok'
        ? probeSucceeded(probe, nowMs)
        : probeFailed(probe, result, { nowMs, failuresMax });
    if (changed) this.evaluate();
    if (changed && probe.up && hadOutage) this.#options.onRecovered(url);
    return probeDelayMs(probe, this.#options);
  }

  /** Recomputes every endpoint's health; also to be called when membership changed. */
  evaluate(): void {
    const nowMs = this.#options.clock.nowMs();
    const states = this.#options.states();
    const pools = poolNames(states.map((state) => state.endpoint));
    const healthy = healthOf(states.map((state) => this.#standing(state, pools, nowMs)));
    for (const [index, state] of states.entries()) {
      const now = healthy[index] === true;
      if (state.healthy === now) continue;
      state.healthy = now;
      this.#options.onHealth(state.endpoint.slot, now);
      const { slot, name } = state.endpoint;
      const fields = { endpoint: name, slot, ...this.detail(slot) };
      if (now) this.#options.logger.info(fields, 'endpoint is healthy');
      else this.#options.logger.warn(fields, 'endpoint is not healthy, nothing is sent to it');
    }
    this.#schedule(nowMs);
  }

  detail(slot: number): HealthDetail {
    const nowMs = this.#options.clock.nowMs();
    const state = this.#options.state(slot);
    const probe = state === null ? undefined : this.#probes.get(state.endpoint.url);
    const ejection = this.#ejections.get(slot);
    const ejections = ejection?.ejections ?? 0;
    if (probe === undefined || !probe.up) {
      return { reason: probe?.lastFailure ?? 'unreachable', ejections };
    }
    if (ejection !== undefined && ejection.untilMs > nowMs) return { reason: 'errors', ejections };
    return { reason: probe.heldUntilMs > nowMs ? 'flapping' : null, ejections };
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #standing(state: EndpointState, pools: PoolNames, nowMs: number): Standing {
    const { slot, url } = state.endpoint;
    const probe = this.#probe(url);
    const neverUp = probe.downAtMs === Number.NEGATIVE_INFINITY;
    // An engine that accepts connections but answers too late may only be overloaded, like all
    // others: the panic rule may overrule that. A refused connection or a 5xx of /health may not.
    const slow = !probe.up && !neverUp && probe.lastFailure === 'timed-out';
    const held = Math.max(probe.heldUntilMs, this.#ejections.get(slot)?.untilMs ?? 0) > nowMs;
    return {
      pool: poolOf(state.endpoint, pools) ?? '',
      unreachable: !probe.up && !slow,
      ejected: slow || held,
    };
  }

  /** Wakes up when the next ejection or hold ends. */
  #schedule(nowMs: number): void {
    this.stop();
    const ends = [
      ...[...this.#ejections.values()].map((entry) => entry.untilMs),
      ...[...this.#probes.values()].map((entry) => entry.heldUntilMs),
    ].filter((end) => end > nowMs);
    if (ends.length === 0) return;
    const delayMs = Math.max(1, Math.min(...ends) - nowMs);
    this.#cancelTimer = this.#options.clock.after(delayMs, () => this.evaluate());
  }

  #probe(url: string): ProbeState {
    const probe = this.#probes.get(url);
    assert(probe !== undefined, () => `address ${url} is known to health`);
    return probe;
  }

  #ejection(slot: number): EjectionState {
    let ejection = this.#ejections.get(slot);
    if (ejection === undefined) {
      ejection = newEjectionState();
      this.#ejections.set(slot, ejection);
    }
    return ejection;
  }
}
