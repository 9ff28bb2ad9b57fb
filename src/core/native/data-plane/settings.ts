// What the native data plane is given: its store, clock and logger, where it listens, on how many
// threads, and its time limits with their defaults.

import type { Clock } from '#contracts/clock.js';
import type { Logger } from '#contracts/logger.js';
import { type DataPlaneTimeouts, DEFAULT_TIMEOUTS } from '#core/data-plane-timeouts.js';
import type { NativeRequestStore } from '../request-store.js';

/** Time limits, milliseconds; 0 never expires. */
export interface NativePlaneTimeouts extends DataPlaneTimeouts {
  /** For the handler to decide, before the endpoint with the fewest requests is taken instead. */
  readonly decideMs: number;
}

export const NATIVE_TIMEOUTS: NativePlaneTimeouts = { ...DEFAULT_TIMEOUTS, decideMs: 200 };

/** Who takes a new client connection: the kernel spreads them, or the least loaded thread. */
export type AcceptMode = 'shared' | 'least-loaded';

export interface DataPlaneOptions {
  readonly store: NativeRequestStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Threads that carry bytes. */
  readonly threads: number;
  readonly accept: AcceptMode;
  readonly timeouts?: Partial<NativePlaneTimeouts>;
  /** Time only moves by `setTime`. Off but in tests. */
  readonly manualClock?: boolean;
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
  /** Requests forwarded by the native pick, because the handler missed its limit. */
  readonly policyMissed: number;
  /** Decisions of the handler that came too late for that reason. */
  readonly lateOrders: number;
}
