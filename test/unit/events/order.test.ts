// Single transitions of order.ts that a reader may want to look up.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import { step } from '#events/order.js';
import {
  initialOrderState,
  type OrderAction,
  type OrderEvent,
  type OrderState,
} from '#events/order-state.js';

const random = seededRandom(1);

/** Takes events one after another; keeps the actions of the last. */
class Walk {
  state: OrderState;
  actions: readonly OrderAction[] = [];
  nowMs: number = 0;

  constructor(hasReplay: boolean) {
    this.state = initialOrderState({ hasReplay, staleAfterMs: 5000 }, 0);
  }

  take(...events: readonly OrderEvent[]): this {
    for (const event of events) {
      const next = step(this.state, event, this.nowMs, random);
      this.state = next.state;
      this.actions = next.actions;
    }
    return this;
  }

  live(...numbers: readonly number[]): this {
    return this.take(...numbers.map((seq) => ({ type: 'frame', frame: frame(seq) }) as const));
  }

  replayed(...numbers: readonly number[]): this {
    return this.take(
      ...numbers.map((seq) => ({ type: 'replay-frame', frame: frame(seq) }) as const),
    );
  }

  get did(): string {
    return this.actions.map((action) => action.type).join(' ');
  }
}

function frame(seq: number, text = 'frame'): { seq: number; payload: Uint8Array } {
  return { seq, payload: Buffer.from(`${text} ${seq}`) };
}

const CONNECTED: OrderEvent = { type: 'connected' };
const END: OrderEvent = { type: 'replay-end' };

function caughtUp(): Walk {
  return new Walk(true).take(CONNECTED).replayed(0, 1, 2).take(END);
}

test('first contact replays from 0 and holds live frames meanwhile', () => {
  const walk = new Walk(true);
  assert.equal(walk.state.phase, 'cold');
  walk.take(CONNECTED);
  assert.equal(walk.did, 'discard-queued request-replay count');
  assert.equal(walk.state.phase, 'replaying');
  assert.equal(walk.live(1).did, 'hold');
  walk.replayed(0, 1).take(END);
  assert.equal(walk.state.phase, 'live');
  assert.equal(walk.live(1).did, 'count', 'the held frame is a repetition by now');
  assert.equal(walk.live(2).did, 'apply');
});

test('a gap asks for the frames behind the last applied one', () => {
  const walk = caughtUp().live(5);
  assert.deepEqual(
    walk.actions.find((action) => action.type === 'request-replay'),
    { type: 'request-replay', fromSeq: 2, delayMs: 0 },
  );
  assert.equal(walk.state.phase, 'gapped');
  walk.replayed(2, 3, 4, 5).take(END).live(5);
  assert.equal(walk.state.phase, 'live');
  assert.equal(walk.state.nextSeq, 6);
});

test('a replay that begins too late rebuilds and stays gapped', () => {
  const walk = caughtUp().live(9).replayed(7);
  assert.equal(walk.did, 'drop-generation count apply');
  walk.replayed(8, 9).take(END);
  assert.equal(walk.state.phase, 'gapped');
});

test('partial knowledge counts as whole after a clear, or a thousand frames without surprise', () => {
  const partial = caughtUp().live(9).replayed(7, 8, 9).take(END);
  const outcome = { malformed: false, cleared: false, unknown: false };
  const cleared = step(
    partial.state,
    { type: 'applied', outcome: { ...outcome, cleared: true } },
    0,
    random,
  );
  assert.equal(cleared.state.phase, 'live');
  for (let count = 0; count < 999; count++) partial.take({ type: 'applied', outcome });
  assert.equal(partial.state.phase, 'gapped');
  assert.equal(partial.take({ type: 'applied', outcome }).state.phase, 'live');
});

test('a reconnect keeps what is known until the replay has spoken', () => {
  const walk = caughtUp().take({ type: 'disconnected' }, CONNECTED);
  assert.ok(!walk.did.includes('drop-generation'));
  assert.equal(walk.state.phase, 'replaying');
  assert.equal(walk.replayed(2).take(END).state.phase, 'live');
});

test('another payload under the last number is another process', () => {
  const walk = caughtUp().take({ type: 'disconnected' }, CONNECTED);
  walk.take({ type: 'replay-frame', frame: frame(2, 'other') });
  assert.equal(walk.did, 'count drop-generation request-replay count');
  assert.deepEqual(walk.actions[2], { type: 'request-replay', fromSeq: 0, delayMs: 0 });
});

test('an engine that does not know the last frame is another process', () => {
  const walk = caughtUp().take({ type: 'disconnected' }, CONNECTED, END);
  assert.ok(walk.did.startsWith('count drop-generation request-replay'));
});

test('without a replay socket a lower number is a restart, a repeated frame is not', () => {
  const walk = new Walk(false).take(CONNECTED).live(0, 1, 2);
  assert.equal(walk.live(2).did, 'count');
  walk.take({ type: 'disconnected' }, CONNECTED);
  assert.equal(walk.live(0).did, 'count drop-generation apply');
  assert.equal(walk.state.phase, 'live');
});

test('replays that fail are tried again with growing pauses, then given up', () => {
  const walk = caughtUp().live(5);
  const pauses: number[] = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    walk.take({ type: 'replay-failed', reason: 'refused' });
    for (const action of walk.actions) {
      if (action.type === 'request-replay') pauses.push(action.delayMs);
    }
  }
  for (const [attempt, pauseMs] of pauses.entries()) {
    const fullMs = 100 * 2 ** attempt;
    assert.ok(pauseMs >= fullMs / 2 && pauseMs <= fullMs, `pause ${attempt} is ${pauseMs} ms`);
  }
  walk.take({ type: 'replay-failed', reason: 'refused' });
  assert.equal(walk.live(5).did, 'drop-generation count apply');
  assert.equal(walk.state.phase, 'gapped');
});

test('two publishers on one stream are not believed', () => {
  const walk = new Walk(false).take(CONNECTED);
  walk.live(100, 5, 101, 6, 102, 7, 103, 8, 104, 9);
  assert.equal(walk.state.phase, 'gapped');
  assert.match(walk.state.reason, /two publishers/);
  assert.equal(walk.live(105).did, '');
});

test('a connection that stays down makes the publisher stale', () => {
  const walk = caughtUp().take({ type: 'disconnected' });
  assert.equal(walk.state.wakeAtMs, 5000);
  walk.nowMs = 5000;
  assert.equal(walk.take({ type: 'tick' }).state.phase, 'stale');
});

test('a restart told by the fleet drops everything, unless it was seen here already', () => {
  const told = caughtUp();
  told.nowMs = 60_000;
  assert.ok(told.take({ type: 'engine-restarted' }).did.includes('drop-generation'));
  told.replayed(0).take(END);
  told.nowMs += 1000;
  assert.ok(!told.take({ type: 'engine-restarted' }).did.includes('drop-generation'));
});
