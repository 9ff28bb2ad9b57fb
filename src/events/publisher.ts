// One followed publisher: its queue of live frames, its replay, its timer, and the order state that
// ties them together. Subscriptions feed it what its socket receives; it applies frames in order,
// a batch at a time, and keeps its counters. It is the only writer of its slot in the index.

import { assert, assertNever } from '#contracts/assert.js';
import type { Clock } from '#contracts/clock.js';
import type { EventApplier } from '#contracts/core.js';
import type { PublisherState } from '#contracts/endpoint.js';
import type { EventStage, FromEventWorker, Subscription } from '#contracts/messages.js';
import type { Random } from '#contracts/random.js';
import { BlockSizeWatch } from './block-size-watch.js';
import { PublisherCounters } from './counters.js';
import { FrameQueue } from './frame-queue.js';
import { step } from './order.js';
import {
  acceptsLive,
  initialOrderState,
  type OrderAction,
  type OrderEvent,
  type OrderFrame,
  type OrderState,
} from './order-state.js';
import { BATCH_FRAMES } from './receive.js';
import { ReplayRun } from './replay.js';

/** What all publishers of a worker share. */
export interface PublisherHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly staleAfterMs: number;
  readonly counters: Float64Array;
  applier(): EventApplier;
  /** True while the index must not be written. */
  paused(): boolean;
  report(message: FromEventWorker): void;
  /** Test hook: throws when a failure was asked for at that stage. */
  checkpoint(stage: EventStage): void;
  /** A bucket lock has no living owner. */
  indexStuck(): void;
  /** The publisher is dead: its socket need not be listened to. */
  gaveUp(slot: number): void;
}

export class FollowedPublisher {
  readonly subscription: Subscription;
  readonly #host: PublisherHost;
  readonly #counters: PublisherCounters;
  readonly #queue = new FrameQueue();
  #state: OrderState;
  #blockSize: number | null;
  readonly #blockSizeWatch: BlockSizeWatch;
  #held: OrderFrame | null = null;
  #replay: ReplayRun | null = null;
  #connected = false;
  #drainScheduled = false;
  #closed = false;
  #cancelTimer: () => void = () => {};
  #timerAtMs = Number.POSITIVE_INFINITY;
  #shown = '';
  /** Why this publisher's frames cannot be told from another's; null when they can. */
  #contested: string | null = null;
  readonly #warnings = new Map<string, number>();

