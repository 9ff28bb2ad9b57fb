// Makes the parts that share memory and hands each what it needs of the others: request store, prompt
// encoder, event workers, data plane, pipeline, admin port. Called once by compose.ts; starts nothing.

import { randomBytes } from 'node:crypto';
import { buildPolicy, looksAtPrompts } from '#config/build-policy.js';
import type { Configuration } from '#config/configuration.js';
import type {
  BlockIndexOwner,
  CoreParts,
  DataPlane,
  OwnPick,
  PromptEncoder,
  SharedMemory,
} from '#contracts/core.js';
import { DECISIONS_KEPT } from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import type { Policy } from '#contracts/plugin.js';
import type { Random } from '#contracts/random.js';
import type { HistoryUsage } from '#contracts/routing-history.js';
import { SharedState } from '#contracts/scheduling.js';
import { publisherMemoryBytes } from '#contracts/shared-layout.js';
import type { EngineClient } from '#contracts/transport.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { findTokenizer } from '#core/tokenizer-source.js';
import type { FleetManager } from '#fleet/fleet-manager.js';
import type { RouterMetrics } from '#observability/metrics.js';
import { PublisherStats } from '#observability/publisher-stats.js';
import { Decider } from '#request/decide.js';
import { DecisionRing } from '#request/decision-ring.js';
import { Histories } from '#request/histories.js';
import { RequestPriorities } from '#request/objective.js';
import { ownPick } from '#request/own-pick.js';
import { RequestPipeline } from '#request/pipeline.js';
import { ModelRewrites } from '#request/rewrite.js';
import { PromptScorer } from '#request/score-prompt.js';
import { processClock } from '#workers/process-clock.js';
import { AdminServer } from './admin.js';
import { tokenizerEnvironment } from './configuration.js';
import type { ChosenCore } from './core-choice.js';
import { EventWorkers, eventWorkerUrl } from './event-workers.js';
import { indexGeometry } from './index-geometry.js';
import { isoNow } from './iso-time.js';
import { localHandlers } from './local-handlers.js';
import { ModelCoordinator } from './models.js';
import { type RouterReports, routerReports } from './reports.js';
import { routeOfBody } from './score-route.js';
import { dataPlaneThreadCount, promptWorkerCount } from './start-up.js';

const PROMPT_WORKER_URL: URL = new URL('../workers/prompt.worker.js', import.meta.url);
/** A publisher whose connection is down for longer no longer counts. */
const PUBLISHER_STALE_AFTER_MS = 30_000;

/** What exists before the shared memory does. */
export interface AssemblyInput {
  readonly configuration: Configuration;
  readonly chosen: ChosenCore;
  readonly logger: Logger;
  readonly random: Random;
  readonly client: EngineClient;
  readonly fleet: FleetManager;
  readonly metrics: RouterMetrics;
  readonly draining: () => boolean;
}

/** What is made of it. */
export interface Assembly {
  readonly plane: DataPlane;
  readonly ownPick: OwnPick;
  readonly pipeline: RequestPipeline;
  readonly encoder: PromptEncoder;
  readonly eventWorkers: EventWorkers;
  readonly histories: Histories;
  readonly models: ModelCoordinator;
  readonly admin: AdminServer;
}

export function assemble(input: AssemblyInput): Assembly {
  const { configuration, fleet, metrics, draining } = input;
  const { core } = input.chosen;
  const memory = allocate(input);
  const hashSecret = configuration.index.hashSecret ?? randomBytes(8).readBigUInt64LE();
  const index = core.openIndexOwner(memory.index);
  const { store, encoder, plane, history } = createParts(input, memory, hashSecret);
  const eventWorkers = createEventWorkers(input, memory, index, hashSecret);
  const histories = new Histories({
    history,
    defer: setImmediate,
    onStuck: () => eventWorkers.recover(),
  });
  const models = createModelCoordinator(input, encoder);
  const publishers = new PublisherStats(memory.publishers);
  const parts = { fleet, models, encoder, eventWorkers, index, publishers, store, plane, metrics };
  const usage = (slot: number): HistoryUsage | null => history.usage(slot);
  const reports = routerReports({ ...parts, history: usage, chosen: input.chosen, draining });
  const decisions = new DecisionRing(DECISIONS_KEPT);
  const { policy, decider } = createDecider(input);
  const { modelRewrites: rules } = configuration;
  const resolve = decider.resolve.bind(decider);
  const rewrites = new ModelRewrites({ rules, random: input.random, store, resolve });
  const pipeline = createPipeline(input, {
    plane,
    encoder,
    histories,
    decisions,
    reports,
    decider,
    rewrites,
  });
  const scorer = new PromptScorer({
    store,
    encoder,
    decider,
    rewrites,
    clock: processClock,
    isoNow,
    routeOf: routeOfBody,
  });
  return {
    plane,
    ownPick: ownPick(policy, rules),
    pipeline,
    encoder,
    eventWorkers,
    histories,
    models,
    admin: new AdminServer({ reports, decisions, scorer }),
  };
}

