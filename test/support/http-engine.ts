// An HTTP server in an engine's place: one handler for all that is asked, connections are counted.

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TEST_CERTIFICATE, TEST_KEY } from './test-certificate.js';

export interface HttpEngineOptions {
  /** Address to listen at, on a free port. */
  readonly host?: string;
  /** Speaks TLS with the test certificate. */
  readonly secure?: boolean;
}

export class HttpEngine {
  /** Connections made to it so far. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #secure: boolean;
  readonly #host: string;

  private constructor(
    handler: RequestListener,
    { host = '127.0.0.1', secure = false }: HttpEngineOptions,
  ) {
    this.#host = host;
    this.#secure = secure;
    this.#server = secure
      ? createSecureServer({ cert: TEST_CERTIFICATE, key: TEST_KEY }, handler)
      : createServer(handler);
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(
    handler: RequestListener,
    options: HttpEngineOptions = {},
  ): Promise<HttpEngine> {
    const engine = new HttpEngine(handler, options);
    await new Promise<void>((resolve, reject) => {
      engine.#server.once('error', reject);
      engine.#server.listen(0, engine.#host, resolve);
    });
    return engine;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host;
    return `${this.#secure ? 'https' : 'http'}://${host}:${this.port}`;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends it as a process ends: the listener and every connection at once. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }
}
