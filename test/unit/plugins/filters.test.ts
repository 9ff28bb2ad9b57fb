// Filters by role, label, utilisation, prefix affinity and bounded load, case by case.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import { boundedLoadFilter } from '#plugins/bounded-load-filter.js';
import { byLabelFilter } from '#plugins/by-label-filter.js';
import { decodeFilter } from '#plugins/decode-filter.js';
import { encodeFilter } from '#plugins/encode-filter.js';
import { prefillFilter } from '#plugins/prefill-filter.js';
import { prefillWaitFilter } from '#plugins/prefill-wait-filter.js';
import { prefixCacheAffinityFilter } from '#plugins/prefix-cache-affinity-filter.js';
import { utilizationFilter } from '#plugins/utilization-filter.js';
import { keptBy } from '#test/support/plugins.js';
import { pluginHost, promptMatch } from '#test/support/scheduling.js';

const ROLES = [
  'encode',
  'encode-prefill',
  'encode-prefill-decode',
  'prefill',
  'prefill-decode',
  'both',
  'decode',
  'other',
];
const byRole = [...ROLES.map((role) => ({ labels: { 'llm-d.ai/role': role } })), {}];
const rolesKept = (slots: readonly number[]): readonly string[] =>
  slots.map((slot) => ROLES[slot] ?? 'none');

test('role filters keep the roles llm-d lists; decode also keeps endpoints without one', () => {
  assert.deepEqual(rolesKept(keptBy(encodeFilter, byRole)), [
    'encode',
    'encode-prefill',
    'encode-prefill-decode',
  ]);
  assert.deepEqual(rolesKept(keptBy(prefillFilter, byRole)), [
    'encode-prefill',
    'encode-prefill-decode',
    'prefill',
    'prefill-decode',
    'both',
  ]);
  assert.deepEqual(rolesKept(keptBy(decodeFilter, byRole)), [
    'encode-prefill-decode',
    'prefill-decode',
    'both',
    'decode',
    'none',
  ]);
});

test('by-label: one of the values, and those without the label when allowed', () => {
  const fleet = [{ labels: { zone: 'a' } }, { labels: { zone: 'b' } }, { labels: { rack: 'a' } }];
  const by = (parameters: object): readonly number[] =>
    keptBy(byLabelFilter, fleet, { parameters });
  assert.deepEqual(by({ label: 'zone', validValues: ['a', 'c'] }), [0]);
  assert.deepEqual(by({ label: 'zone', validValues: ['a'], allowsNoLabel: true }), [0, 2]);
  assert.deepEqual(by({ label: 'zone' }), []);
  assert.deepEqual(by({ label: 'constructor', validValues: ['x'] }), []);
});

test('utilization-filter: over any cap is out; at the cap is in; never scraped counts as 0', () => {
  const fleet = [
    { inFlight: 5, waiting: 0, running: 9, kvCacheUsage: 0.95 },
    { inFlight: 6, waiting: 2, running: 9, kvCacheUsage: 0.9 },
    { inFlight: 5, waiting: 3, running: 9, kvCacheUsage: 0.5 },
    { scrapedAtMs: Number.NEGATIVE_INFINITY },
  ];
  const by = (...conditions: readonly object[]): readonly number[] =>
    keptBy(utilizationFilter, fleet, { parameters: { conditions } });
  assert.deepEqual(by({ metric: 'active-requests', maxValue: 5 }), [0, 2, 3]);
  assert.deepEqual(by({ metric: 'waiting-queue', maxValue: 2 }), [0, 1, 3]);
  assert.deepEqual(by({ metric: 'running-requests', maxValue: 8 }), [3]);
  assert.deepEqual(by({ metric: 'kv-cache-utilization', maxValue: 0.9 }), [1, 2, 3]);
  const both = [
    { metric: 'waiting-queue', maxValue: 2 },
    { metric: 'kv-cache-utilization', maxValue: 0.9 },
  ];
  assert.deepEqual(by(...both), [1, 3]);
});

