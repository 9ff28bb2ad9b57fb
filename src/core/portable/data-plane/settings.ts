// What the portable data plane is given: its store, clock and logger, where it listens, and its
// time limits with their defaults.

import type { Clock } from '#contracts/clock.js';
import type { RequestStore } from '#contracts/core.js';
import type { Logger } from '#contracts/logger.js';
import type { DataPlaneTimeouts } from '#core/data-plane-timeouts.js';

export interface DataPlaneOptions {
  readonly store: RequestStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly timeouts?: Partial<DataPlaneTimeouts>;
}

/** Counters of what the handler never hears of. */
export interface DataPlaneStats {
  /** Client connections open now. */
  readonly connections: number;
  /** Reserved or ambiguous request headers that were not passed on. */
  readonly strippedHeaders: number;
  /** Requests answered with an error before they got a handle. */
  readonly refusedRequests: number;
  /** Attempts after the first, on another endpoint. */
  readonly retries: number;
  /** Requests sent once more because a kept connection had died. */
  readonly reconnects: number;
}
