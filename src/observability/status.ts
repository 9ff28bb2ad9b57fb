// Builds the answers of /ready and /status from plain figures that main gathers. Everything a
// person needs to see why routing is or is not precise is in /status; secrets never are.

import type { BlockIndexStats } from '#contracts/block-index.js';
import type { PromptEncoderStats } from '#contracts/core.js';
import type { EndpointState, FleetSnapshot, ServedModel } from '#contracts/endpoint.js';
import type { HistoryUsage } from '#contracts/routing-history.js';
import type { EventWorkerStats } from './collected-metrics.js';
import type { PublisherCounters, PublisherStats } from './publisher-stats.js';

/** Which core runs, and why it is not the one wished for (null when it is). */
export interface CoreStatus {
  readonly name: string;
  readonly reason: string | null;
}

/** One model: where its tokenizer comes from and whether it is trusted. */
export interface ModelStatus {
  readonly id: string;
  readonly pool: string;
  readonly adapter: string;
  readonly tokenizer: string | null;
  /** `proven`, or why precise scoring is off. */
  readonly proof: string;
  /** Whether prompts are looked up in the block index; until then they are routed by load. */
  readonly matched: boolean;
  readonly maxModelLen: number | null;
}

export interface PoolStatus {
  readonly pool: string;
  readonly blockSize: number | null;
  readonly endpoints: number;
}

/** Everything /status and /ready are made from. */
export interface StatusInput {
  readonly core: CoreStatus;
  readonly version: string;
  readonly uptimeMs: number;
  readonly nowMs: number;
  readonly draining: boolean;
  readonly fleet: FleetSnapshot;
  /** Why an endpoint is held back, by slot; null when nothing holds it back. */
  readonly unhealthyReason: (slot: number) => string | null;
  /** Addresses that could not be discovered, with the reason. */
  readonly problems: ReadonlyMap<string, string>;
  readonly models: readonly ModelStatus[];
  readonly pools: readonly PoolStatus[];
  readonly publishers: PublisherStats;
  /** Of an endpoint's routing history, by slot; null where it has none. */
  readonly history: (slot: number) => HistoryUsage | null;
  readonly index: BlockIndexStats;
  readonly encoder: PromptEncoderStats;
  readonly eventWorkers: EventWorkerStats;
  readonly requests: {
    readonly inFlight: number;
    readonly slots: number;
    readonly bodyBytes: number;
  };
}

/** What /ready answers. */
export interface ReadyReport {
  readonly status: 200 | 503;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Ready means: not shutting down, and at least one endpoint may be chosen. */
export function buildReady(input: StatusInput): ReadyReport {
  const states = statesOf(input.fleet);
  const healthy = states.filter((state) => state.healthy && !state.draining).length;
  const matchedModels = input.models.filter(({ matched }) => matched).length;
  const { workers, responsive } = input.eventWorkers;
  const ready = !input.draining && healthy > 0;
  return {
    status: ready ? 200 : 503,
    body: {
      ready,
      reason: ready ? null : input.draining ? 'shutting down' : 'no endpoint is healthy',
      core: input.core.name,
      coreReason: input.core.reason,
      endpoints: { total: states.length, healthy },
      // Routing goes on without them, but not by what engines hold.
      models: { total: input.models.length, matched: matchedModels },
      eventWorkers: { total: workers, responsive },
    },
  };
}

/** The body of /status. */
export function buildStatus(input: StatusInput): Readonly<Record<string, unknown>> {
  const { core, version, draining, models, pools, index, encoder, eventWorkers } = input;
  return {
    core,
    version,
    uptimeSeconds: Math.floor(input.uptimeMs / 1e3),
    draining,
    ready: buildReady(input).status === 200,
    fleet: { epoch: input.fleet.epoch, problems: Object.fromEntries(input.problems) },
    models,
    pools,
    endpoints: statesOf(input.fleet).map((state) => endpointStatus(state, input)),
    index,
    requests: input.requests,
    promptWorkers: encoder,
    eventWorkers,
  };
}

function endpointStatus(
  state: EndpointState,
  input: StatusInput,
): Readonly<Record<string, unknown>> {
  const { endpoint } = state;
  const scraped = Number.isFinite(state.scrapedAtMs);
  return {
    endpoint: endpoint.name,
    slot: endpoint.slot,
    url: endpoint.url,
    dpRank: endpoint.dpRank,
    engine: endpoint.engine,
    labels: endpoint.labels,
    models: endpoint.models.map((model: ServedModel) => model.id),
    healthy: state.healthy,
    unhealthyReason: state.healthy ? null : input.unhealthyReason(endpoint.slot),
    draining: state.draining,
    blockSize: endpoint.blockSize,
    gpuBlocks: endpoint.gpuBlocks,
    cacheTokens: endpoint.cacheTokens,
    inFlight: { ...state.inFlight },
    load: scraped
      ? {
          ...state.reported,
          // JSON knows no sets.
          runningAdapters: [...state.reported.runningAdapters],
          waitingAdapters: [...state.reported.waitingAdapters],
        }
      : null,
    loadAgeSeconds: scraped ? seconds(input.nowMs - state.scrapedAtMs) : null,
    events: eventsStatus(state, input),
    // What is believed of an engine without events.
    history: input.history(endpoint.slot),
  };
}

function eventsStatus(
  state: EndpointState,
  input: StatusInput,
): Readonly<Record<string, unknown>> | null {
  const source = state.endpoint.events;
  if (source === null) return null;
  const { lastFrameAtMs, ...counters }: PublisherCounters = input.publishers.counters(
    state.endpoint.slot,
  );
  return {
    state: state.publisher,
    // A topic tells publishers apart only where they share a socket the router listens on.
    identity: source.mode === 'bind' && source.topic !== null ? 'topic' : 'socket',
    source,
    lastFrameAgeSeconds: lastFrameAtMs > 0 ? seconds(input.nowMs - lastFrameAtMs) : null,
    ...counters,
  };
}

function statesOf(fleet: FleetSnapshot): readonly EndpointState[] {
  return fleet.bySlot.filter((state) => state !== null);
}

/** Milliseconds as seconds, to the millisecond. */
function seconds(ms: number): number {
  return Math.max(0, Math.round(ms)) / 1e3;
}
