// The EngineClient that talks to real engines: plain and TLS (private CAs included), bearer keys,
// a time limit, a bound on the body, no redirects. Owned by main; used for scraping, probing,
// discovery and proof, never for clients' requests.

import { Agent, request } from 'undici';
import type { EndpointSecurity } from '#contracts/endpoint.js';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type { EngineClient, EngineResponse } from '#contracts/transport.js';

/** A host that does not even accept a connection within this is gone, not slow. */
const CONNECT_TIMEOUT_MS = 1500;
/** Connections per engine: a scrape, a probe and a discovery may run at once. */
const CONNECTIONS_PER_ENGINE = 4;

/** Keeps one agent per trusted CA. */
export class HttpEngineClient implements EngineClient {
  readonly #agents = new Map<string, Agent>();

  async get(
    baseUrl: string,
    path: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse> {
    return this.#send('GET', `${baseUrl}${path}`, null, security, timeoutMs);
  }

  async post(
    baseUrl: string,
    path: string,
    body: string,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse> {
    return this.#send('POST', `${baseUrl}${path}`, body, security, timeoutMs);
  }

  /** Closes all connections; running requests fail. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  async #send(
    method: 'GET' | 'POST',
    url: string,
    body: string | null,
    security: EndpointSecurity,
    timeoutMs: number,
  ): Promise<EngineResponse> {
    const headers: Record<string, string> = { accept: '*/*' };
    if (security.apiKey !== null) headers['authorization'] = `Bearer ${security.apiKey}`;
    if (body !== null) headers['content-type'] = 'application/json';
    // undici's request follows no redirect: an engine cannot send the key elsewhere.
    const answer = await request(url, {
      method,
      headers,
      body,
      dispatcher: this.#agent(security.caPem),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return {
      status: answer.statusCode,
      headers: flatten(answer.headers),
      body: await readBounded(answer.body, url),
    };
  }

  #agent(caPem: string | null): Agent {
    const key = caPem ?? '';
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = new Agent({
        connections: CONNECTIONS_PER_ENGINE,
        connect: { timeout: CONNECT_TIMEOUT_MS, ...(caPem === null ? {} : { ca: caPem }) },
      });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

async function readBounded(
  body: AsyncIterable<Uint8Array> & { destroy(): unknown },
  url: string,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > ENGINE_BODY_BYTES_MAX) {
      body.destroy();
      throw new Error(`${url} answered more than ${ENGINE_BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString('utf8');
}

function flatten(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Readonly<Record<string, string>> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}
