// Every scorer against a table computed by hand from llm-d's formulas.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kvCacheUtilizationScorer } from '#plugins/kv-cache-utilization-scorer.js';
import { loadAwareScorer } from '#plugins/load-aware-scorer.js';
import { prefixCacheScorer } from '#plugins/prefix-cache-scorer.js';
import { queueScorer } from '#plugins/queue-scorer.js';
import { runningRequestsSizeScorer } from '#plugins/running-requests-size-scorer.js';
import { scoresOf } from '#test/support/plugins.js';
import { promptMatch } from '#test/support/scheduling.js';

const idle = [{}, {}, {}, {}];

test('prefix-cache-scorer: matched over total blocks, absolute', () => {
  const context = { totalBlocks: 10, match: promptMatch([9, 5, 0, 10]) };
  assert.deepEqual(scoresOf(prefixCacheScorer, idle, { context }), [0.9, 0.5, 0, 1]);
});

test('prefix-cache-scorer: nothing matched, or nothing to match, is 0', () => {
  assert.deepEqual(scoresOf(prefixCacheScorer, idle), [0, 0, 0, 0]);
  const context = { totalBlocks: 0, match: promptMatch([0, 0, 0, 0]) };
  assert.deepEqual(scoresOf(prefixCacheScorer, idle, { context }), [0, 0, 0, 0]);
});

test('prefix-cache-scorer: what is expected within moments counts like what is there', () => {
  const context = { totalBlocks: 10, match: promptMatch([2, 0], [6, 10]) };
  assert.deepEqual(scoresOf(prefixCacheScorer, [{}, {}], { context }), [0.6, 1]);
});

test('prefix-cache-scorer: a stream that is not live is believed by half or not at all', () => {
  const states = ['live', 'replaying', 'gapped', 'stale', 'cold', 'dead'] as const;
  const sketches = states.map((publisher) => ({ publisher }));
  const context = { totalBlocks: 10, match: promptMatch(states.map(() => 8)) };
  assert.deepEqual(scoresOf(prefixCacheScorer, sketches, { context }), [0.8, 0.4, 0.4, 0.4, 0, 0]);
  const sent = { totalBlocks: 10, match: promptMatch([0, 0, 0, 0, 0, 0], [8, 8, 8, 8, 8, 8]) };
  assert.deepEqual(
    scoresOf(prefixCacheScorer, sketches, { context: sent }),
    [0.8, 0.8, 0.8, 0.8, 0.8, 0.8],
  );
});

test('prefix-cache-scorer: matchLengthWeight mixes in the squared length', () => {
  // 8 of 10 blocks of 16 tokens = 128 tokens; scale 256: (128/256)² = 0.25; 0.5·0.25 + 0.5·0.8.
  const parameters = { matchLengthWeight: 0.5, matchLengthScaleTokens: 256 };
  const context = { totalBlocks: 10, blockSize: 16, match: promptMatch([8, 0, 10, 0]) };
  // Slot 2: 160 tokens: (160/256)² = 0.390625; 0.5·0.390625 + 0.5·1 = 0.695313.
  assert.deepEqual(
    scoresOf(prefixCacheScorer, idle, { parameters, context }),
    [0.525, 0, 0.695313, 0],
  );
});

test('kv-cache-utilization-scorer: 1 − usage', () => {
  const sketches = [{ kvCacheUsage: 0 }, { kvCacheUsage: 0.25 }, { kvCacheUsage: 1 }];
  assert.deepEqual(scoresOf(kvCacheUtilizationScorer, sketches), [1, 0.75, 0]);
});

test('queue-scorer: min-max over the candidates, 1 when all are equal', () => {
  const sketches = [{ waiting: 2 }, { waiting: 6 }, { waiting: 10 }, null, { waiting: 2 }];
  assert.deepEqual(scoresOf(queueScorer, sketches), [1, 0.5, 0, -1, 1]);
  assert.deepEqual(scoresOf(queueScorer, sketches, { slots: [1, 2] }), [-1, 1, 0, -1, -1]);
  assert.deepEqual(scoresOf(queueScorer, [{ waiting: 7 }, { waiting: 7 }]), [1, 1]);
  assert.deepEqual(scoresOf(queueScorer, [{ waiting: 7 }]), [1]);
});

test('running-requests-size-scorer: the same over running requests', () => {
  const sketches = [{ running: 8 }, { running: 4 }, { running: 0 }, { running: 6 }];
  assert.deepEqual(scoresOf(runningRequestsSizeScorer, sketches), [0, 0.5, 1, 0.25]);
});

test('load-aware-scorer: half a point, less the share of the threshold', () => {
  const sketches = [{ waiting: 0 }, { waiting: 32 }, { waiting: 128 }, { waiting: 500 }];
  assert.deepEqual(scoresOf(loadAwareScorer, sketches), [0.5, 0.375, 0, 0]);
  const parameters = { threshold: 64 };
  assert.deepEqual(scoresOf(loadAwareScorer, sketches, { parameters }), [0.5, 0.25, 0, 0]);
});

test('figures older than 5 s lose against fresh ones, whatever they say', () => {
  const sketches = [
    { waiting: 0, running: 0, kvCacheUsage: 0, scrapedAtMs: 4_999 },
    { waiting: 4, running: 4, kvCacheUsage: 0.5, scrapedAtMs: 5_000 },
    { waiting: 8, running: 8, kvCacheUsage: 0.75, scrapedAtMs: 9_000 },
  ];
  const context = { nowMs: 10_000 };
  assert.deepEqual(scoresOf(queueScorer, sketches, { context }), [0, 1, 0]);
  assert.deepEqual(scoresOf(runningRequestsSizeScorer, sketches, { context }), [0, 1, 0]);
  assert.deepEqual(scoresOf(kvCacheUtilizationScorer, sketches, { context }), [0, 0.5, 0.25]);
  assert.deepEqual(scoresOf(loadAwareScorer, sketches, { context }), [0, 0.484375, 0.46875]);
});

test('when all figures are old, the last known ones count', () => {
  const never = Number.NEGATIVE_INFINITY;
  const sketches = [
    { waiting: 0, kvCacheUsage: 0.5, scrapedAtMs: 0 },
    { waiting: 4, kvCacheUsage: 0, scrapedAtMs: never },
  ];
  const context = { nowMs: 60_000 };
  assert.deepEqual(scoresOf(queueScorer, sketches, { context }), [1, 0]);
  assert.deepEqual(scoresOf(kvCacheUtilizationScorer, sketches, { context }), [0.5, 1]);
});

test('scorers refuse parameters they do not know', () => {
  assert.throws(() => queueScorer.parameters.parse({ threshold: 1 }));
  assert.throws(() => loadAwareScorer.parameters.parse({ threshold: 0 }));
  assert.throws(() => prefixCacheScorer.parameters.parse({ matchLengthWeight: 1.5 }));
});
