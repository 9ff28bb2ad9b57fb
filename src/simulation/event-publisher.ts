// The event side of one data-parallel rank: numbers batches, publishes them over a PUB socket,
// keeps the last BUFFER_STEPS for replay and answers replay requests. The driver calls `publish`
// once per engine step. A number is used up for every batch, also for those that a fault loses.

import type { Clock } from '#contracts/clock.js';
import { eventMessage, replayEnd, replayReply } from '#wire/frames.js';
import { PublisherSocket, ReplayServer } from '#wire/zmq.js';
import type { EngineEvent } from './engine-event.js';
import { type EventEncoding, encodeBatch, type HashForm, toWireEvent } from './event-encoding.js';
import type { FaultPlan } from './faults.js';

/** vLLM's defaults (wire-formats §1). */
export const BUFFER_STEPS = 10_000;
export const HIGH_WATER_MARK = 100_000;

export interface PublisherOptions {
  /** Address of the PUB socket, e.g. `tcp://127.0.0.1:0`. */
  readonly address: string;
  /** `bind` listens there; `dial` connects to a subscriber that listens. */
  readonly mode: 'bind' | 'dial';
  /** Address of the replay socket, always bound. */
  readonly replayAddress: string;
  readonly topic: string;
  readonly dataParallelRank: number;
  readonly encoding: EventEncoding;
  readonly hashForm: HashForm;
  /** Replies carry the topic (vLLM ≥ 0.26). */
  readonly replayTopicFrame: boolean;
  readonly clock: Clock;
  readonly unixTimeMs: () => number;
  readonly faults: FaultPlan;
}

interface BufferedBatch {
  readonly seq: bigint;
  readonly payload: Uint8Array;
}

export class EventPublisher {
  readonly #options: PublisherOptions;
  readonly #socket = new PublisherSocket({ sendHighWaterMark: HIGH_WATER_MARK });
  readonly #replay = new ReplayServer({ sendHighWaterMark: 2 * (BUFFER_STEPS + 1) });
  readonly #buffer: BufferedBatch[] = [];
  #oldest = 0;
  #nextSeq = 0n;
  #address = '';
  #replayAddress = '';
  #closed = false;
  /** Messages wait for each other: a PUB socket takes one send at a time. */
  #sending: Promise<void> = Promise.resolve();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Opens both sockets; rejects when an address cannot be used. */
  async start(): Promise<void> {
    this.#address = await this.#socket.open(this.#options.address, this.#options.mode);
    this.#replayAddress = await this.#replay.open(this.#options.replayAddress);
    void this.#serveReplay();
  }

  /** The address with its real port. */
  get address(): string {
    return this.#address;
  }

  get replayAddress(): string {
    return this.#replayAddress;
  }

  get topic(): string {
    return this.#options.topic;
  }

  /** Number of the next batch. */
  get nextSeq(): bigint {
    return this.#nextSeq;
  }

  /** Publishes one step's events. */
  publish(events: readonly EngineEvent[]): void {
    const { encoding, hashForm, dataParallelRank, unixTimeMs, faults } = this.#options;
    const payload = encodeBatch(
      {
        timestampSeconds: unixTimeMs() / 1000,
        events: events.map((event) => toWireEvent(event, hashForm)),
        dataParallelRank,
      },
      encoding,
    );
    const batch = { seq: this.#nextSeq, payload };
    this.#nextSeq += 1n;
    const dropped = faults.strike('dropEvents');
    if (dropped?.fromReplay !== true) this.#keep(batch);
    if (dropped !== null) return;
    const delayed = faults.strike('delayEvents');
    if (delayed === null) this.#send(batch);
    else this.#options.clock.after(delayed.delayMs, () => this.#send(batch));
    if (faults.strike('duplicateEvents') !== null) this.#send(batch);
  }

  /** Closes both sockets; nothing is published afterwards. */
  close(): void {
    this.#closed = true;
    this.#socket.close();
    this.#replay.close();
  }

  #keep(batch: BufferedBatch): void {
    if (this.#buffer.length < BUFFER_STEPS) {
      this.#buffer.push(batch);
      return;
    }
    this.#buffer[this.#oldest] = batch;
    this.#oldest = (this.#oldest + 1) % BUFFER_STEPS;
  }

  #send(batch: BufferedBatch): void {
    const message = eventMessage(this.#options.topic, batch.seq, batch.payload);
    const send = async (): Promise<void> => {
      if (this.#closed) return;
      try {
        await this.#socket.send(message);
      } catch (error) {
        if (!this.#closed) throw error;
      }
    };
    this.#sending = this.#sending.then(send);
  }

  async #serveReplay(): Promise<void> {
    for (;;) {
      const request = await this.#replay.receive();
      if (request === null) return;
      try {
        await this.#answer(request.peer, request.startSeq);
      } catch (error) {
        // A peer that went away while it was answered is its own affair.
        if (this.#closed) return;
        if (!(error instanceof Error)) throw error;
      }
    }
  }

  async #answer(peer: Uint8Array, startSeq: bigint): Promise<void> {
    const withTopic = this.#options.replayTopicFrame;
    const topic = withTopic ? this.#options.topic : null;
    const batches = [...this.#buffer.slice(this.#oldest), ...this.#buffer.slice(0, this.#oldest)];
    for (const { seq, payload } of batches) {
      if (seq >= startSeq) await this.#replay.reply(peer, replayReply(topic, seq, payload));
    }
    await this.#replay.reply(peer, replayEnd(withTopic));
  }
}
