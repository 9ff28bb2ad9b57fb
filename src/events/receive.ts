// One SUB socket: receives event messages, checks their shape and hands the frames on. It opens
// again with back-off when its address is taken, and anew when a dialled engine stays away, and
// yields the thread between batches, so that a flood on one socket does not starve the others.

import { setImmediate as yieldTurn } from 'node:timers/promises';
import type { Clock } from '#contracts/clock.js';
import { EVENT_FRAME_BYTES_MAX, EVENT_QUEUE_FRAMES_MAX } from '#contracts/limits.js';
import type { Random } from '#contracts/random.js';
import { parseEventMessage } from '#wire/frames.js';
import { type SocketMode, SubscriberSocket } from '#wire/zmq.js';
import type { OrderFrame } from './order-state.js';

/** Messages taken before other work of the thread gets its turn. */
export const BATCH_FRAMES = 64;
const REOPEN_FIRST_MS = 100;
const REOPEN_MAX_MS = 5000;
/**
 * A dialled socket without its peer for this long is replaced: ZeroMQ gives an address up for good
 * after an oversized message or an answer that is not ZeroMQ.
 */
export const REDIAL_AFTER_MS = 5000;

/** What a receiver tells its publishers. */
export interface ReceiverSink {
  onFrame(topic: string, frame: OrderFrame): void;
  /** A message that is no event frame: wrong parts, too long, or a number beyond 2^53. */
  onMalformed(detail: string): void;
  onConnected(): void;
  /** The last peer is gone. */
  onDisconnected(): void;
  onOpenFailed(detail: string): void;
}

export interface ReceiverOptions {
  readonly address: string;
  readonly mode: SocketMode;
  /** Topic prefix to subscribe to; empty for all. */
  readonly topic: string;
  readonly clock: Clock;
  readonly random: Random;
}

export class EventReceiver {
  readonly #options: ReceiverOptions;
  readonly #sink: ReceiverSink;
  #socket: SubscriberSocket | null = null;
  #peers = 0;
  #reopenMs = REOPEN_FIRST_MS;
  #cancelReopen: () => void = () => {};
  #cancelRedial: () => void = () => {};
  #closed = false;

  constructor(options: ReceiverOptions, sink: ReceiverSink) {
    this.#options = options;
    this.#sink = sink;
  }

  get connected(): boolean {
    return this.#peers > 0;
  }

  /** Opens the socket and receives until `close`. Rejects only for a bug in what follows. */
  async run(): Promise<void> {
    for (;;) {
      const socket = await this.#open();
      if (socket === null) return;
      this.#redialLater();
      await this.#receive(socket);
    }
  }

  /** Resolves when the socket is closed, for good or to be replaced. */
  async #receive(socket: SubscriberSocket): Promise<void> {
    for (let taken = 1; ; taken++) {
      const message = await socket.receive();
      if (message === null || this.#closed) return;
      this.#take(message);
      if (taken % BATCH_FRAMES === 0) await yieldTurn();
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelReopen();
    this.#cancelRedial();
    this.#socket?.close();
    this.#socket = null;
    this.#peers = 0;
  }

  async #open(): Promise<SubscriberSocket | null> {
    while (!this.#closed) {
      const { address, mode, topic } = this.#options;
      const socket = new SubscriberSocket({
        address,
        mode,
        topic,
        receiveHighWaterMark: EVENT_QUEUE_FRAMES_MAX,
        onPeer: (change) => this.#peerChanged(change),
      });
      this.#socket = socket;
      try {
        await socket.open();
        return socket;
      } catch (error) {
        if (this.#closed) return null;
        this.#sink.onOpenFailed(error instanceof Error ? error.message : String(error));
        await this.#pause();
      }
    }
    return null;
  }

  #redialLater(): void {
    this.#cancelRedial();
    if (this.#closed || this.connected || this.#options.mode === 'bind') return;
    this.#cancelRedial = this.#options.clock.after(REDIAL_AFTER_MS, () => this.#socket?.close());
  }

  async #pause(): Promise<void> {
    const delayMs = this.#reopenMs * (1 - this.#options.random.next() / 2);
    this.#reopenMs = Math.min(this.#reopenMs * 2, REOPEN_MAX_MS);
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(delayMs, resolve);
      this.#cancelReopen = () => {
        cancel();
        resolve();
      };
    });
  }

  #peerChanged(change: 'connected' | 'disconnected'): void {
    if (this.#closed) return;
    this.#peers = Math.max(0, this.#peers + (change === 'connected' ? 1 : -1));
    if (change === 'connected') this.#sink.onConnected();
    else if (this.#peers === 0) this.#sink.onDisconnected();
    this.#redialLater();
  }

  #take(message: readonly Uint8Array[]): void {
    const parsed = parseEventMessage(message);
    if (parsed === null) {
      this.#sink.onMalformed(`message of ${message.length} parts is no event frame`);
      return;
    }
    const frame = toOrderFrame(parsed.seq, parsed.payload);
    if (typeof frame === 'string') this.#sink.onMalformed(frame);
    else this.#sink.onFrame(parsed.topic, frame);
  }
}

/** Narrows a wire frame to what order.ts takes, or tells what is wrong with it. */
export function toOrderFrame(seq: bigint, payload: Uint8Array): OrderFrame | string {
  if (seq >= BigInt(Number.MAX_SAFE_INTEGER)) return `sequence number ${seq} is out of range`;
  if (payload.length > EVENT_FRAME_BYTES_MAX) return `frame of ${payload.length} bytes is too long`;
  return { seq: Number(seq), payload };
}
