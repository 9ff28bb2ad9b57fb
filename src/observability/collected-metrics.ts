// Fills in the figures that other modules own (fleet, publishers, index, encoder, workers) at the
// moment somebody scrapes. Everything is read through plain functions given by main.

import type { Gauge } from 'prom-client';
import type { BlockIndexStats } from '#contracts/block-index.js';
import type { PromptEncoderStats } from '#contracts/core.js';
import { type EndpointState, type FleetSnapshot, PUBLISHER_STATES } from '#contracts/endpoint.js';
import type { HistoryUsage } from '#contracts/routing-history.js';
import type { PublisherField } from '#contracts/shared-layout.js';
import type { CounterName, GaugeName } from './metrics-table.js';
import type { PublisherStats } from './publisher-stats.js';
import type { CounterSeries } from './series.js';

/** Event workers as main counts them. */
export interface EventWorkerStats {
  readonly workers: number;
  /** Workers that answer main's questions. */
  readonly responsive: number;
  readonly lost: number;
}

/** Who owns which figure. */
export interface CollectedSources {
  readonly nowMs: () => number;
  readonly fleet: () => FleetSnapshot;
  readonly publishers: PublisherStats;
  /** Of an endpoint's routing history, by slot; null where it has none. */
  readonly history: (slot: number) => HistoryUsage | null;
  readonly index: () => BlockIndexStats;
  readonly encoder: () => PromptEncoderStats;
  readonly eventWorkers: () => EventWorkerStats;
  readonly store: () => { readonly slots: number; readonly bytes: number };
}

/** What collecting needs of the metrics. */
export interface CollectTarget {
  counter(name: CounterName): CounterSeries;
  gauge(name: GaugeName): Gauge;
}

const BY_ENDPOINT: readonly (readonly [CounterName, PublisherField])[] = [
  ['events_received_total', 'framesReceived'],
  ['events_applied_total', 'framesApplied'],
  ['event_gaps_total', 'gaps'],
  ['events_lost_total', 'framesLost'],
  ['publisher_restarts_total', 'restarts'],
  ['blocks_stored_total', 'blocksStored'],
  ['blocks_removed_total', 'blocksRemoved'],
];
/** The second label's value, whatever its name. */
const BY_REASON: readonly (readonly [CounterName, string, PublisherField])[] = [
  ['events_dropped_total', 'malformed', 'framesMalformed'],
  ['events_dropped_total', 'overflow', 'framesOverflowed'],
  ['events_dropped_total', 'duplicate', 'framesDuplicate'],
  ['events_dropped_total', 'foreign', 'framesForeign'],
  ['event_entries_skipped_total', 'unknown-parent', 'unknownParents'],
  ['event_entries_skipped_total', 'unknown-block', 'unknownBlocks'],
  ['event_entries_skipped_total', 'unknown-event', 'unknownEvents'],
  ['event_entries_skipped_total', 'index-full', 'indexFull'],
  ['event_replays_total', 'asked', 'replays'],
  ['event_replays_total', 'failed', 'replaysFailed'],
];
const ENDPOINT_GAUGES: readonly GaugeName[] = [
  'endpoint_healthy',
  'endpoint_in_flight_requests',
  'endpoint_in_flight_prompt_tokens',
  'endpoint_waiting_requests',
  'endpoint_running_requests',
  'endpoint_kv_cache_usage_ratio',
  'endpoint_metrics_age_seconds',
  'publisher_state',
  'event_queue_frames',
  'history_blocks',
  'history_blocks_max',
];

/** Sets every collected metric to what its owner says now. */
export function collectInto(target: CollectTarget, sources: CollectedSources): void {
  collectEndpoints(target, sources);
  collectIndex(target, sources.index());
  const encoder = sources.encoder();
  target.gauge('prompt_workers').set(encoder.workers);
  target.gauge('prompt_queue_requests').set(encoder.queued);
  setCounter(target, 'prompt_workers_lost_total', encoder.workersLost);
  setCounter(target, 'prefix_cache_hits_total', encoder.prefixCacheHits);
  setCounter(target, 'prefix_cache_lookups_total', encoder.prefixCacheLookups);
  const eventWorkers = sources.eventWorkers();
  target.gauge('event_workers').set(eventWorkers.responsive);
  setCounter(target, 'event_workers_lost_total', eventWorkers.lost);
  const store = sources.store();
  target.gauge('request_slots_in_use').set(store.slots);
  target.gauge('request_body_bytes').set(store.bytes);
}