  constructor(subscription: Subscription, host: PublisherHost) {
    this.subscription = subscription;
    this.#host = host;
    this.#counters = new PublisherCounters(host.counters, subscription.slot);
    this.#blockSize = subscription.blockSize;
    this.#blockSizeWatch = new BlockSizeWatch({
      replayAddress: subscription.source.replayAddress,
      clock: host.clock,
      report: (blockSize) => {
        host.report({ type: 'block-size', slot: subscription.slot, blockSize });
      },
    });
    this.#state = this.#initialState();
    this.#open();
    this.#show();
    this.#armTimer();
  }

  get slot(): number {
    return this.subscription.slot;
  }

  connected(): void {
    this.#connected = true;
    if (this.#blockSize === null) this.#blockSizeWatch.ask();
    else this.#take({ type: 'connected' });
  }

  disconnected(): void {
    this.#connected = false;
    this.#blockSizeWatch.stop();
    this.#take({ type: 'disconnected' });
  }

  /** A live frame of this publisher's stream. */
  offer(frame: OrderFrame): void {
    this.#host.checkpoint('receive');
    this.#counters.add('framesReceived', 1);
    this.#counters.set('lastFrameAtMs', this.#host.clock.nowMs());
    if (this.#state.dead || this.#contested !== null) return;
    if (this.#blockSize === null) this.#blockSizeWatch.look(frame.payload);
    if (!this.#queue.push(frame)) this.#overflow();
    this.#counters.set('queuedFrames', this.#queue.length);
    this.#scheduleDrain();
  }

  malformed(detail: string): void {
    this.#counters.add('framesMalformed', 1);
    this.#warn('event message refused', detail);
  }

  foreign(): void {
    this.#counters.add('framesForeign', 1);
  }

  openFailed(detail: string): void {
    this.#warn('event socket cannot be opened', detail);
  }

  /** The pool's canonical block size: begins, or rebuilds when it has changed. */
  setBlockSize(blockSize: number): void {
    if (blockSize === this.#blockSize) return;
    const first = this.#blockSize === null;
    this.#blockSize = blockSize;
    if (!first) {
      this.restart('the block size of the pool changed');
      return;
    }
    this.#blockSizeWatch.stop();
    this.#state = this.#initialState();
    this.#open();
    if (this.#connected) this.connected();
    this.#show();
    this.#armTimer();
    this.#scheduleDrain();
  }

  /** What this publisher follows, as it is now: enough to begin again. */
  current(): Subscription {
    return { ...this.subscription, blockSize: this.#blockSize };
  }

  get dead(): boolean {
    return this.#state.dead;
  }

  engineRestarted(): void {
    if (this.#blockSize !== null) this.#take({ type: 'engine-restarted' });
  }

  /** Gives up what is under way, because `restart` will ask for it again. */
  pause(): void {
    this.#cancelReplay();
  }

  /** Rebuilds everything from the stream: the index or what the stream means was replaced. */
  restart(reason: string): void {
    if (this.#blockSize === null || this.#suspended() || this.#state.dead) return;
    const { connected } = this.#state;
    this.#open();
    this.#take({ type: 'rebuild', reason });
    if (this.#connected && !connected) this.#take({ type: 'connected' });
    this.#scheduleDrain();
  }

  /** Believes nothing of the stream while another publisher cannot be told from this one. */
  contest(reason: string | null): void {
    if (reason === this.#contested) return;
    this.#contested = reason;
    if (reason === null) {
      this.restart('the stream is its own again');
    } else {
      this.#cancelReplay();
      this.#discardQueued();
      if (this.#blockSize !== null && !this.#host.paused()) this.#host.applier().reset(this.slot);
    }
    this.#show();
  }

  /** Ends following. The slot's content and counters go with it. */
  close(): void {
    this.#closed = true;
    this.#cancelReplay();
    this.#blockSizeWatch.stop();
    this.#cancelTimer();
    this.#queue.clear();
  }

  clearCounters(): void {
    this.#counters.clear();
  }

  #initialState(): OrderState {
    const hasReplay = this.subscription.source.replayAddress !== null;
    const { staleAfterMs, clock } = this.#host;
    return initialOrderState({ hasReplay, staleAfterMs }, clock.nowMs());
  }

  #open(): void {
    if (this.#blockSize === null || this.#host.paused()) return;
    const { slot, pool } = this.subscription;
    const applier = this.#host.applier();
    applier.close(slot);
    applier.open(slot, { pool, blockSize: this.#blockSize });
  }

  /** While true, order neither moves on nor is anything written. */
  #suspended(): boolean {
    return this.#host.paused() || this.#contested !== null;
  }

  #overflow(): void {
    this.#counters.add('framesOverflowed', this.#queue.length + 1);
    this.#discardQueued();
    if (this.#blockSize !== null) this.#take({ type: 'overflow' });
  }

  #scheduleDrain(): void {
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    setImmediate(() => this.#drain());
  }

  /** Applies one batch of live frames; the rest waits for the next turn of the thread. */
  #drain(): void {
    this.#drainScheduled = false;
    for (let frames = 0; frames < BATCH_FRAMES && this.#canDrain(); frames++) {
      const frame = this.#held ?? this.#queue.shift();
      if (frame === null) break;
      this.#held = null;
      this.#host.checkpoint('order');
      this.#take({ type: 'frame', frame });
    }
    this.#counters.set('queuedFrames', this.#queue.length);
    if (this.#canDrain() && (this.#held !== null || this.#queue.length > 0)) this.#scheduleDrain();
  }

  #canDrain(): boolean {
    if (this.#closed || this.#blockSize === null || this.#suspended()) return false;
    return acceptsLive(this.#state);
  }

  #take(event: OrderEvent): void {
    // A lost connection is remembered even then; whatever else happened, `restart` makes up for.
    if (this.#closed || (this.#suspended() && event.type !== 'disconnected')) return;
    const frame = event.type === 'frame' ? event.frame : null;
    const { state, actions } = step(
      this.#state,
      event,
      this.#host.clock.nowMs(),
      this.#host.random,
    );
    this.#state = state;
    for (const action of actions) this.#perform(action, frame);
    this.#show();
    this.#armTimer();
    if (event.type !== 'frame' && event.type !== 'applied') this.#scheduleDrain();
  }

  #perform(action: OrderAction, offered: OrderFrame | null): void {
    switch (action.type) {
      case 'apply':
        this.#apply(action.frame);
        break;
      case 'drop-generation':
        this.#host.applier().reset(this.slot);
        break;
      case 'request-replay':
        this.#requestReplay(action.fromSeq, action.delayMs);
        break;
      case 'cancel-replay':
        this.#cancelReplay();
        break;
      case 'hold':
        assert(offered !== null, 'only an offered frame can be held');
        this.#held = offered;
        break;
      case 'discard-queued':
        this.#discardQueued();
        break;
      case 'count':
        this.#counters.add(action.field, action.by);
        break;
      default:
        assertNever(action);
    }
  }

  #apply(frame: OrderFrame): void {
    this.#host.checkpoint('apply');
    const result = this.#host.applier().apply(this.slot, frame.payload);
    if (result.status === 'index-stuck') {
      this.#host.indexStuck();
      return;
    }
    this.#counters.recordApplied(frame.seq, result);
    if (result.status === 'malformed') this.#warn('event frame cannot be decoded', result.detail);
    else this.#blockSizeWatch.told(result.blockSize);
    this.#take({
      type: 'applied',
      outcome: {
        malformed: result.status === 'malformed',
        cleared: result.cleared,
        unknown: result.unknownParents > 0 || result.unknownBlocks > 0,
      },
    });
  }

  #discardQueued(): void {
    this.#queue.clear();
    this.#held = null;
    this.#counters.set('queuedFrames', 0);
  }

  #requestReplay(fromSeq: number, delayMs: number): void {
    const address = this.subscription.source.replayAddress;
    assert(address !== null, 'a replay needs an address');
    this.#cancelReplay();
    this.#replay = new ReplayRun(
      { address, fromSeq, delayMs, clock: this.#host.clock },
      {
        onReplayFrame: (frame) => this.#take({ type: 'replay-frame', frame }),
        onReplayEnd: () => this.#take({ type: 'replay-end' }),
        onReplayFailed: (reason) => this.#take({ type: 'replay-failed', reason }),
      },
    );
    this.#replay.start();
  }

  #cancelReplay(): void {
    this.#replay?.cancel();
    this.#replay = null;
  }

  #show(): void {
    const { state, reason } = this.#visible();
    if (state === this.#shown) return;
    this.#shown = state;
    if (state === 'dead') this.#host.gaveUp(this.slot);
    this.#host.report({ type: 'publisher', slot: this.slot, state, reason });
  }

  #visible(): { readonly state: PublisherState; readonly reason: string } {
    if (this.#contested !== null) return { state: 'gapped', reason: this.#contested };
    if (this.#blockSize === null) {
      return { state: 'cold', reason: 'the block size of the pool is not known yet' };
    }
    return { state: this.#state.phase, reason: this.#state.reason };
  }

  #armTimer(): void {
    const { wakeAtMs } = this.#state;
    if (wakeAtMs >= this.#timerAtMs || this.#blockSize === null) return;
    this.#cancelTimer();
    this.#timerAtMs = wakeAtMs;
    const delayMs = Math.max(0, wakeAtMs - this.#host.clock.nowMs());
    this.#cancelTimer = this.#host.clock.after(delayMs, () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      // Deadlines move with every frame; the timer is set anew only when it has run out.
      if (this.#host.clock.nowMs() >= this.#state.wakeAtMs) this.#take({ type: 'tick' });
      else this.#armTimer();
    });
  }

  /** Reports the 1st, 2nd, 4th, 8th… of a kind: a hostile stream must not flood the log. */
  #warn(sentence: string, detail: string): void {
    const times = (this.#warnings.get(sentence) ?? 0) + 1;
    this.#warnings.set(sentence, times);
    if ((times & (times - 1)) !== 0) return;
    this.#host.report({ type: 'warning', slot: this.slot, sentence, detail });
  }
}
