// The scheduling cycle: builtin exclusions, filters, clamping and weights, and what happens when
// a plugin misbehaves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import type { Profile } from '#contracts/plugin.js';
import type { Filter, Picker, Scorer } from '#contracts/scheduling.js';
import { exclusionName } from '#request/filter.js';
import type { ScheduleCycle } from '#request/schedule.js';
import { schedule, scheduleCycle, scheduleWithout } from '#request/schedule.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
  servedModel,
} from '#test/support/scheduling.js';

const takeFirst: Picker = {
  pick: (_context, candidates, _totals, picked) => {
    picked[0] = candidates.next(0);
    return 1;
  },
};

function profileOf(parts: {
  readonly filters?: readonly Filter[];
  readonly scorers?: readonly Scorer[];
  readonly picker?: Picker;
}): Profile {
  return {
    name: 'test',
    filters: (parts.filters ?? []).map((plugin, at) => ({ type: `filter-${at}`, plugin })),
    scorers: (parts.scorers ?? []).map((plugin, at) => ({
      type: `scorer-${at}`,
      weight: at + 1,
      plugin,
    })),
    picker: { type: 'picker', plugin: parts.picker ?? takeFirst },
  };
}

function run(
  profile: Profile,
  fleet: FleetSnapshot,
  serving: readonly number[] = [...fleet.bySlot.keys()],
): { readonly outcome: string; readonly cycle: ScheduleCycle; readonly picked: readonly number[] } {
  const cycle = scheduleCycle(profile, fleet.bySlot.length);
  const outcome = schedule(
    cycle,
    schedulingContext(fleet, { totalBlocks: 10, match: promptMatch([0, 9, 5]) }),
    candidatesOf(fleet, serving),
    () => 0,
  );
  return { outcome, cycle, picked: [...cycle.picked.subarray(0, cycle.pickedCount)] };
}

function exclusions(cycle: ScheduleCycle): readonly (string | null)[] {
  return [...cycle.excludedBy].map((exclusion) => exclusionName(exclusion, cycle.profile));
}

test('precise: the sums of architecture §6, best first', () => {
  const profile = buildProfile(POLICY_PROFILES.precise, pluginHost(3));
  const fleet = fleetSnapshot([
    { waiting: 0, kvCacheUsage: 0.1 },
    { waiting: 4, kvCacheUsage: 0.5 },
    { waiting: 2, kvCacheUsage: 0.2 },
  ]);
  const { cycle, picked } = run(profile, fleet);
  const totals = [...cycle.board.totals].map((total) => Math.round(total * 1e6) / 1e6);
  // 3·0 + 2·0.9 + 2·1; 3·0.9 + 2·0.5 + 2·0; 3·0.5 + 2·0.8 + 2·0.5.
  assert.deepEqual(totals, [3.8, 3.7, 4.1]);
  assert.deepEqual(picked, [2, 0, 1]);
});

test('builtin exclusions: other model, unhealthy, draining', () => {
  const fleet = fleetSnapshot([
    {},
    { healthy: false },
    { draining: true },
    { models: [servedModel('b')] },
    null,
  ]);
  const { outcome, cycle, picked } = run(profileOf({}), fleet, [0, 1, 2]);
  assert.equal(outcome, 'picked');
  assert.deepEqual(picked, [0]);
  assert.deepEqual(exclusions(cycle), [null, 'unhealthy', 'draining', 'other-model', null]);
});

test('who the gateway did not name is left out, after all other reasons', () => {
  const fleet = fleetSnapshot([{}, { healthy: false }, {}, { models: [servedModel('b')] }]);
  const subset = candidatesOf(fleet, [1, 2]);
  const context = schedulingContext(fleet, { subset });
  const cycle = scheduleCycle(profileOf({}), fleet.bySlot.length);
  const serving = candidatesOf(fleet, [0, 1, 2]);
  assert.equal(
    schedule(cycle, context, serving, () => 0),
    'picked',
  );
  assert.deepEqual([...cycle.picked.subarray(0, cycle.pickedCount)], [2]);
  assert.deepEqual(exclusions(cycle), ['endpoint-subset', 'unhealthy', null, 'other-model']);
  subset.clear();
  assert.equal(
    schedule(cycle, context, serving, () => 0),
    'no-endpoints',
  );
  assert.equal(scheduleWithout(cycle, context, serving, 'broken'), 'no-endpoints');
});

