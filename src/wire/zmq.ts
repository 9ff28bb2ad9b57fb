// ZeroMQ sockets behind our own interface: subscriber and replay client for event workers,
// publisher and replay server for the simulator. zeromq.js aborts the whole process when a thread
// ends with an open socket, so every socket is in a per-thread registry, `close` is synchronous,
// and a pending `receive` then resolves to null: no loop outlives its socket.

import { Dealer, Publisher, Router, Subscriber } from 'zeromq';
import { EVENT_MESSAGE_BYTES_MAX } from '#contracts/limits.js';
import { decodeSeq, replayRequest } from './frames.js';

/** Whether the socket listens at its address or connects to it. */
export type SocketMode = 'dial' | 'bind';

/**
 * A peer's handshake succeeded, or a peer that had one is gone. With mode `dial` every
 * `connected` is a new connection epoch.
 */
export type PeerChange = 'connected' | 'disconnected';

export interface SubscriberOptions {
  readonly address: string;
  readonly mode: SocketMode;
  /** Prefix of the topics to receive; empty for all. */
  readonly topic: string;
  /** Messages ZeroMQ holds for us before it drops; a drop shows as a gap. */
  readonly receiveHighWaterMark: number;
  /** Called on every change of a connection, from the socket's own event loop turn. */
  readonly onPeer: (change: PeerChange) => void;
}

/** First reconnect after this; ZeroMQ doubles it up to the maximum. */
const RECONNECT_INTERVAL_MS = 100;
const RECONNECT_INTERVAL_MAX_MS = 2_000;
/** A peer that vanished without closing (power, network) is noticed within the timeout. */
const HEARTBEAT_INTERVAL_MS = 5_000;
const HEARTBEAT_TIMEOUT_MS = 15_000;

const CONNECTION = {
  linger: 0,
  reconnectInterval: RECONNECT_INTERVAL_MS,
  reconnectMaxInterval: RECONNECT_INTERVAL_MAX_MS,
  heartbeatInterval: HEARTBEAT_INTERVAL_MS,
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
} as const;

type AnySocket = Dealer | Publisher | Router | Subscriber;

const openSockets = new Set<AnySocket>();
/** Sockets whose monitor is being waited for. */
const followed = new Set<AnySocket>();
/** Turns of the event loop a closed socket's monitor may take; it needs a few. */
const UNFOLLOW_TURNS_MAX = 100_000;

/** Closes every socket this thread has open. A worker calls it before it ends, however it ends. */
export function closeAllSockets(): void {
  for (const socket of [...openSockets]) closeSocket(socket);
}

/** Sockets this thread has open, for leak tests. */
export function openSocketCount(): number {
  return openSockets.size;
}