function collectEndpoints(target: CollectTarget, sources: CollectedSources): void {
  // Endpoints that left must not go on being reported.
  for (const key of ENDPOINT_GAUGES) target.gauge(key).reset();
  for (const [key] of [...BY_ENDPOINT, ...BY_REASON]) target.counter(key).reset();
  for (const state of sources.fleet().bySlot) {
    if (state === null) continue;
    collectEndpoint(target, state, sources.nowMs());
    collectPublisher(target, state, sources.publishers);
    collectHistory(target, state, sources.history(state.endpoint.slot));
  }
}

function collectEndpoint(target: CollectTarget, state: EndpointState, nowMs: number): void {
  const labels = { endpoint: state.endpoint.name };
  const { reported, inFlight } = state;
  target.gauge('endpoint_healthy').set(labels, state.healthy ? 1 : 0);
  target.gauge('endpoint_in_flight_requests').set(labels, inFlight.requests);
  target.gauge('endpoint_in_flight_prompt_tokens').set(labels, inFlight.uncachedPromptTokens);
  if (!Number.isFinite(state.scrapedAtMs)) return;
  target.gauge('endpoint_waiting_requests').set(labels, reported.waitingRequests);
  target.gauge('endpoint_running_requests').set(labels, reported.runningRequests);
  target.gauge('endpoint_kv_cache_usage_ratio').set(labels, reported.kvCacheUsage);
  target
    .gauge('endpoint_metrics_age_seconds')
    .set(labels, Math.max(0, nowMs - state.scrapedAtMs) / 1e3);
}

function collectPublisher(
  target: CollectTarget,
  state: EndpointState,
  publishers: PublisherStats,
): void {
  if (state.endpoint.events === null) return;
  const { slot, name: endpoint } = state.endpoint;
  collectState(target, state);
  target.gauge('event_queue_frames').set({ endpoint }, publishers.field(slot, 'queuedFrames'));
  for (const [key, field] of BY_ENDPOINT) {
    target.counter(key).inc(publishers.field(slot, field), endpoint);
  }
  for (const [key, value, field] of BY_REASON) {
    target.counter(key).inc(publishers.field(slot, field), endpoint, value);
  }
}

function collectState(target: CollectTarget, state: EndpointState): void {
  const endpoint = state.endpoint.name;
  for (const known of PUBLISHER_STATES) {
    const value = state.publisher === known ? 1 : 0;
    target.gauge('publisher_state').set({ endpoint, state: known }, value);
  }
}

function collectHistory(
  target: CollectTarget,
  state: EndpointState,
  usage: HistoryUsage | null,
): void {
  if (usage === null) return;
  const endpoint = state.endpoint.name;
  collectState(target, state);
  target.gauge('history_blocks').set({ endpoint }, usage.blocks);
  target.gauge('history_blocks_max').set({ endpoint }, usage.capacityBlocks);
}

function collectIndex(target: CollectTarget, stats: BlockIndexStats): void {
  target.gauge('index_blocks').set(stats.blocks);
  target.gauge('index_blocks_max').set(stats.blockCapacity);
  target.gauge('index_bytes').set(stats.bytes);
  target.gauge('index_endpoint_sets').set(stats.sets);
  target.gauge('index_endpoint_sets_max').set(stats.setCapacity);
  target.gauge('index_epoch').set(stats.epoch);
  setCounter(target, 'index_rejected_total', stats.rejected);
}

/** Takes over a count that its owner keeps. */
function setCounter(target: CollectTarget, name: CounterName, value: number): void {
  const counter = target.counter(name);
  counter.reset();
  counter.inc(value);
}
