// The time limits of both data planes, with their defaults.

import {
  CLIENT_STALL_TIMEOUT_MS,
  HEADERS_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
} from '#contracts/limits.js';

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
  /** From a request's head to the last byte of its answer, whoever is waited for. */
  readonly totalMs: number;
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
  totalMs: 0,
};
