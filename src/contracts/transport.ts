// HTTP towards engines outside the data plane: what is asked of them now and then (discovery, proof),
// and what is asked all the time (scraping, probing).

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
}

/** Lines of a /metrics text that are read. */
export interface WantedLines {
  /** Names of series; all their samples are read. */
  readonly names: readonly string[];
  /** The first line that begins with each of these is read too. */
  readonly beginnings: readonly string[];
}

/** What a scrape has brought. */
export interface ScrapedText {
  readonly status: number;
  /** Of the body at least the wanted lines, in their order. */
  readonly text: string;
}

/**
 * One engine that is asked all the time. Questions of a kind are answered one after the other;
 * they reject as those of an EngineClient do.
 */
export interface EngineWatch {
  /** Asks for /metrics, within the time and ENGINE_BODY_BYTES_MAX. */
  scrape(timeoutMs: number): Promise<ScrapedText>;
  /** Asks for /health, whose status is returned. */
  probe(timeoutMs: number): Promise<number>;
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

/** An EngineWatcher that its owner closes: all connections, and what is asked rejects. */
export interface ClosableEngineWatcher extends EngineWatcher {
  close(): Promise<void>;
}
