// What the native data plane is given: its store, clock and logger, where it listens, on how many
// threads, and its time limits with their defaults.

import type { Clock } from '#contracts/clock.js';
import {
  CLIENT_STALL_TIMEOUT_MS,
  HEADERS_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
} from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import type { NativeRequestStore } from '../request-store.js';

/** Time limits, milliseconds; 0 never expires. */
export interface DataPlaneTimeouts {
  /** For a client to send its head. */
  readonly headersMs: number;
  /** For a client to send its whole request. */
  readonly requestMs: number;
  /** For an idle client connection to be kept. */
  readonly keepAliveMs: number;
  /** For a client to take what is sent to it. */
  readonly clientStallMs: number;
  /** For an engine to accept a connection, TLS included. */
  readonly connectMs: number;
  /** For an engine to send the first byte of an answer's body: queueing and prefill. */
  readonly firstByteMs: number;
  /** Between two bytes of an answer. */
  readonly idleMs: number;
  /** For an idle engine connection to be kept; below the 5 s of uvicorn. */
  readonly engineKeepAliveMs: number;
  /** For the handler to decide, before the endpoint with the fewest requests is taken instead. */
  readonly decideMs: number;
}

export const DEFAULT_TIMEOUTS: DataPlaneTimeouts = {
  headersMs: HEADERS_TIMEOUT_MS,
  requestMs: REQUEST_TIMEOUT_MS,
  keepAliveMs: 75_000,
  clientStallMs: CLIENT_STALL_TIMEOUT_MS,
  connectMs: 5_000,
  firstByteMs: 600_000,
  idleMs: 300_000,
  engineKeepAliveMs: 4_000,
  decideMs: 100,
};

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
  readonly timeouts?: Partial<DataPlaneTimeouts>;
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
