// Connections to one instance of an endpoint. One undici Client is one connection and carries one
// request at a time, so that the caller knows whether its connection had been used before; the
// freshest idle one is taken first. A retired upstream closes when its last request has ended.

import { buildConnector, Client } from 'undici';
import type { Endpoint } from '#contracts/endpoint.js';
import type { DataPlaneTimeouts } from '#core/data-plane-timeouts.js';

/** Idle connections kept to one endpoint. */
const IDLE_CONNECTIONS_MAX = 256;
/** Bytes of an answer's head. */
const ANSWER_HEAD_BYTES_MAX = 64 * 1024;

/** One connection, held by one request. */
export interface UpstreamConnection {
  readonly client: Client;
  /** Answers completed since the connection was made. */
  served: number;
  idle: boolean;
}

export class Upstream {
  readonly endpoint: Endpoint;
  readonly basePath: string;
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #idle: UpstreamConnection[] = [];
  #retired = false;

  /** Throws when the endpoint's URL cannot be used. */
  constructor(endpoint: Endpoint, timeouts: DataPlaneTimeouts) {
    const url = new URL(endpoint.url);
    this.endpoint = endpoint;
    this.#origin = url.origin;
    this.basePath = url.pathname === '/' ? '' : url.pathname;
    const { caPem } = endpoint.security;
    this.#options = {
      connect: buildConnector({
        timeout: timeouts.connectMs,
        ...(caPem === null ? {} : { ca: caPem }),
      }),
      // The plane keeps its own time limits; undici's would also run while a client is slow.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: timeouts.engineKeepAliveMs,
      maxHeaderSize: ANSWER_HEAD_BYTES_MAX,
      pipelining: 1,
    };
  }

  /** Takes an idle connection, or a new one; always a new one when `fresh`. */
  acquire(fresh: boolean): UpstreamConnection {
    const kept = fresh ? undefined : this.#idle.pop();
    if (kept !== undefined) {
      kept.idle = false;
      return kept;
    }
    const connection: UpstreamConnection = {
      client: new Client(this.#origin, this.#options),
      served: 0,
      idle: false,
    };
    connection.client.on('connect', () => {
      connection.served = 0;
    });
    connection.client.on('disconnect', () => this.#onDisconnect(connection));
    return connection;
  }

  /** Gives back a connection whose answer was read to its exact end. */
  release(connection: UpstreamConnection): void {
    connection.served += 1;
    if (this.#retired || this.#idle.length >= IDLE_CONNECTIONS_MAX) {
      this.discard(connection);
      return;
    }
    connection.idle = true;
    this.#idle.push(connection);
  }

  /** Cuts a connection at once: its request was given up, or it broke. */
  discard(connection: UpstreamConnection): void {
    connection.client.destroy(null, ignore);
  }

  /** No request comes any more; running ones keep their connections. */
  retire(): void {
    this.#retired = true;
    for (const connection of this.#idle.splice(0)) this.discard(connection);
  }

  #onDisconnect(connection: UpstreamConnection): void {
    if (!connection.idle) return;
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    this.discard(connection);
  }
}

function ignore(): void {}