function allocate({ configuration, fleet }: AssemblyInput): SharedMemory {
  const { endpointCapacity, blockCapacity } = configuration.index;
  const geometry = indexGeometry(fleet.registry.snapshot(), endpointCapacity, blockCapacity);
  return {
    index: createBlockIndex(geometry),
    requests: createRequestMemory(endpointCapacity),
    publishers: new SharedArrayBuffer(publisherMemoryBytes(endpointCapacity)),
  };
}

function createEventWorkers(
  { configuration, chosen, fleet, random, logger }: AssemblyInput,
  memory: SharedMemory,
  index: BlockIndexOwner,
  hashSecret: bigint,
): EventWorkers {
  return new EventWorkers({
    shards: configuration.events.shards,
    memory,
    index,
    hashSecret,
    staleAfterMs: PUBLISHER_STALE_AFTER_MS,
    clock: processClock,
    random,
    logger,
    workerUrl: eventWorkerUrl(chosen.core.name),
    onPublisher: (slot, state) => fleet.registry.setPublisherState(slot, state),
    onBlockSize: (slot, blockSize) => fleet.reportBlockSize(slot, blockSize),
  });
}

function createModelCoordinator(
  { configuration, client, logger }: AssemblyInput,
  encoder: PromptEncoder,
): ModelCoordinator {
  const configured: Record<string, string> = {};
  for (const [id, { tokenizer }] of Object.entries(configuration.models)) {
    if (tokenizer !== null) configured[id] = tokenizer;
  }
  const environment = tokenizerEnvironment();
  return new ModelCoordinator({
    matchesPrompts: looksAtPrompts(configuration.policy),
    encoder,
    client,
    clock: processClock,
    logger,
    findTokenizer: (id, roots) => {
      for (const root of roots.length > 0 ? roots : [null]) {
        const found = findTokenizer({ id, root }, configured, environment);
        if (found !== null) return found;
      }
      return null;
    },
  });
}

function createParts(
  { configuration, chosen: { core }, logger }: AssemblyInput,
  memory: SharedMemory,
  hashSecret: bigint,
): CoreParts {
  const { listen, timeouts, prompts, dataPlane } = configuration;
  return core.createParts({
    memory,
    hashSecret,
    clock: processClock,
    logger,
    promptThreads: promptWorkerCount(prompts.workers),
    promptWorkerUrl: PROMPT_WORKER_URL,
    listen,
    timeouts: {
      connectMs: timeouts.connectMs,
      firstByteMs: timeouts.firstByteMs,
      idleMs: timeouts.stallMs,
      totalMs: timeouts.totalMs,
      decideMs: timeouts.decideMs,
    },
    dataPlane: {
      threads: dataPlaneThreadCount(dataPlane.threads),
      accept: dataPlane.accept,
    },
  });
}

interface PipelineParts {
  readonly plane: DataPlane;
  readonly encoder: PromptEncoder;
  readonly histories: Histories;
  readonly decisions: DecisionRing;
  readonly reports: RouterReports;
  readonly decider: Decider;
  readonly rewrites: ModelRewrites;
}

function createDecider(input: AssemblyInput): {
  readonly policy: Policy;
  readonly decider: Decider;
} {
  const { configuration, fleet, random, metrics, logger } = input;
  const { endpointCapacity } = configuration.index;
  const policy = buildPolicy(configuration.policy, {
    random,
    endpointCapacity,
    metricsStaleAfterMs: configuration.scrape.staleAfterMs,
    shared: new SharedState(),
  });
  const decider = new Decider({
    policy,
    priorities: new RequestPriorities(configuration.objectives, { observer: metrics, logger }),
    endpointCapacity,
    readsSubset: configuration.headers.endpointSubset,
    fleet: fleet.registry,
    clock: processClock,
  });
  return { policy, decider };
}

function createPipeline(
  { configuration, fleet, metrics, logger }: AssemblyInput,
  { plane, encoder, histories, decisions, reports, decider, rewrites }: PipelineParts,
): RequestPipeline {
  return new RequestPipeline({
    ports: {
      plane,
      encoder,
      histories,
      fleet: fleet.registry,
      observer: metrics,
      decisions,
      logger,
      clock: processClock,
      isoNow,
      defer: setImmediate,
    },
    decider,
    rewrites,
    localHandlers: localHandlers(reports, () => fleet.modelList()),
    decisionHeaders: configuration.headers.decision,
  });
}
