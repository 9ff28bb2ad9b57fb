// order.ts under random loss, repetition, reordering, restarts, late joining and short replay
// buffers: what was applied equals what the engine holds where a replay reaches back, and is never
// more than that.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { step } from '#events/order.js';
import { ModelEngine, ModelFollower, type OrderStepFunction } from '#test/support/order-fleet.js';

const SEED = 20_261;
const RUNS = 600;

type Operation =
  | { readonly type: 'publish'; readonly dice: number; readonly fate: 'arrives' | 'lost' | 'twice' }
  | { readonly type: 'drain' | 'serve' | 'advance'; readonly amount: number }
  | { readonly type: 'swap' | 'overflow' | 'fail-replay' }
  | { readonly type: 'reconnect' | 'restart'; readonly unseen: readonly number[] };

const dice = fc.double({ min: 0, max: 0.999, noNaN: true });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('publish' as const),
      dice,
      fate: fc.constantFrom(
        'arrives' as const,
        'arrives' as const,
        'lost' as const,
        'twice' as const,
      ),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constantFrom('drain' as const, 'serve' as const),
      amount: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('advance' as const),
      amount: fc.constantFrom(60, 700, 3000, 12_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('swap' as const, 'overflow' as const, 'fail-replay' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom('reconnect' as const, 'restart' as const),
      unseen: fc.array(dice, { maxLength: 14 }),
    }),
  },
);

const scenario = fc.record({
  hasReplay: fc.boolean(),
  bufferFrames: fc.constantFrom(4, 1000),
  before: fc.array(dice, { maxLength: 12 }),
  operations: fc.array(operation, { minLength: 5, maxLength: 60 }),
});

type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

function run(plan: Scenario, orderStep: OrderStepFunction): void {
  const engine = new ModelEngine(plan.bufferFrames);
  const follower = new ModelFollower(engine, plan.hasReplay, orderStep);
  for (const value of plan.before) engine.publish(value);
  follower.connect();
  for (const each of plan.operations) perform(each, engine, follower);
  follower.settle(60_000);
  // Without a replay only a further frame can show that earlier ones were lost.
  follower.queue.push(engine.publish(0.9));
  follower.settle(60_000);
  compare(engine, follower);
}

function perform(each: Operation, engine: ModelEngine, follower: ModelFollower): void {
  switch (each.type) {
    case 'publish': {
      const frame = engine.publish(each.dice);
      if (each.fate !== 'lost') follower.queue.push(frame);
      if (each.fate === 'twice') follower.queue.push(frame);
      break;
    }
    case 'drain':
      follower.drain(each.amount);
      break;
    case 'serve':
      follower.serve(each.amount);
      break;
    case 'advance':
      follower.advance(each.amount);
      break;
    case 'swap': {
      const last = follower.queue.pop();
      const other = follower.queue.pop();
      if (last !== undefined) follower.queue.push(last);
      if (other !== undefined) follower.queue.push(other);
      break;
    }
    case 'overflow':
      follower.overflow();
      break;
    case 'fail-replay':
      follower.failReplay();
      break;
    case 'reconnect':
    case 'restart':
      follower.disconnect();
      if (each.type === 'restart') engine.restart();
      for (const value of each.unseen) engine.publish(value);
      follower.connect();
      // Without a replay the fleet's word is the only sign of a restart at a lucky number.
      if (each.type === 'restart' && !follower.state.hasReplay) {
        follower.take({ type: 'engine-restarted' });
      }
      break;
  }
}

function compare(engine: ModelEngine, follower: ModelFollower): void {
  const { state, applied } = follower;
  for (const key of applied) assert.ok(engine.held.has(key), `claims ${key}, which is gone`);
  if (state.complete) assert.deepEqual([...applied].sort(), [...engine.held].sort());
  if (state.hasReplay && engine.coversAll) assert.equal(state.phase, 'live', state.reason);
}

test('what was applied equals what the engine holds, and never exceeds it', (context) => {
  context.diagnostic(`seed ${SEED}`);
  fc.assert(
    fc.property(scenario, (plan) => run(plan, step)),
    { seed: SEED, numRuns: RUNS },
  );
});

test('negative control: a step that ignores gaps fails the same property', () => {
  const ignoringGaps: OrderStepFunction = (state, event, nowMs, random) => {
    const skips = event.type === 'frame' && state.started && event.frame.seq > state.nextSeq;
    const seen = skips ? { ...state, nextSeq: event.frame.seq } : state;
    return step(seen, event, nowMs, random);
  };
  const outcome = fc.check(
    fc.property(scenario, (plan) => run(plan, ignoringGaps)),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(outcome.failed, 'the property does not notice lost frames');
});

const LUCKY_RESTART: Scenario = {
  hasReplay: true,
  bufferFrames: 1000,
  before: [0.9, 0.9, 0.9],
  operations: [
    { type: 'serve', amount: 12 },
    { type: 'restart', unseen: [0.9, 0.9, 0.9, 0.9, 0.9] },
  ],
};

test('a new process that has reached the same number is recognised', () => {
  run(LUCKY_RESTART, step);
});

test('negative control: without the proof by the last frame it is not recognised', () => {
  const trustingNumbers: OrderStepFunction = (state, event, nowMs, random) => {
    if (event.type !== 'replay-frame' || state.replay?.kind !== 'continue') {
      return step(state, event, nowMs, random);
    }
    const trusted = { ...state, replay: { ...state.replay, answered: true } };
    return step(trusted, event, nowMs, random);
  };
  assert.throws(() => run(LUCKY_RESTART, trustingNumbers), /which is gone/);
});
