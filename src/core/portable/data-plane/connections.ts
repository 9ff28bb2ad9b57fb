// Client connections and the requests open on each: tells all of them when their client has gone.
// A client that only closes its sending side looks the same as one that has left, until something
// is written: interim 102 answers tell them apart, so that a left client's engine is freed.

import type { Socket } from 'node:net';
import type { Clock } from '#contracts/clock.js';
import type { Exchange } from './exchange.js';

const PROBE_FIRST_MS = 10;
const PROBE_LAST_MS = 10_000;

export interface Connection {
  readonly socket: Socket;
  /** Requests without their `done`, in the order they came. */
  readonly exchanges: Set<Exchange>;
  /** Set once the parser has given it up. */
  isRefused: boolean;
  /** Called when the last answer has been sent. */
  onAnswered: (() => void) | null;
}

export class Connections {
  readonly #clock: Clock;
  readonly #bySocket = new Map<Socket, Connection>();
  /** How many there have been. */
  accepted = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#bySocket.size;
  }

  add(socket: Socket): void {
    const connection: Connection = {
      socket,
      exchanges: new Set(),
      isRefused: false,
      onAnswered: null,
    };
    this.#bySocket.set(socket, connection);
    this.accepted += 1;
    socket.once('end', () => this.#onHalfClosed(connection, PROBE_FIRST_MS));
    socket.once('close', () => {
      this.#bySocket.delete(socket);
      for (const exchange of [...connection.exchanges]) exchange.clientGone();
    });
  }

  /** An exchange needs nothing any more. */
  ended(exchange: Exchange): void {
    const connection = this.of(exchange.request.socket);
    if (connection?.exchanges.delete(exchange) !== true) return;
    if (connection.exchanges.size === 0) connection.onAnswered?.();
  }

  of(socket: Socket): Connection | null {
    return this.#bySocket.get(socket) ?? null;
  }

  all(): Iterable<Connection> {
    return this.#bySocket.values();
  }

  #onHalfClosed(connection: Connection, delayMs: number): void {
    const { socket, exchanges } = connection;
    const [exchange] = exchanges;
    if (exchange === undefined || socket.destroyed) return;
    // Who has left while an answer runs does not come back for its rest; HTTP/1.0 has no 102.
    const leftForGood =
      exchange.state === 'relaying' ||
      exchange.state === 'reading' ||
      exchange.request.httpVersion !== '1.1';
    if (exchange.state !== 'flushing' && leftForGood) {
      socket.destroy();
      return;
    }
    if (exchange.unanswered) exchange.response.writeProcessing();
    this.#clock.after(delayMs, () => {
      if (!exchange.unanswered && exchanges.has(exchange)) return;
      this.#onHalfClosed(connection, Math.min(delayMs * 2, PROBE_LAST_MS));
    });
  }
}
