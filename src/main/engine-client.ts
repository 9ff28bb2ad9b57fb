// The EngineClient that talks to real engines: plain and TLS (private CAs included), bearer keys,
// a time limit, a bound on the body, no redirects. Owned by main; used for proof and, where the core
// has no watcher of its own, for discovery, scraping and probing; never for clients' requests. A
// fleet of a hundred is asked hundreds of times a second, so it takes undici's bare dispatch: no
// streams, no abort signals.

import { Agent, type Dispatcher } from 'undici';
import type { EndpointSecurity } from '#contracts/endpoint.js';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type {
  ClosableEngineWatcher,
  EngineClient,
  EngineResponse,
  EngineWatch,
} from '#contracts/transport.js';
import { processClock } from '#workers/process-clock.js';

/** A host that does not even accept a connection within this is gone, not slow. */
const CONNECT_TIMEOUT_MS = 1500;
/** Connections per engine: a scrape, a probe and a discovery may run at once. */
const CONNECTIONS_PER_ENGINE = 4;
/** Codes of a connection that the other side closed. */
const LOST: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** One question to an engine. */
interface Question {
  readonly method: 'GET' | 'POST';
  readonly baseUrl: string;
  readonly path: string;
  readonly body: string | null;
  readonly security: EndpointSecurity;
  readonly timeoutMs: number;
}

/** Keeps one agent per trusted CA. */
export class HttpEngineClient implements EngineClient, ClosableEngineWatcher {
  readonly #agents = new Map<string, Agent>();
  /** Who is told of closed connections, by origin. */
  readonly #listeners = new Map<string, Set<() => void>>();

  post(
    baseUrl: string,
    path: string,
    body: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse> {
    return this.#ask({ method: 'POST', baseUrl, path, body, security, timeoutMs });
  }

  watch(baseUrl: string, security: EndpointSecurity, onConnectionLost: () => void): EngineWatch {
    const { origin } = new URL(baseUrl);
    const listeners = this.#listeners.get(origin) ?? new Set();
    this.#listeners.set(origin, listeners);
    listeners.add(onConnectionLost);
    const get = (path: string, timeoutMs: number): Promise<EngineResponse> =>
      this.#ask({ method: 'GET', baseUrl, path, body: null, security, timeoutMs });
    return {
      get,
      scrape: get,
      probe: async (timeoutMs) => (await get('/health', timeoutMs)).status,
      close: () => {
        listeners.delete(onConnectionLost);
        if (listeners.size === 0) this.#listeners.delete(origin);
      },
    };
  }

  /** Closes all connections; running requests fail. */
  async close(): Promise<void> {
    this.#listeners.clear();
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #ask(question: Question): Promise<EngineResponse> {
    const { method, baseUrl, path, body, security } = question;
    const { origin, pathname } = new URL(baseUrl);
    const headers: Record<string, string> = { accept: '*/*' };
    if (security.apiKey !== null) headers['authorization'] = `Bearer ${security.apiKey}`;
    if (body !== null) headers['content-type'] = 'application/json';
    return new Promise((resolve, reject) => {
      // undici's own time limits run per part of an answer; this one is for all of it.
      const request = {
        origin,
        path: `${pathname === '/' ? '' : pathname}${path}`,
        method,
        headers,
      };
      const options = { ...request, body, headersTimeout: 0, bodyTimeout: 0 };
      this.#agent(security.caPem).dispatch(options, new AnswerReader(question, resolve, reject));
    });
  }

  #agent(caPem: string | null): Agent {
    const key = caPem ?? '';
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = new Agent({
        connections: CONNECTIONS_PER_ENGINE,
        connect: { timeout: CONNECT_TIMEOUT_MS, ...(caPem === null ? {} : { ca: caPem }) },
      });
      agent.on('disconnect', (origin: URL, _targets: unknown, error: Error) => {
        // Others are our own doing: idle for too long, or the engine had said that it would close.
        if (!('code' in error && LOST.has(String(error.code)))) return;
        for (const tell of this.#listeners.get(origin.origin) ?? []) tell();
      });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

/** Gathers one answer, within its time and the bound on bodies. */
class AnswerReader implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: EngineResponse) => void;
  readonly #reject: (error: Error) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #controller: Dispatcher.DispatchController | null = null;
  readonly #cancel: () => void;

  constructor(
    { timeoutMs }: Question,
    resolve: (answer: EngineResponse) => void,
    reject: (error: Error) => void,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#cancel = processClock.after(timeoutMs, () => {
      const error = new Error(`no answer within ${timeoutMs} ms`);
      this.#fail(Object.assign(error, { name: 'TimeoutError' }));
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes <= ENGINE_BODY_BYTES_MAX) this.#chunks.push(chunk);
    else this.#fail(new Error(`an answer of more than ${ENGINE_BODY_BYTES_MAX} bytes`));
  }

  onResponseEnd(): void {
    this.#cancel();
    const [only] = this.#chunks;
    const whole =
      only !== undefined && this.#chunks.length === 1
        ? only
        : Buffer.concat(this.#chunks, this.#bytes);
    this.#resolve({ status: this.#status, body: whole.toString('utf8') });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#cancel();
    this.#reject(error);
  }

  /** Gives up; the first reason counts. */
  #fail(error: Error): void {
    this.#cancel();
    this.#reject(error);
    this.#controller?.abort(error);
  }
}
