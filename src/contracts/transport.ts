// HTTP towards engines outside the data plane: scraping, probing, discovery, proof.

import type { EndpointSecurity } from './endpoint.js';

export interface EngineResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Fetches one small answer from an engine, within the time and ENGINE_BODY_BYTES_MAX. Any status
 * is an answer; rejects when there is none, with an Error named `TimeoutError` when the engine was
 * connected to but did not answer in time.
 */
export interface EngineClient {
  get(
    baseUrl: string,
    path: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse>;
  post(
    baseUrl: string,
    path: string,
    body: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse>;
  /**
   * Calls `listener` with the origin of an engine that has closed a connection: a process that died
   * says so first in this way.
   */
  onConnectionLost(listener: (origin: string) => void): void;
}
