// When injected faults strike, and what is said about faults that make no sense.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import { FaultPlan, parseFaults } from '#simulation/faults.js';

test('a count is used up, a probability is not, nothing strikes unasked', () => {
  const plan = new FaultPlan(seededRandom(1), { dropEvents: { count: 2 } });
  const struck = [1, 2, 3].map(() => plan.strike('dropEvents') !== null);
  assert.deepEqual(struck, [true, true, false]);
  assert.equal(plan.strike('httpErrors'), null);
  plan.set({ duplicateEvents: { probability: 0.25 } });
  let strikes = 0;
  for (let i = 0; i < 1000; i++) if (plan.strike('duplicateEvents') !== null) strikes += 1;
  assert.ok(strikes > 150 && strikes < 350, String(strikes));
});

test('a fault without a rule strikes always', () => {
  const plan = new FaultPlan(seededRandom(1), { httpErrors: { status: 503 } });
  for (let i = 0; i < 5; i++) assert.equal(plan.strike('httpErrors')?.status, 503);
});

test('faults that make no sense are named', () => {
  for (const [faults, problem] of [
    [[], /JSON object/],
    [{ dropEvent: {} }, /unknown fault "dropEvent"/],
    [{ dropEvents: 1 }, /dropEvents must be an object/],
    [{ dropEvents: { probability: 2 } }, /dropEvents.probability/],
    [{ dropEvents: { status: 503 } }, /no field "status"/],
    [{ httpErrors: {} }, /needs status/],
  ] as const) {
    assert.match(String(parseFaults(faults)), problem);
  }
  assert.deepEqual(parseFaults({ dropEvents: { count: 1, fromReplay: true } }), {
    dropEvents: { count: 1, fromReplay: true },
  });
});
