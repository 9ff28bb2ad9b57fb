// Pickers: order, ties, fallbacks and the share of each endpoint over many picks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PickerDefinition } from '#contracts/plugin.js';
import type { CandidateSet, Picker, SchedulingContext } from '#contracts/scheduling.js';
import { maxScorePicker } from '#plugins/max-score-picker.js';
import { randomPicker } from '#plugins/random-picker.js';
import { roundRobinPicker } from '#plugins/round-robin-picker.js';
import { weightedRandomPicker } from '#plugins/weighted-random-picker.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  schedulingContext,
} from '#test/support/scheduling.js';

function create(definition: PickerDefinition, parameters: unknown = {}): Picker {
  return definition.create(definition.parameters.parse(parameters), pluginHost(8));
}

function pickFrom(
  picker: Picker,
  context: SchedulingContext,
  candidates: CandidateSet,
  totals: readonly number[] = [],
): readonly number[] {
  // Left-overs of an earlier request must not matter.
  const picked = Uint32Array.from([0, 0, 0]);
  const count = picker.pick(context, candidates, Float64Array.from(totals), picked);
  if (count > 0) picker.picked?.(context, picked[0] ?? -1);
  return [...picked.subarray(0, count)];
}

const fleet = fleetSnapshot([{}, {}, {}, {}]);
const context = schedulingContext(fleet);

test('max-score-picker: best first, as many as can be tried', () => {
  const picker = create(maxScorePicker);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet), [1, 4, 2, 3]), [1, 3, 2]);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, [0, 2]), [1, 9, 2, 9]), [2, 0]);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, []), [1, 1, 1, 1]), []);
});

test('max-score-picker: maxNumOfEndpoints', () => {
  const picker = create(maxScorePicker, { maxNumOfEndpoints: 1 });
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet), [1, 4, 2, 3]), [1]);
  assert.throws(() => create(maxScorePicker, { maxNumOfEndpoints: 0 }));
});

for (const definition of [maxScorePicker, randomPicker, roundRobinPicker, weightedRandomPicker]) {
  test(`${definition.type}: says how many it is to name`, () => {
    const picker = create(definition, { maxNumOfEndpoints: 2 });
    assert.equal(picker.endpointsMax, 2);
    assert.equal(pickFrom(picker, context, candidatesOf(fleet), [1, 4, 2, 3]).length, 2);
  });
}

test('max-score-picker: a tie goes to the fewest in flight', () => {
  const busy = fleetSnapshot([{ inFlight: 3 }, { inFlight: 1 }, { inFlight: 2 }, { inFlight: 0 }]);
  const picked = pickFrom(
    create(maxScorePicker),
    schedulingContext(busy),
    candidatesOf(busy),
    [5, 5, 5, 4.999],
  );
  assert.deepEqual(picked, [1, 2, 0]);
});

test('max-score-picker: what is still equal is drawn evenly', () => {
  const shares = sharesOf(create(maxScorePicker), [2, 2, 1, 2]);
  for (const slot of [0, 1, 3]) assertAbout(shares[slot] ?? 0, 1000);
  assert.equal(shares[2], 0);
});

test('random-picker: even, without repetition, whatever the scores', () => {
  const picker = create(randomPicker);
  for (const share of sharesOf(picker, [9, 0, 0, 0])) assertAbout(share, 750);
  const picked = pickFrom(picker, context, candidatesOf(fleet));
  assert.equal(new Set(picked).size, 3);
});

test('round-robin-picker: in turn, the following ones as fallbacks', () => {
  const picker = create(roundRobinPicker);
  const all = candidatesOf(fleet);
  const seen = [1, 2, 3, 4, 5].map(() => pickFrom(picker, context, all));
  assert.deepEqual(seen, [
    [0, 1, 2],
    [1, 2, 3],
    [2, 3, 0],
    [3, 0, 1],
    [0, 1, 2],
  ]);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, [0, 3])), [3, 0]);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, [2])), [2]);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, [])), []);
});

test('round-robin-picker: pools asked for alternately each see all of their endpoints', () => {
  const picker = create(roundRobinPicker);
  const chosen: number[] = [];
  for (let turn = 0; turn < 4; turn += 1) {
    for (const [pool, slots] of [
      ['a', [0, 1]],
      ['b', [2, 3]],
    ] as const) {
      const picked = pickFrom(
        picker,
        schedulingContext(fleet, { pool }),
        candidatesOf(fleet, slots),
      );
      chosen.push(picked[0] ?? -1);
    }
  }
  assert.deepEqual(chosen, [0, 2, 1, 3, 0, 2, 1, 3]);
});

test('weighted-random-picker: first as often as its share of the totals', () => {
  const shares = sharesOf(create(weightedRandomPicker), [1, 2, 0, 3]);
  for (const [slot, expected] of [500, 1000, 0, 1500].entries()) {
    assertAbout(shares[slot] ?? 0, expected);
  }
  // Weights that U^(1/w) would underflow for are told apart all the same.
  const tiny = sharesOf(create(weightedRandomPicker), [1e-6, 2e-6, 0, 0]);
  for (const [slot, expected] of [1000, 2000, 0, 0].entries()) {
    assertAbout(tiny[slot] ?? 0, expected);
  }
});

test('weighted-random-picker: totals of 0 come last; when all are, everyone is alike', () => {
  const picker = create(weightedRandomPicker);
  for (let turn = 0; turn < 100; turn += 1) {
    const picked = pickFrom(picker, context, candidatesOf(fleet), [0, 5, 0, 1]);
    assert.deepEqual(picked.slice(0, 2).toSorted(), [1, 3]);
    assert.equal(new Set(picked).size, 3);
  }
  for (const share of sharesOf(picker, [0, 0, 0, 0])) assertAbout(share, 750);
  assert.deepEqual(pickFrom(picker, context, candidatesOf(fleet, []), [1, 1, 1, 1]), []);
});

/** How often each slot came first in 3,000 picks. */
function sharesOf(picker: Picker, totals: readonly number[]): readonly number[] {
  const shares = totals.map(() => 0);
  for (let turn = 0; turn < 3000; turn += 1) {
    const [first = -1] = pickFrom(picker, context, candidatesOf(fleet), totals);
    shares[first] = (shares[first] ?? 0) + 1;
  }
  return shares;
}

/** Within six standard deviations of a fair draw; the seed is fixed, so this cannot flake. */
function assertAbout(count: number, expected: number): void {
  assert.ok(Math.abs(count - expected) <= 6 * Math.sqrt(expected), `${count} of about ${expected}`);
}
