// Records of a burst, as the pipeline keeps them: each has the load that its own decision saw, which
// the decisions before it have moved.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import { singleProfilePolicy } from '#config/policies.js';
import type { Decision } from '#contracts/decision.js';
import { policyCycle, scheduleByPolicy } from '#request/policy-cycle.js';
import { contextOf } from '#request/replay.js';
import { createWorld, encodedPrompt } from '#test/support/request-world.js';
import { fleetSnapshot, pluginHost } from '#test/support/scheduling.js';

const plugin = (type: string, weight = 1) => ({ type, weight, parameters: {} });
const SETTINGS = singleProfilePolicy({
  name: 'burst',
  filters: [],
  scorers: [
    plugin('prefix-cache-scorer', 2),
    plugin('active-request-scorer'),
    plugin('token-load-scorer'),
  ],
  picker: plugin('max-score-picker'),
});

test('every decision of a burst is made again from its record', async () => {
  const capacity = 5;
  const fleet = fleetSnapshot([{ inFlight: 2 }, { inFlightTokens: 500 }, null, {}, {}]);
  const world = createWorld(buildPolicy(SETTINGS, pluginHost(capacity)), fleet);
  world.encoded = encodedPrompt([2, 0, 0, 1, 0]);
  await world.send(...Array.from({ length: 30 }, () => ({})));
  const records = JSON.parse(
    JSON.stringify(world.decisions().map(({ decision }) => decision)),
  ) as readonly Decision[];
  assert.equal(records.length, 30);
  assert.ok(new Set(records.map(({ chosen }) => chosen)).size > 1, 'the burst was spread');
  const policy = policyCycle(buildPolicy(SETTINGS, pluginHost(capacity)), capacity);
  for (const [position, record] of records.entries()) {
    const { context, serving } = contextOf(record);
    assert.equal(
      scheduleByPolicy(policy, context, serving, () => 0),
      'picked',
    );
    const { picked, board } = policy.current;
    for (const { slot, total } of record.candidates) assert.equal(board.totals[slot], total);
    const best = context.fleet.bySlot[picked[0] ?? -1]?.endpoint.name;
    const chosen = record.candidates.find(({ endpoint }) => endpoint === record.chosen);
    // Draws among equals are the policy's own.
    if (best !== record.chosen) assert.equal(chosen?.total, board.totals[picked[0] ?? -1]);
    const inFlight = record.candidates.reduce((sum, one) => sum + one.inFlightRequests, 0);
    assert.equal(inFlight, 2 + position);
  }
});
