// Histories against events on the same conversations in virtual time, until half of the blocks that the
// engines stored have been evicted again: what is predicted comes true, and knowing is never worse than
// remembering. One request at a time both know the same; of several at once both are late.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  runTurnover,
  type TurnoverResult,
  type TurnoverSample,
} from '#test/support/virtual-fleet/turnover.js';

const SEEDS = Array.from({ length: 10 }, (_, at) => at + 1);
const TURNOVER = 0.5;
/** What is still under way when the share is reached evicts a little more. */
const TURNOVER_OFF = 0.02;

/**
 * By how much more of a history's predictions may come true: of several requests at once, what seeds
 * differ by, because events tell of an eviction when its step has ended.
 */
const AHEAD_MAX = { 1: 0, 8: 0.002 } as const;

interface Tokens {
  predicted: number;
  /** Predicted and reused. */
  confirmed: number;
  /** Predicted or reused. */
  either: number;
  reused: number;
}

function run(seed: number, events: boolean, concurrency: number): TurnoverResult {
  return runTurnover({
    seed,
    endpoints: 2,
    gpuBlocks: 1000,
    events,
    concurrency,
    conversations: 96,
    goOn: (_sent, turnover) => turnover < TURNOVER,
  });
}

function tokens(samples: readonly TurnoverSample[], among: number): Tokens {
  const total = { predicted: 0, confirmed: 0, either: 0, reused: 0 };
  for (const { number, predicted, reused } of samples) {
    if (number >= among) continue;
    total.predicted += predicted;
    total.confirmed += Math.min(predicted, reused);
    total.either += Math.max(predicted, reused);
    total.reused += reused;
  }
  return total;
}

for (const concurrency of [1, 8] as const) {
  test(`half of the cache turned over, ${concurrency} at a time: knowing is not worse`, () => {
    const known = { predicted: 0, confirmed: 0, either: 0, reused: 0 };
    const remembered = { predicted: 0, confirmed: 0, either: 0, reused: 0 };
    for (const seed of SEEDS) {
      const precise = run(seed, true, concurrency);
      const history = run(seed, false, concurrency);
      for (const { turnover } of [precise, history]) {
        assert.ok(turnover >= TURNOVER && turnover <= TURNOVER + TURNOVER_OFF, `${turnover}`);
      }
      // Whoever reuses less gets there sooner: compared is what both were sent.
      const among = Math.min(precise.samples.length, history.samples.length);
      assert.ok(among >= 300, `${among} requests`);
      const [theirs, ours] = [tokens(precise.samples, among), tokens(history.samples, among)];
      assert.ok(ours.confirmed >= 0.9 * ours.predicted, `seed ${seed}`);
      assert.ok(ours.reused >= theirs.reused / 2, `seed ${seed}`);
      add(known, theirs);
      add(remembered, ours);
    }
    assert.ok(remembered.reused <= known.reused);
    const ahead = remembered.confirmed / remembered.predicted - known.confirmed / known.predicted;
    assert.ok(ahead <= AHEAD_MAX[concurrency], `${ahead}`);
    assert.ok(remembered.confirmed / remembered.either <= known.confirmed / known.either);
  });
}

function add(total: Tokens, more: Tokens): void {
  total.predicted += more.predicted;
  total.confirmed += more.confirmed;
  total.either += more.either;
  total.reused += more.reused;
}
