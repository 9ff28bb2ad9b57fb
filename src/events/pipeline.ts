// The path of an event: receive (sockets) → order (sequence, replay) → apply (the core's applier).
// One pipeline per event worker; it takes main's messages and reports back through a callback, so
// it does not know its thread. After `stop` no socket, timer or replay of it is left.

import { assertNever } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type { EventApplier } from '#contracts/core.js';
import type { EventStage, FromEventWorker, ToEventWorker } from '#contracts/messages.js';
import type { Random } from '#contracts/random.js';
import { PublisherCounters } from './counters.js';
import type { PublisherHost } from './publisher.js';
import { Subscriptions } from './subscriptions.js';

/** Buckets swept in one turn of the thread: well below a millisecond. */
const SWEEP_BUCKETS = 1024;
/** Pause between looks for something to sweep. */
const SWEEP_INTERVAL_MS = 250;

export interface EventPipelineOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** A connection down for longer makes a publisher stale. */
  readonly staleAfterMs: number;
  /** The shared `publishers` buffer. */
  readonly publishers: SharedArrayBuffer;
  /** Makes an applier that has written nothing yet; called again after the index was cleared. */
  readonly createApplier: () => EventApplier;
  readonly report: (message: FromEventWorker) => void;
}

export class EventPipeline {
  readonly #options: EventPipelineOptions;
  readonly #counters: Float64Array;
  readonly #subscriptions: Subscriptions;
  #applier: EventApplier;
  #writing = false;
  #paused = false;
  #stuckReported = false;
  #failAt: EventStage | null = null;
  #cancelSweep: () => void = () => {};
  #stopped = false;

  constructor(options: EventPipelineOptions) {
    this.#options = options;
    this.#counters = new Float64Array(options.publishers);
    this.#applier = this.#createApplier();
    this.#subscriptions = new Subscriptions(this.#host());
    this.#scheduleSweep();
  }

  /** True inside a call of the applier: an error that shows then may have left a lock taken. */
  get writing(): boolean {
    return this.#writing;
  }

  /** Takes every message but `stop`, which is the host's. */
  handle(message: Exclude<ToEventWorker, { readonly type: 'stop' }>): void {
    switch (message.type) {
      case 'subscribe':
        this.#subscriptions.add(message.subscription);
        break;
      case 'unsubscribe':
        this.#unsubscribe(message.slot);
        break;
      case 'set-block-size':
        for (const publisher of this.#subscriptions.all()) {
          if (publisher.subscription.pool !== message.pool) continue;
          publisher.setBlockSize(message.blockSize);
        }
        break;
      case 'engine-restarted':
        this.#subscriptions.engineRestarted(message.slot);
        break;
      case 'quiesce':
        this.#pause();
        this.#options.report({ type: 'quiesced' });
        break;
      case 'resume':
        this.#resume();
        break;
      case 'ping':
        this.#options.report({ type: 'pong' });
        break;
      case 'fail-at':
        this.#failAt = message.stage;
        break;
      default:
        assertNever(message);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelSweep();
    this.#subscriptions.close();
  }

  #host(): PublisherHost {
    const { clock, random, staleAfterMs, report } = this.#options;
    return {
      clock,
      random,
      staleAfterMs,
      counters: this.#counters,
      applier: () => this.#applier,
      paused: () => this.#paused,
      report,
      checkpoint: (stage) => this.#checkpoint(stage),
      indexStuck: () => this.#indexStuck(),
      gaveUp: (slot) => this.#subscriptions.gaveUp(slot),
    };
  }

  /** An applier that notes while a write is under way. */
  #createApplier(): EventApplier {
    const applier = this.#options.createApplier();
    const noted = <Result>(write: () => Result): Result => {
      this.#writing = true;
      const result = write();
      this.#writing = false;
      return result;
    };
    return {
      open: (slot, keying) => noted(() => applier.open(slot, keying)),
      apply: (slot, payload) => noted(() => applier.apply(slot, payload)),
      reset: (slot) => noted(() => applier.reset(slot)),
      close: (slot) => noted(() => applier.close(slot)),
      sweep: (bucketCount) => noted(() => applier.sweep(bucketCount)),
    };
  }

  /** Also for a slot never followed here: what a worker that died left is dropped with it. */
  #unsubscribe(slot: number): void {
    this.#subscriptions.remove(slot);
    new PublisherCounters(this.#counters, slot).clear();
    if (!this.#paused) this.#applier.close(slot);
  }

  #checkpoint(stage: EventStage): void {
    if (this.#failAt === stage) throw new Error(`failure asked for at stage ${stage}`);
  }

  #indexStuck(): void {
    this.#pause();
    if (this.#stuckReported) return;
    this.#stuckReported = true;
    this.#options.report({ type: 'index-stuck' });
  }

  #pause(): void {
    this.#paused = true;
    for (const publisher of this.#subscriptions.all()) publisher.pause();
  }

  #resume(): void {
    this.#applier = this.#createApplier();
    this.#paused = false;
    this.#stuckReported = false;
    for (const publisher of this.#subscriptions.all()) {
      publisher.restart('the block index was rebuilt');
    }
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#options.clock.after(SWEEP_INTERVAL_MS, () => this.#sweep());
  }

  /** Goes on while something is left, one slice per turn, so that frames always come in between. */
  #sweep(): void {
    if (this.#stopped) return;
    if (this.#paused || this.#applier.sweep(SWEEP_BUCKETS)) this.#scheduleSweep();
    else setImmediate(() => this.#sweep());
  }
}