test('nobody usable: no endpoints, even if all are merely unhealthy', () => {
  const fleet = fleetSnapshot([{ healthy: false }, { draining: true }]);
  assert.equal(run(profileOf({}), fleet).outcome, 'no-endpoints');
});

test('filters run in order and are named; nobody left is overloaded', () => {
  const drop = (...slots: readonly number[]): Filter => ({
    filter: (_context, candidates) => {
      for (const slot of slots) candidates.remove(slot);
    },
  });
  const fleet = fleetSnapshot([{}, {}, {}, { healthy: false }]);
  const left = run(profileOf({ filters: [drop(1), drop(0, 1)] }), fleet);
  assert.deepEqual(exclusions(left.cycle), ['filter-1', 'filter-0', null, 'unhealthy']);
  assert.deepEqual(left.picked, [2]);
  assert.equal(run(profileOf({ filters: [drop(0, 1, 2)] }), fleet).outcome, 'overloaded');
});

test('ratings outside [0, 1] are clamped and counted, missing ones are 0', () => {
  const wild: Scorer = {
    score: (_context, _candidates, scores) => {
      scores[0] = 7;
      scores[1] = -1;
      scores[2] = Number.NaN;
      scores[4] = 0.5;
    },
  };
  const { cycle } = run(profileOf({ scorers: [wild] }), fleetSnapshot([{}, {}, {}, {}, {}]));
  assert.deepEqual([...cycle.board.totals], [1, 0, 0, 0, 0.5]);
  assert.deepEqual([...cycle.board.violations], [4]);
});

test('a rating of the request before is never reused', () => {
  let calls = 0;
  const lazy: Scorer = {
    score: (_context, _candidates, scores) => {
      if (calls === 0) scores.fill(1);
      calls += 1;
    },
  };
  const fleet = fleetSnapshot([{}, {}]);
  const cycle = scheduleCycle(profileOf({ scorers: [lazy] }), 2);
  for (const expected of [1, 0]) {
    schedule(cycle, schedulingContext(fleet), candidatesOf(fleet), () => 0);
    assert.deepEqual([...cycle.board.totals], [expected, expected]);
  }
});

const FAULTY: readonly (readonly [string, Parameters<typeof profileOf>[0]])[] = [
  [
    'a filter that throws after removing',
    {
      filters: [
        {
          filter: (_context, candidates) => {
            candidates.clear();
            throw new Error('filter');
          },
        },
      ],
    },
  ],
  [
    'a filter that adds an unhealthy endpoint',
    { filters: [{ filter: (_context, candidates) => candidates.add(0) }] },
  ],
  [
    'a scorer that throws nothing',
    {
      scorers: [
        {
          score: () => {
            throw undefined;
          },
        },
      ],
    },
  ],
  ['a picker that picks nobody', { picker: { pick: () => 0 } }],
  ['a picker that claims too many', { picker: { pick: () => 9 } }],
  [
    'a picker that names a stranger',
    {
      picker: {
        pick: (_context, _candidates, _totals, picked) => {
          picked[0] = 0;
          return 1;
        },
      },
    },
  ],
  [
    'a picker that names somebody twice',
    {
      picker: {
        pick: (_context, _candidates, _totals, picked) => {
          picked.fill(2);
          return 2;
        },
      },
    },
  ],
];

for (const [name, parts] of FAULTY) {
  test(`${name}: fewest in flight answers instead`, () => {
    const fleet = fleetSnapshot([{ healthy: false }, { inFlight: 5 }, { inFlight: 3 }]);
    const { outcome, cycle, picked } = run(profileOf(parts), fleet);
    assert.equal(outcome, 'picked');
    assert.notEqual(cycle.failure, null);
    assert.deepEqual(picked, [2, 1]);
    assert.deepEqual(exclusions(cycle), ['unhealthy', null, null]);
  });
}

