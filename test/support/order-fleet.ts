// An engine's event stream and a follower around order.ts, both in virtual time: frames get lost,
// doubled, swapped; engines restart; replay buffers are short. The engine's own set of keys is the
// truth that what was applied is compared with.

import assert from 'node:assert/strict';
import { seededRandom } from '#contracts/random.js';
import { step } from '#events/order.js';
import {
  acceptsLive,
  initialOrderState,
  type OrderEvent,
  type OrderFrame,
  type OrderState,
} from '#events/order-state.js';

export type OrderStepFunction = typeof step;

/** What one frame says: a key stored, a key removed, everything cleared. */
interface FrameContent {
  readonly process: number;
  readonly seq: number;
  readonly stored: string | null;
  readonly removed: string | null;
  readonly cleared: boolean;
}

/** One engine process after another at the same address. */
export class ModelEngine {
  readonly held: Set<string> = new Set();
  readonly #bufferFrames: number;
  #buffer: OrderFrame[] = [];
  #process = 0;
  nextSeq: number = 0;

  constructor(bufferFrames: number) {
    this.#bufferFrames = bufferFrames;
  }

  /** `dice` in [0, 1) chooses what happens in the cache. */
  publish(dice: number): OrderFrame {
    const keys = [...this.held];
    const seq = this.nextSeq;
    const cleared = dice < 0.02;
    const removed = dice < 0.4 ? (keys[Math.floor((dice / 0.4) * keys.length)] ?? null) : null;
    const stored = cleared || dice < 0.2 ? null : `${this.#process}.${seq}`;
    if (cleared) this.held.clear();
    if (removed !== null) this.held.delete(removed);
    if (stored !== null) this.held.add(stored);
    const content: FrameContent = { process: this.#process, seq, stored, removed, cleared };
    const frame = { seq, payload: Buffer.from(JSON.stringify(content)) };
    this.nextSeq += 1;
    this.#buffer = [...this.#buffer, frame].slice(-this.#bufferFrames);
    return frame;
  }

  replay(fromSeq: number): readonly OrderFrame[] {
    return this.#buffer.filter((frame) => frame.seq >= fromSeq);
  }

  restart(): void {
    this.held.clear();
    this.#buffer = [];
    this.#process += 1;
    this.nextSeq = 0;
  }

  /** The buffer still begins with the first frame. */
  get coversAll(): boolean {
    return this.nextSeq <= this.#bufferFrames;
  }
}

/** Does what the event pipeline does with the actions, without sockets. */
export class ModelFollower {
  readonly applied: Set<string> = new Set();
  readonly queue: OrderFrame[] = [];
  readonly #engine: ModelEngine;
  readonly #step: OrderStepFunction;
  readonly #random = seededRandom(7);
  state: OrderState;
  nowMs: number = 0;
  connected: boolean = false;
  replayFrom: number | null = null;
  /** Sequence number that must be applied next, null where a new generation may begin. */
  #due: number | null = null;
  #held: OrderFrame | null = null;

  constructor(engine: ModelEngine, hasReplay: boolean, orderStep: OrderStepFunction = step) {
    this.#engine = engine;
    this.#step = orderStep;
    this.state = initialOrderState({ hasReplay, staleAfterMs: 5000 }, 0);
  }

  connect(): void {
    this.connected = true;
    this.take({ type: 'connected' });
  }

  disconnect(): void {
    this.connected = false;
    this.take({ type: 'disconnected' });
  }

  overflow(): void {
    this.queue.length = 0;
    this.#held = null;
    this.take({ type: 'overflow' });
  }

  drain(frames: number): void {
    for (let count = 0; count < frames && acceptsLive(this.state); count++) {
      const frame = this.#held ?? this.queue.shift();
      if (frame === undefined) return;
      this.#held = null;
      this.take({ type: 'frame', frame });
    }
  }

  /** Answers a waiting replay request with at most `frames` frames, then the end marker. */
  serve(frames: number): void {
    const fromSeq = this.replayFrom;
    if (fromSeq === null) return;
    this.replayFrom = null;
    for (const frame of this.#engine.replay(fromSeq).slice(0, frames)) {
      if (this.replayFrom !== null || this.state.replay === null) return;
      this.take({ type: 'replay-frame', frame });
    }
    if (this.replayFrom === null && this.state.replay !== null) this.take({ type: 'replay-end' });
  }

  failReplay(): void {
    if (this.replayFrom === null) return;
    this.replayFrom = null;
    this.take({ type: 'replay-failed', reason: 'refused' });
  }

  advance(byMs: number): void {
    const endMs = this.nowMs + byMs;
    while (this.state.wakeAtMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.state.wakeAtMs);
      this.take({ type: 'tick' });
    }
    this.nowMs = endMs;
  }

  /** Lets everything under way come to its end. */
  settle(forMs: number): void {
    if (!this.connected) this.connect();
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; ) {
      for (let turn = 0; turn < 20; turn++) {
        this.serve(Number.POSITIVE_INFINITY);
        this.drain(Number.POSITIVE_INFINITY);
      }
      this.advance(500);
    }
  }

  take(event: OrderEvent): void {
    const before = this.state;
    const { state, actions } = this.#step(before, event, this.nowMs, this.#random);
    this.state = state;
    this.#checkGap(
      before,
      event,
      actions.map((action) => action.type),
    );
    for (const action of actions) {
      if (action.type === 'apply') this.#apply(action.frame);
      else if (action.type === 'drop-generation') this.#drop();
      else if (action.type === 'request-replay') this.replayFrom = action.fromSeq;
      else if (action.type === 'cancel-replay') this.replayFrom = null;
      else if (action.type === 'hold' && event.type === 'frame') this.#held = event.frame;
      else if (action.type === 'discard-queued') {
        this.queue.length = 0;
        this.#held = null;
      }
    }
  }

  /** A gap is followed by a replay, or by giving up what was known. */
  #checkGap(before: OrderState, event: OrderEvent, actions: readonly string[]): void {
    if (event.type !== 'frame' || !before.started || before.replay !== null) return;
    if (before.dead || before.conflictUntilMs !== null) return;
    if (event.frame.seq <= before.nextSeq) return;
    const answered = actions.includes('request-replay') || actions.includes('drop-generation');
    assert.ok(answered || !before.hasContent, `gap before ${event.frame.seq} was ignored`);
  }

  #apply(frame: OrderFrame): void {
    assert.ok(this.#due === null || this.#due === frame.seq, `frame ${frame.seq} out of order`);
    this.#due = frame.seq + 1;
    const content = JSON.parse(Buffer.from(frame.payload).toString()) as FrameContent;
    if (content.cleared) this.applied.clear();
    const unknown = content.removed !== null && !this.applied.delete(content.removed);
    if (content.stored !== null) this.applied.add(content.stored);
    this.take({
      type: 'applied',
      outcome: { malformed: false, cleared: content.cleared, unknown },
    });
  }

  #drop(): void {
    this.applied.clear();
    this.#due = null;
  }
}
