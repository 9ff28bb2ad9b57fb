// Builds the router from a configuration: the only place that makes long-lived objects, general to
// specific. Order matters in `start`: the fleet is asked first, because it says how large the shared
// memory must be; sockets for clients open last, when everything behind them stands.

import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { buildProfile } from '#config/build-profile.js';
import type { Configuration } from '#config/configuration.js';
import type { BlockIndexOwner, DataPlane, PromptEncoder, RequestStore, SharedMemory } from '#contracts/core.js';
import { publisherMemoryBytes } from '#contracts/shared-layout.js';
import { createDataPlane } from '#core/portable/data-plane/data-plane.js';
import { createBlockIndex, openIndexOwner } from '#core/portable/index/owner.js';
import { createPromptEncoder } from '#core/portable/prompt/prompt-encoder.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { FLEET_TIMINGS } from '#fleet/monitor.js';
import { RecentDecisions } from '#observability/decision-log.js';
import { createLogger } from '#observability/log.js';
import { RouterMetrics } from '#observability/metrics.js';
import { RequestPipeline } from '#request/pipeline.js';
import { AdminServer } from './admin.js';
import { createEngineClient } from './engine-client.js';
import { EventWorkers } from './event-workers.js';
import { FleetRelay } from './fleet-relay.js';
import { indexGeometry } from './index-geometry.js';
import { localHandlers } from './local-handlers.js';
import { ModelCoordinator } from './models.js';
import { processClock } from './process-clock.js';
import { processRandom } from './process-random.js';
import { findModelTokenizer } from './tokenizers.js';

/** A router that can be started once and stopped once. */
export interface ComposedRouter {
  /** Base URLs; valid after `start`. */
  readonly url: string;
  readonly adminUrl: string;
  start(): Promise<void>;
  /** Refuses new requests, lets running ones finish within the drain time, closes everything. */
  stop(): Promise<void>;
}
