// Scorers that go by what this router has in flight, and by adapters, against tables computed by
// hand from llm-d's formulas.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeRequestScorer } from '#plugins/active-request-scorer.js';
import { loraAffinityScorer } from '#plugins/lora-affinity-scorer.js';
import { tokenLoadScorer } from '#plugins/token-load-scorer.js';
import { scoresOf } from '#test/support/plugins.js';
import { servedModel } from '#test/support/scheduling.js';

test('active-request-scorer: idle is 1, else (max − n) / max of the busy ones', () => {
  const sketches = [{ inFlight: 0 }, { inFlight: 2 }, { inFlight: 6 }, { inFlight: 8 }];
  // (8 − 2) / 8 = 0.75; (8 − 6) / 8 = 0.25; the fullest is 0.
  assert.deepEqual(scoresOf(activeRequestScorer, sketches), [1, 0.75, 0.25, 0]);
  // Equally busy ones are all 0, as in llm-d: nobody of them is to be preferred.
  assert.deepEqual(scoresOf(activeRequestScorer, [{ inFlight: 3 }, { inFlight: 3 }]), [0, 0]);
  assert.deepEqual(
    scoresOf(activeRequestScorer, sketches, { slots: [1, 2] }),
    [-1, 0.666667, 0, -1],
  );
});

test('active-request-scorer: idleThreshold and maxBusyScore set idle ones apart', () => {
  const sketches = [{ inFlight: 0 }, { inFlight: 2 }, { inFlight: 6 }, { inFlight: 8 }];
  const parameters = { idleThreshold: 2, maxBusyScore: 0.5 };
  assert.deepEqual(scoresOf(activeRequestScorer, sketches, { parameters }), [1, 1, 0.125, 0]);
  assert.deepEqual(
    scoresOf(activeRequestScorer, sketches, { parameters: { maxBusyScore: 0 } }),
    [1, 0, 0, 0],
  );
});

test('token-load-scorer: 1 − the share of the threshold', () => {
  const sketches = [0, 1024, 4096, 9000].map((inFlightTokens) => ({ inFlightTokens }));
  const parameters = { queueThresholdTokens: 4096 };
  assert.deepEqual(scoresOf(tokenLoadScorer, sketches, { parameters }), [1, 0.75, 0, 0]);
  // 1,048,576 of 4,194,304 is a quarter.
  assert.deepEqual(scoresOf(tokenLoadScorer, [{ inFlightTokens: 1_048_576 }]), [0.75]);
});

test('token-load-scorer: estimated answers count like prompts', () => {
  const sketches = [{ inFlightTokens: 1000, outputTokens: 1048 }, { outputTokens: 1024 }];
  const parameters = { queueThresholdTokens: 4096 };
  assert.deepEqual(scoresOf(tokenLoadScorer, sketches, { parameters }), [0.5, 0.75]);
});

test('lora-affinity-scorer: running 1, room 0.8, waiting 0.6, else 0', () => {
  const full = { maxAdapters: 2, runningAdapters: ['a', 'b'] };
  const sketches = [
    { maxAdapters: 2, runningAdapters: ['sql', 'b'] },
    { maxAdapters: 4, runningAdapters: ['a'], waitingAdapters: ['b'] },
    { maxAdapters: 2, runningAdapters: ['a'], waitingAdapters: ['sql'] },
    { ...full, waitingAdapters: ['sql'] },
    full,
    {},
    // Room comes before waiting: it is loaded here all the same.
    { maxAdapters: 3, runningAdapters: ['a'], waitingAdapters: ['sql'] },
  ];
  const context = { adapter: 'sql' };
  assert.deepEqual(
    scoresOf(loraAffinityScorer, sketches, { context }),
    [1, 0.8, 0.6, 0.6, 0, 0, 0.8],
  );
  // The base model runs nowhere as an adapter: room is all there is.
  assert.deepEqual(scoresOf(loraAffinityScorer, sketches), [0, 0.8, 0, 0, 0, 0, 0.8]);
});

test('lora-affinity-scorer: room counts less where the adapter must be loaded first', () => {
  const models = [servedModel('model-a'), { ...servedModel('sql', 'model-a'), loaded: false }];
  const sketches = [
    { maxAdapters: 2 },
    { maxAdapters: 2, models },
    { maxAdapters: 2, models, runningAdapters: ['sql'] },
    { maxAdapters: 1, models, runningAdapters: ['a'] },
  ];
  const context = { adapter: 'sql' };
  assert.deepEqual(scoresOf(loraAffinityScorer, sketches, { context }), [0.8, 0.7, 1, 0]);
});

test('lora-affinity-scorer: what is known from long ago loses against fresh figures', () => {
  const loaded = { maxAdapters: 2, runningAdapters: ['sql'] };
  const sketches = [
    { ...loaded, scrapedAtMs: 0 },
    { ...loaded, scrapedAtMs: 9000 },
  ];
  const context = { adapter: 'sql', nowMs: 10_000 };
  assert.deepEqual(scoresOf(loraAffinityScorer, sketches, { context }), [0, 1]);
  assert.deepEqual(scoresOf(loraAffinityScorer, [{ ...loaded }], { context }), [1]);
});