test('utilization-filter: when everyone is over, fallbackOnEmpty decides', () => {
  const fleet = [{ waiting: 3 }, { waiting: 4 }];
  const conditions = [{ metric: 'waiting-queue', maxValue: 2 }];
  assert.deepEqual(keptBy(utilizationFilter, fleet, { parameters: { conditions } }), []);
  const parameters = { conditions, fallbackOnEmpty: true };
  assert.deepEqual(keptBy(utilizationFilter, fleet, { parameters }), [0, 1]);
  assert.deepEqual(keptBy(utilizationFilter, fleet, { parameters, slots: [1] }), [1]);
});

const match = { totalBlocks: 10, match: promptMatch([9, 8, 7, 0]) };

test('prefix-cache-affinity-filter: who holds the share stays alone; nobody: everyone stays', () => {
  const idle = [{}, {}, {}, {}];
  assert.deepEqual(keptBy(prefixCacheAffinityFilter, idle, { context: match }), [0, 1]);
  const parameters = { affinityThreshold: 0.95 };
  assert.deepEqual(
    keptBy(prefixCacheAffinityFilter, idle, { context: match, parameters }),
    [0, 1, 2, 3],
  );
  assert.deepEqual(keptBy(prefixCacheAffinityFilter, idle), [0, 1, 2, 3]);
  const off = { affinityThreshold: 0 };
  assert.deepEqual(
    keptBy(prefixCacheAffinityFilter, idle, { context: match, parameters: off }),
    [0, 1, 2, 3],
  );
});

test('prefix-cache-affinity-filter: holders that are too far behind are not held to', () => {
  // 15,928 tokens a second: 300,000 tokens are 18.83 s, 286,704 are 18.0 s.
  const behind = (...tokens: readonly number[]): readonly number[] =>
    keptBy(
      prefixCacheAffinityFilter,
      tokens.map((inFlightTokens) => ({ inFlightTokens })),
      { context: match },
    );
  assert.deepEqual(behind(300_000, 300_000, 0, 5000), [0, 1, 2, 3]);
  assert.deepEqual(behind(286_704, 300_000, 0, 5000), [0, 1]);
  // The least busy holder counts, and the least busy other.
  assert.deepEqual(behind(300_000, 0, 0, 0), [0, 1]);
  assert.deepEqual(behind(300_000, 300_000, 20_000, 20_000), [0, 1]);
  const always = { maxTTFTPenaltyMs: 0 };
  const busy = [300_000, 300_000, 0, 0].map((inFlightTokens) => ({ inFlightTokens }));
  assert.deepEqual(
    keptBy(prefixCacheAffinityFilter, busy, { context: match, parameters: always }),
    [0, 1],
  );
  // With holders only there is nobody to be behind.
  assert.deepEqual(
    keptBy(prefixCacheAffinityFilter, busy, { context: match, slots: [0, 1] }),
    [0, 1],
  );
});

test('prefix-cache-affinity-filter: explores as often as it is told', () => {
  const parameters = { explorationProbability: 0.25 };
  const host = pluginHost(4, seededRandom(9));
  let explored = 0;
  for (let turn = 0; turn < 1000; turn += 1) {
    const run = { context: match, parameters, host };
    if (keptBy(prefixCacheAffinityFilter, [{}, {}, {}, {}], run).length === 4) explored += 1;
  }
  // Six standard deviations of a binomial of 1,000 and 0.25; the seed is fixed.
  assert.ok(Math.abs(explored - 250) < 82, `${explored}`);
});

test('prefix-cache-affinity-filter: latency prediction is refused with its reason', () => {
  const parse = (): unknown =>
    prefixCacheAffinityFilter.parameters.parse({ ttftSource: 'latencyPredictor' });
  assert.throws(parse, /latencyPredictor needs latency prediction, which this version does not/);
});

