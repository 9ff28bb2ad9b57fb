// One question to an engine's replay socket and its answer, frame by frame. Each run has its own
// socket, so that replies to an abandoned question can never be taken for those to the next.

import { setImmediate as yieldTurn } from 'node:timers/promises';
import type { Clock } from '#contracts/clock.js';
import { parseReplayReply } from '#wire/frames.js';
import { ReplayClient } from '#wire/zmq.js';
import type { OrderFrame } from './order-state.js';
import { BATCH_FRAMES, toOrderFrame } from './receive.js';

export interface ReplaySink {
  onReplayFrame(frame: OrderFrame): void;
  onReplayEnd(): void;
  onReplayFailed(reason: string): void;
}

export interface ReplayOptions {
  readonly address: string;
  readonly fromSeq: number;
  readonly delayMs: number;
  readonly clock: Clock;
}

/** Runs until the end marker, an unusable reply or `cancel`; the sink hears nothing after that. */
export class ReplayRun {
  readonly #options: ReplayOptions;
  readonly #sink: ReplaySink;
  #client: ReplayClient | null = null;
  #cancelDelay: () => void = () => {};
  #over = false;

  constructor(options: ReplayOptions, sink: ReplaySink) {
    this.#options = options;
    this.#sink = sink;
  }

  start(): void {
    const { delayMs, clock } = this.#options;
    this.#cancelDelay = clock.after(delayMs, () => void this.#run());
  }

  cancel(): void {
    this.#over = true;
    this.#cancelDelay();
    this.#client?.close();
    this.#client = null;
  }

  async #run(): Promise<void> {
    const client = this.#connect();
    if (client === null) return;
    await client.request(BigInt(this.#options.fromSeq));
    for (let taken = 1; ; taken++) {
      const message = await client.receive();
      if (message === null || this.#over) return;
      this.#take(message);
      if (this.#over) return;
      if (taken % BATCH_FRAMES === 0) await yieldTurn();
    }
  }

  #connect(): ReplayClient | null {
    try {
      this.#client = new ReplayClient(this.#options.address);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
    return this.#client;
  }

  #take(message: readonly Uint8Array[]): void {
    const reply = parseReplayReply(message);
    if (reply === null) {
      this.#fail('a reply is no event frame');
    } else if (reply.kind === 'end') {
      this.cancel();
      this.#sink.onReplayEnd();
    } else {
      const frame = toOrderFrame(reply.frame.seq, reply.frame.payload);
      if (typeof frame === 'string') this.#fail(frame);
      else this.#sink.onReplayFrame(frame);
    }
  }

  #fail(reason: string): void {
    this.cancel();
    this.#sink.onReplayFailed(reason);
  }
}
