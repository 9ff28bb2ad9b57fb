// The event side of an engine over real ZeroMQ sockets: publishes frames, keeps a replay buffer and
// answers from it as vLLM does. Frames can be kept from the PUB socket to make a gap.

import { setTimeout as pause, setImmediate as yieldTurn } from 'node:timers/promises';
import type { EventSource } from '#contracts/endpoint.js';
import { eventMessage, replayEnd, replayReply } from '#wire/frames.js';
import { PublisherSocket, ReplayServer } from '#wire/zmq.js';

export interface PublishingEngineOptions {
  /** Router's address when it binds; null: the engine binds a free port. */
  readonly dialAddress: string | null;
  readonly topic: string;
  readonly bufferFrames: number;
  readonly hasReplay: boolean;
  /** False: replies without the topic frame, as vLLM ≤ 0.25.1. */
  readonly replayTopic: boolean;
}

const RESTART_ATTEMPTS = 200;

const DEFAULTS: PublishingEngineOptions = {
  dialAddress: null,
  topic: '',
  bufferFrames: 10_000,
  hasReplay: true,
  replayTopic: true,
};

export class PublishingEngine {
  readonly #options: PublishingEngineOptions;
  /** Keys the engine holds: the truth of the tests. */
  readonly held: Set<number> = new Set();
  #publisher: PublisherSocket | null = null;
  #server: ReplayServer | null = null;
  #address = 'tcp://127.0.0.1:0';
  #replayAddress = 'tcp://127.0.0.1:0';
  #buffer: { readonly seq: number; readonly payload: Uint8Array }[] = [];
  #nextSeq = 0;
  #process = 0;
  #subscribers = 0;
  replaysServed: number = 0;

  constructor(options: Partial<PublishingEngineOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  get subscribers(): number {
    return this.#subscribers;
  }

  get source(): EventSource {
    return {
      address: this.#options.dialAddress ?? this.#address,
      mode: this.#options.dialAddress === null ? 'dial' : 'bind',
      replayAddress: this.#options.hasReplay ? this.#replayAddress : null,
      topic: this.#options.topic === '' ? null : this.#options.topic,
    };
  }

  async start(): Promise<void> {
    const { dialAddress, hasReplay } = this.#options;
    const publisher = new PublisherSocket({ sendHighWaterMark: 0 });
    publisher.follow((change) => {
      this.#subscribers += change === 'connected' ? 1 : -1;
    });
    this.#publisher = publisher;
    if (dialAddress === null) this.#address = await publisher.open(this.#address, 'bind');
    else await publisher.open(dialAddress, 'dial');
    if (!hasReplay) return;
    this.#server = new ReplayServer({ sendHighWaterMark: 0 });
    this.#replayAddress = await this.#server.open(this.#replayAddress);
    void this.#serve(this.#server);
  }

  stop(): void {
    this.#publisher?.close();
    this.#server?.close();
    this.#subscribers = 0;
  }

  /** A new process at the same addresses, with an empty cache. */
  async restart(): Promise<void> {
    this.stop();
    this.held.clear();
    this.#buffer = [];
    this.#nextSeq = 0;
    this.#process += 1;
    await this.#startWhenFree();
  }

  /** The address is free again only some moments after a socket was closed. */
  async #startWhenFree(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.start();
        return;
      } catch (error) {
        this.stop();
        if (attempt === RESTART_ATTEMPTS) throw error;
        await pause(10);
      }
    }
  }

  /** Stores and removes keys in one frame; `lost` keeps it from the PUB socket. */
  async publish(
    add: readonly number[],
    remove: readonly number[] = [],
    lost: boolean = false,
  ): Promise<void> {
    for (const key of remove) this.held.delete(key);
    for (const key of add) this.held.add(key);
    const frame = { process: this.#process, seq: this.#nextSeq, add, remove };
    await this.publishRaw(Buffer.from(JSON.stringify(frame)), lost);
  }

  async publishRaw(payload: Uint8Array, lost: boolean = false): Promise<void> {
    const seq = this.#nextSeq;
    this.#nextSeq += 1;
    this.#buffer.push({ seq, payload });
    if (this.#buffer.length > this.#options.bufferFrames) this.#buffer.shift();
    if (!lost) await this.#publisher?.send(eventMessage(this.#options.topic, BigInt(seq), payload));
  }

  async #serve(server: ReplayServer): Promise<void> {
    for (;;) {
      const asked = await server.receive();
      if (asked === null) return;
      this.replaysServed += 1;
      const { replayTopic, topic } = this.#options;
      for (const { seq, payload } of [...this.#buffer]) {
        if (BigInt(seq) < asked.startSeq) continue;
        // A long answer must not keep the test's own thread from everything else.
        if (seq % 100 === 0) await yieldTurn();
        await server.reply(
          asked.peer,
          replayReply(replayTopic ? topic : null, BigInt(seq), payload),
        );
      }
      await server.reply(asked.peer, replayEnd(replayTopic));
    }
  }
}
