// HTTP towards engines outside the data plane: what is asked of them all the time (what they are, their
// load, whether they live), and proofs.

import type { EndpointSecurity } from './endpoint.js';

export interface EngineResponse {
  readonly status: number;
  readonly body: string;
}

/**
 * Posts one small question to an engine, answered within the time and ENGINE_BODY_BYTES_MAX. Any
 * status is an answer; rejects when there is none, with an Error that says why (not where), named
 * `TimeoutError` when the engine was connected to but did not answer in time.
 */
export interface EngineClient {
  post(
    baseUrl: string,
    path: string,
    body: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse>;
}

/** Where engines have their metrics as text: nearly all, and TensorRT-LLM, whose /metrics is JSON. */
export const METRICS_PATHS = ['/metrics', '/prometheus/metrics'] as const;
export type MetricsPath = (typeof METRICS_PATHS)[number];

/** Lines of a /metrics text that are read. */
export interface WantedLines {
  /** Names of series; all their samples are read. */
  readonly names: readonly string[];
  /** The first line that begins with each of these is read too. */
  readonly beginnings: readonly string[];
}

/** One engine that is asked all the time. Answers have the bounds of an EngineClient's. */
export interface EngineWatch {
  /** Asks for metrics. The body has at least the wanted lines, in their order. */
  scrape(path: MetricsPath, timeoutMs: number): Promise<EngineResponse>;
  /** Asks for /health; only the status counts. */
  probe(timeoutMs: number): Promise<number>;
  get(path: string, timeoutMs: number): Promise<EngineResponse>;
  /** Nothing is asked any more. */
  close(): void;
}

/** Keeps connections to engines. */
export interface EngineWatcher {
  /**
   * Begins to watch an engine, without asking it yet. `onConnectionLost` is called when it has
   * closed a connection: a process that died says so first in this way.
   */
  watch(baseUrl: string, security: EndpointSecurity, onConnectionLost: () => void): EngineWatch;
}

/** An EngineWatcher that its owner closes, connections and all; what is asked then rejects. */
export interface ClosableEngineWatcher extends EngineWatcher {
  close(): Promise<void>;
}
