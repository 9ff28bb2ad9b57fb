// One engine of a recording as its event worker would follow it: the same order step, with the
// recorded frames as its live stream and as the engine's replay buffer, under virtual time. No
// order decision is made here.

import { assertNever } from '#contracts/assert.js';
import type { EventApplier } from '#contracts/core.js';
import type { Random } from '#contracts/random.js';
import type { PublisherField } from '#contracts/shared-layout.js';
import { step } from '#events/order.js';
import {
  acceptsLive,
  initialOrderState,
  type OrderAction,
  type OrderEvent,
  type OrderFrame,
  type OrderState,
} from '#events/order-state.js';

export interface RecordedPublisherOptions {
  readonly slot: number;
  readonly applier: EventApplier;
  readonly random: Random;
  /** Whether missing frames can be asked for. */
  readonly canReplay: boolean;
}

/** Batches an engine keeps for replay (vLLM's default `buffer_steps`). */
const REPLAY_BUFFER_FRAMES = 10_000;
const STALE_AFTER_MS = 60_000;

export class RecordedPublisher {
  readonly #options: RecordedPublisherOptions;
  readonly #counts = new Map<PublisherField, number>();
  #state: OrderState;
  #waiting: OrderFrame[] = [];
  /** What the engine process has published, for replays. */
  #buffer: OrderFrame[] = [];
  #replayFrom: number | null = null;
  #nowMs = 0;
  /** Frames were lost that nothing received since can have shown. */
  #unnoticedLoss = false;

  constructor(options: RecordedPublisherOptions) {
    this.#options = options;
    this.#state = this.#initialState();
    this.#take({ type: 'connected' });
    this.#settle();
  }

  /** Counter kept by order and applier. */
  count(field: PublisherField): number {
    return this.#counts.get(field) ?? 0;
  }

  get unnoticedLoss(): boolean {
    return this.#unnoticedLoss;
  }

  /** The engine publishes a frame; `lost` ones reach the router by replay only. */
  publish(frame: OrderFrame, nowMs: number, lost: boolean): void {
    this.#nowMs = nowMs;
    if (this.#buffer.length >= REPLAY_BUFFER_FRAMES) this.#buffer.shift();
    this.#buffer.push(frame);
    this.#unnoticedLoss = lost;
    if (this.#state.wakeAtMs <= nowMs) this.#take({ type: 'tick' });
    if (!lost) this.#waiting.push(frame);
    this.#settle();
  }

  /** Another engine process takes the place: a router sees its connection end and a new one. */
  replaceProcess(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#buffer = [];
    this.#take({ type: 'disconnected' });
    this.#take({ type: 'connected' });
    this.#unnoticedLoss = !this.#options.canReplay;
    this.#settle();
  }

  /** Answers replays and offers waiting frames until neither is left. */
  #settle(): void {
    for (;;) {
      if (this.#replayFrom !== null) this.#answerReplay(this.#replayFrom);
      else if (acceptsLive(this.#state)) {
        const frame = this.#waiting.shift();
        if (frame === undefined) return;
        this.#take({ type: 'frame', frame });
      } else return;
    }
  }

  #answerReplay(fromSeq: number): void {
    this.#replayFrom = null;
    for (const frame of this.#buffer) {
      if (frame.seq >= fromSeq) this.#take({ type: 'replay-frame', frame });
      // A new request, or none any more, ends this answer.
      if (this.#replayFrom !== null || this.#state.replay === null) return;
    }
    this.#take({ type: 'replay-end' });
  }

  #take(event: OrderEvent): void {
    const { state, actions } = step(this.#state, event, this.#nowMs, this.#options.random);
    this.#state = state;
    for (const action of actions) this.#perform(action, event);
  }

  #perform(action: OrderAction, cause: OrderEvent): void {
    switch (action.type) {
      case 'apply':
        this.#apply(action.frame);
        break;
      case 'drop-generation':
        this.#options.applier.reset(this.#options.slot);
        break;
      case 'request-replay':
        this.#replayFrom = action.fromSeq;
        break;
      case 'cancel-replay':
        this.#replayFrom = null;
        break;
      case 'hold':
        if (cause.type === 'frame') this.#waiting.unshift(cause.frame);
        break;
      case 'discard-queued':
        this.#waiting = [];
        break;
      case 'count':
        this.#add(action.field, action.by);
        break;
      default:
        assertNever(action);
    }
  }

  #apply(frame: OrderFrame): void {
    const result = this.#options.applier.apply(this.#options.slot, frame.payload);
    const malformed = result.status !== 'applied';
    this.#add('framesApplied', malformed ? 0 : 1);
    this.#add('framesMalformed', malformed ? 1 : 0);
    this.#add('blocksStored', result.blocksStored);
    this.#add('blocksRemoved', result.blocksRemoved);
    this.#add('unknownParents', result.unknownParents);
    this.#add('unknownBlocks', result.unknownBlocks);
    this.#add('unknownEvents', result.unknownEvents);
    this.#add('indexFull', result.indexFull);
    const unknown = result.unknownParents + result.unknownBlocks > 0;
    this.#take({ type: 'applied', outcome: { malformed, cleared: result.cleared, unknown } });
  }

  #add(field: PublisherField, by: number): void {
    this.#counts.set(field, this.count(field) + by);
  }

  #initialState(): OrderState {
    const { canReplay } = this.#options;
    return initialOrderState({ hasReplay: canReplay, staleAfterMs: STALE_AFTER_MS }, this.#nowMs);
  }
}
