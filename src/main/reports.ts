// What the router tells about itself on both ports: gathers the figures of all modules when asked.

import type { BlockIndexOwner, DataPlane, PromptEncoder, RequestStore } from '#contracts/core.js';
import type { HistoryUsage } from '#contracts/routing-history.js';
import { packageVersion } from '#core/package-version.js';
import type { FleetManager } from '#fleet/fleet-manager.js';
import type { EventWorkerStats } from '#observability/collected-metrics.js';
import type { RouterMetrics } from '#observability/metrics.js';
import type { PublisherStats } from '#observability/publisher-stats.js';
import {
  buildReady,
  buildStatus,
  type ModelStatus,
  type StatusInput,
} from '#observability/status.js';
import { processClock } from '#workers/process-clock.js';
import type { ChosenCore } from './core-choice.js';
import type { EventWorkers } from './event-workers.js';
import type { ModelCoordinator } from './models.js';

/** Answers of /ready, /status and /metrics. */
export interface RouterReports {
  ready(): { readonly status: 200 | 503; readonly body: object };
  status(): object;
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** Everything that has figures to tell. */
export interface ReportedParts {
  readonly chosen: ChosenCore;
  readonly fleet: FleetManager;
  readonly models: ModelCoordinator;
  readonly encoder: PromptEncoder;
  readonly eventWorkers: EventWorkers;
  readonly index: BlockIndexOwner;
  readonly publishers: PublisherStats;
  /** Of the slot's routing history, null where there is none. */
  readonly history: (slot: number) => HistoryUsage | null;
  readonly store: RequestStore;
  readonly plane: DataPlane;
  readonly metrics: RouterMetrics;
  readonly draining: () => boolean;
}

/** Builds the reports; nothing is gathered before somebody asks. */
export function routerReports(parts: ReportedParts): RouterReports {
  const startedAtMs = processClock.nowMs();
  const input = (): StatusInput => statusInput(parts, startedAtMs);
  parts.metrics.collectFrom({
    nowMs: () => processClock.nowMs(),
    fleet: () => parts.fleet.registry.snapshot(),
    publishers: parts.publishers,
    history: parts.history,
    index: () => parts.index.stats(),
    encoder: () => parts.encoder.stats(),
    eventWorkers: () => eventWorkerStats(parts.eventWorkers),
    store: () => parts.store.usage(),
  });
  return {
    ready: () => buildReady(input()),
    status: () => buildStatus(input()),
    metrics: () => parts.metrics.expose(),
  };
}

function statusInput(parts: ReportedParts, startedAtMs: number): StatusInput {
  const nowMs = processClock.nowMs();
  const { slots, bytes } = parts.store.usage();
  return {
    core: { name: parts.chosen.core.name, reason: parts.chosen.reason },
    version: packageVersion(),
    uptimeMs: nowMs - startedAtMs,
    nowMs,
    draining: parts.draining(),
    fleet: parts.fleet.registry.snapshot(),
    unhealthyReason: (slot) => parts.fleet.healthDetail(slot).reason,
    problems: parts.fleet.problems(),
    models: modelStatuses(parts),
    pools: parts.fleet.pools(),
    publishers: parts.publishers,
    history: parts.history,
    index: parts.index.stats(),
    encoder: parts.encoder.stats(),
    eventWorkers: eventWorkerStats(parts.eventWorkers),
    requests: { inFlight: parts.plane.inFlight(), slots, bodyBytes: bytes },
  };
}

function eventWorkerStats(eventWorkers: EventWorkers): EventWorkerStats {
  const shards = eventWorkers.health();
  return {
    workers: shards.length,
    responsive: shards.filter(({ state }) => state === 'running').length,
    lost: shards.reduce((sum, { restarts }) => sum + restarts, 0),
  };
}

function modelStatuses({ fleet, models }: ReportedParts): readonly ModelStatus[] {
  const tokenizers = models.statuses();
  return fleet
    .models()
    .filter((model) => model.slots.length > 0)
    .map(({ id, pool, adapter, maxModelLen }) => {
      const status = tokenizers.get(pool);
      const source = status?.source ?? null;
      return {
        id,
        pool,
        adapter,
        tokenizer:
          source === null
            ? null
            : `${source.kind}: ${'directory' in source ? source.directory : source.engines.map(({ url }) => url).join(', ')}`,
        proof: status?.proof ?? 'no-tokenizer',
        proofReason: status?.reason === '' ? null : (status?.reason ?? null),
        matched: models.isMatched(id),
        maxModelLen,
      };
    });
}