/** A filter that keeps `slots`, as a matter of what cannot serve or of what is better. */
function keeping(slots: readonly number[], prefers = false): Filter {
  return {
    ...(prefers ? { prefers } : {}),
    filter: (_context, candidates) => {
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        if (!slots.includes(slot)) candidates.remove(slot);
      }
    },
  };
}

/** The lower the slot the better; writes down for whom it was asked. */
function byslot(asked: number[][]): Scorer {
  return {
    score: (_context, candidates, scores) => {
      const slots: number[] = [];
      for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
        slots.push(slot);
        scores[slot] = 1 - slot / 10;
      }
      asked.push(slots);
    },
  };
}

test('those that a filter only preferred others to are tried after them, as the rest has it', () => {
  const asked: number[][] = [];
  const { plugin: best } = buildProfile(POLICY_PROFILES.precise, pluginHost(6)).picker;
  const profile = (filters: readonly Filter[], picker: Picker = best): Profile =>
    profileOf({ filters, scorers: [byslot(asked)], picker });
  const fleet = fleetSnapshot([{}, {}, { healthy: false }, {}, {}, {}]);
  const prefersFour = keeping([4], true);
  const pinned = run(profile([prefersFour]), fleet);
  assert.deepEqual(pinned.picked, [4, 0, 1]);
  // Those the decision is among are rated last, and by themselves.
  assert.deepEqual(asked.splice(0), [[0, 1, 3, 5], [4]]);
  assert.deepEqual(exclusions(pinned.cycle), [
    'filter-0',
    'filter-0',
    'unhealthy',
    'filter-0',
    null,
    'filter-0',
  ]);
  // Filters before and after that are final stay so, for everybody.
  const allowed = [keeping([1, 3, 4, 5]), prefersFour, keeping([4, 5])];
  assert.deepEqual(run(profile(allowed), fleet).picked, [4, 5]);
  assert.equal(run(profile([...allowed, keeping([5])]), fleet).outcome, 'overloaded');
  assert.deepEqual(run(profile([keeping([4])]), fleet).picked, [4]);
  // As many as the picker is to name.
  const few = (endpointsMax: number): Picker => ({ ...best, endpointsMax });
  assert.deepEqual(run(profile([prefersFour], few(1)), fleet).picked, [4]);
  assert.deepEqual(run(profile([prefersFour], few(2)), fleet).picked, [4, 0]);
  // With enough of the preferred nobody else is even rated.
  asked.length = 0;
  assert.deepEqual(run(profile([keeping([1, 3, 4, 5], true)]), fleet).picked, [1, 3, 4]);
  assert.deepEqual(asked, [[1, 3, 4, 5]]);
});

for (const [name, filter] of [
  ['a session', { type: 'session-affinity-filter', parameters: {} }],
  ['a prefix', { type: 'prefix-cache-affinity-filter', parameters: { affinityThreshold: 0.8 } }],
  ['load', { type: 'bounded-load-filter', parameters: { freeRequests: 0, slack: 0.01 } }],
  ['waiting prefills', { type: 'prefill-wait-filter', parameters: {} }],
] as const) {
  test(`a request kept at one endpoint by ${name} has others to go on to`, () => {
    const fleet = fleetSnapshot([
      { waiting: 9, inFlight: 9, inFlightTokens: 900 },
      {},
      { waiting: 1, inFlight: 9, inFlightTokens: 900 },
    ]);
    const settings = { ...POLICY_PROFILES['load-aware'], filters: [filter] };
    const cycle = scheduleCycle(buildProfile(settings, pluginHost(3)), 3);
    const token = Buffer.from('10.0.0.1:8000').toString('base64');
    const context = schedulingContext(fleet, {
      totalBlocks: 10,
      promptTokens: 170,
      match: promptMatch([0, 9, 5]),
      headers: () => ({ 'x-session-token': token }),
    });
    const all = candidatesOf(fleet);
    assert.equal(
      schedule(cycle, context, all, () => 0),
      'picked',
    );
    assert.deepEqual(exclusions(cycle), [filter.type, null, filter.type]);
    assert.deepEqual([...cycle.picked.subarray(0, cycle.pickedCount)], [1, 2, 0]);
  });
}