/** Receives published event messages. */
export class SubscriberSocket {
  readonly #socket: Subscriber;
  readonly #options: SubscriberOptions;
  /** Real address after `open`, with the port the system chose for port 0. */
  address: string;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.address = options.address;
    this.#socket = new Subscriber({
      ...CONNECTION,
      receiveHighWaterMark: options.receiveHighWaterMark,
      maxMessageSize: EVENT_MESSAGE_BYTES_MAX,
    });
    openSockets.add(this.#socket);
  }

  /** Subscribes and connects or binds. Rejects (closed) when the address is unusable or taken. */
  async open(): Promise<void> {
    followPeers(this.#socket, this.#options.onPeer);
    this.#socket.subscribe(this.#options.topic);
    this.address = await attach(this.#socket, this.#options.address, this.#options.mode);
  }

  /** Next message, null once closed. One call at a time. */
  receive(): Promise<Uint8Array[] | null> {
    return receiveFrom(this.#socket);
  }

  /** Whether `receive` would resolve without waiting. */
  get readable(): boolean {
    return !this.#socket.closed && this.#socket.readable;
  }

  close(): void {
    closeSocket(this.#socket);
  }
}

/** Asks an engine's replay socket for buffered batches. */
export class ReplayClient {
  readonly #socket: Dealer;

  /** Connects in the background; a request waits in the socket until the engine is there. */
  constructor(address: string) {
    this.#socket = new Dealer({
      ...CONNECTION,
      ipv6: isIpv6(address),
      receiveHighWaterMark: 0,
      maxMessageSize: EVENT_MESSAGE_BYTES_MAX,
    });
    openSockets.add(this.#socket);
    try {
      this.#socket.connect(address);
    } catch (error) {
      closeSocket(this.#socket);
      throw new Error(`cannot connect to ${address}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Asks for every batch from `startSeq` on; replies come through `receive`. */
  async request(startSeq: bigint): Promise<void> {
    await this.#socket.send(replayRequest(startSeq));
  }

  /** Next reply (see `parseReplayReply`), null once closed. One call at a time. */
  receive(): Promise<Uint8Array[] | null> {
    return receiveFrom(this.#socket);
  }

  close(): void {
    closeSocket(this.#socket);
  }
}

/** Publishes event messages (simulator). */
export class PublisherSocket {
  readonly #socket: Publisher;

  constructor(options: { readonly sendHighWaterMark: number }) {
    this.#socket = new Publisher({ ...CONNECTION, sendHighWaterMark: options.sendHighWaterMark });
    openSockets.add(this.#socket);
  }

  /** Binds or connects; returns the real address. */
  open(address: string, mode: SocketMode): Promise<string> {
    return attach(this.#socket, address, mode);
  }

  /** Calls `onPeer` when a subscriber has come or gone; before `open`. */
  follow(onPeer: (change: PeerChange) => void): void {
    followPeers(this.#socket, onPeer);
  }

  /** Sends to every subscriber; silently dropped for one that is over the high-water mark. */
  async send(message: readonly Uint8Array[]): Promise<void> {
    await this.#socket.send([...message]);
  }

  close(): void {
    closeSocket(this.#socket);
  }
}

/** Who asked for a replay, and from where. */
export interface ReplayRequest {
  readonly peer: Uint8Array;
  readonly startSeq: bigint;
}

/** Answers replay requests (simulator). */
export class ReplayServer {
  readonly #socket: Router;

  /** `sendHighWaterMark` 0 never drops a reply. */
  constructor(options: { readonly sendHighWaterMark: number }) {
    this.#socket = new Router({ ...CONNECTION, sendHighWaterMark: options.sendHighWaterMark });
    openSockets.add(this.#socket);
  }

  /** Binds; returns the real address. */
  open(address: string): Promise<string> {
    return attach(this.#socket, address, 'bind');
  }

  /** Next request, null once closed. Messages of another shape are skipped, as vLLM does. */
  async receive(): Promise<ReplayRequest | null> {
    for (;;) {
      const message = await receiveFrom(this.#socket);
      if (message === null) return null;
      const [peer, , seqBytes] = message;
      if (message.length !== 3 || peer === undefined || seqBytes === undefined) continue;
      const startSeq = decodeSeq(seqBytes);
      if (startSeq !== null) return { peer, startSeq };
    }
  }

  /** Sends one reply (`replayReply`, `replayEnd`) to the asking peer; nothing if it is gone. */
  async reply(peer: Uint8Array, message: readonly Uint8Array[]): Promise<void> {
    await this.#socket.send([peer, ...message]);
  }

  close(): void {
    closeSocket(this.#socket);
  }
}

async function attach(socket: AnySocket, address: string, mode: SocketMode): Promise<string> {
  try {
    socket.ipv6 = isIpv6(address);
    if (mode === 'dial') {
      socket.connect(address);
      return address;
    }
    await socket.bind(address);
    return socket.lastEndpoint ?? address;
  } catch (error) {
    closeSocket(socket);
    const verb = mode === 'dial' ? 'connect to' : 'listen at';
    throw new Error(`cannot ${verb} ${address}: ${messageOf(error)}`, { cause: error });
  }
}

function isIpv6(address: string): boolean {
  return address.includes('[');
}

async function receiveFrom(socket: Dealer | Router | Subscriber): Promise<Uint8Array[] | null> {
  if (socket.closed) return null;
  try {
    return await socket.receive();
  } catch (error) {
    if (socket.closed) return null;
    throw error;
  }
}

function closeSocket(socket: AnySocket): void {
  openSockets.delete(socket);
  if (socket.closed) return;
  socket.close();
  if (followed.has(socket)) stayUntilUnfollowed(socket, 0);
}

/**
 * Keeps the thread's event loop alive until the closed socket's monitor has said its last word: a
 * monitor that is still being waited for when the thread ends aborts the process as an open socket
 * does (zeromq 6.8, destructor of `Observer`).
 */
function stayUntilUnfollowed(socket: AnySocket, turns: number): void {
  if (!followed.has(socket) || turns > UNFOLLOW_TURNS_MAX) return;
  setImmediate(() => stayUntilUnfollowed(socket, turns + 1));
}

/** Reports handshakes and losses until the monitor ends with its socket. Never throws. */
function followPeers(socket: AnySocket, onPeer: (change: PeerChange) => void): void {
  const events = socket.events;
  let peers = 0;
  followed.add(socket);
  const next = async (): Promise<void> => {
    for (;;) {
      let type: string;
      try {
        type = (await events.receive()).type;
      } catch {
        type = 'end';
      }
      if (type === 'end') break;
      if (socket.closed) continue;
      if (type === 'handshake') {
        peers += 1;
        onPeer('connected');
      } else if (type === 'disconnect' && peers > 0) {
        peers -= 1;
        onPeer('disconnected');
      }
    }
    followed.delete(socket);
  };
  void next();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