test('bounded-load-filter: whoever has the bound in flight is out', () => {
  const fleet = (...requests: readonly number[]): { inFlight: number }[] =>
    requests.map((inFlight) => ({ inFlight }));
  const by = (requests: readonly number[], parameters: object): readonly number[] =>
    keptBy(boundedLoadFilter, fleet(...requests), { parameters });
  const strict = { slack: 0.25, freeRequests: 0 };
  // m = 40, n = 4: ⌈1.25 · 41 / 4⌉ = ⌈12.8125⌉ = 13.
  assert.deepEqual(by([10, 13, 12, 5], strict), [0, 2, 3]);
  // m = 0: ⌈1.25 / 4⌉ = 1, so the first request may go anywhere.
  assert.deepEqual(by([0, 0, 0, 0], strict), [0, 1, 2, 3]);
  // m = 1: ⌈1.25 · 2 / 4⌉ = 1: the second goes elsewhere, unless a few are free.
  assert.deepEqual(by([1, 0, 0, 0], strict), [1, 2, 3]);
  assert.deepEqual(by([1, 0, 0, 0], {}), [0, 1, 2, 3]);
  assert.deepEqual(by([16, 0, 0, 0], {}), [1, 2, 3]);
  // slack 1: ⌈2 · 41 / 4⌉ = 21.
  assert.deepEqual(by([20, 20, 0, 0], { slack: 1, freeRequests: 0 }), [0, 1, 2, 3]);
  assert.deepEqual(by([21, 19, 0, 0], { slack: 1, freeRequests: 0 }), [1, 2, 3]);
  // A single candidate always has room: ⌈1.25 · 101⌉ = 127.
  assert.deepEqual(by([100], strict), [0]);
});

test('prefill-wait-filter: who would have it sooner computed anew, or done before it begins', () => {
  const by = (
    endpoints: readonly (readonly [waiting: number, heldBlocks: number, requests?: number])[],
    promptTokens = 1600,
  ): readonly number[] =>
    keptBy(
      prefillWaitFilter,
      endpoints.map(([inFlightTokens, , inFlight = 0]) => ({ inFlightTokens, inFlight })),
      {
        parameters: { margin: 0.25 },
        context: {
          promptTokens,
          totalBlocks: 100,
          match: promptMatch(endpoints.map(([, held]) => held)),
        },
      },
    );
  // Nobody waits: whoever holds what.
  assert.deepEqual(
    by([
      [0, 0],
      [0, 99],
      [0, 50],
    ]),
    [0, 1, 2],
  );
  // Anew takes 1,600 tokens, with the margin 2,000: waiting 1,984 and 16 of its own is no longer.
  assert.deepEqual(
    by([
      [0, 0],
      [1984, 99],
    ]),
    [0, 1],
  );
  assert.deepEqual(
    by([
      [0, 0],
      [1985, 99],
    ]),
    [0],
  );
  // The other has something to compute, so everyone there would wait longer.
  assert.deepEqual(
    by([
      [1, 0],
      [9000, 99],
    ]),
    [0, 1],
  );
  // Equal holders: 16 tokens more are done before the other begins.
  assert.deepEqual(
    by([
      [100, 99],
      [115, 99],
      [116, 99],
    ]),
    [0, 1],
  );
  // Those that hold nothing: all there together wait for 1,700 tokens, with the margin 2,125.
  assert.deepEqual(
    by([
      [100, 0],
      [525, 0],
      [526, 0],
    ]),
    [0, 1],
  );
  // Four would wait for 1,700 tokens, or two for more: 6,800 together, with the margin 8,500.
  assert.deepEqual(
    by([
      [100, 0, 3],
      [2650, 0, 1],
      [2651, 0, 1],
    ]),
    [0, 1],
  );
  // A holder that has it done before those that hold less begin.
  assert.deepEqual(
    by([
      [5000, 99],
      [5016, 50],
      [5015, 50],
    ]),
    [0, 2],
  );
  // Without a count of the prompt's tokens nothing is known.
  assert.deepEqual(
    by(
      [
        [0, 0],
        [9000, 0],
      ],
      0,
    ),
    [0, 1],
  );
});
