// context-length-aware as scorer and as filter, against llm-d's formula.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextLengthAwareFilter } from '#plugins/context-length-aware-filter.js';
import { contextLengthAwareScorer } from '#plugins/context-length-aware-scorer.js';
import { keptBy, scoresOf } from '#test/support/plugins.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  schedulingContext,
} from '#test/support/scheduling.js';

const LABEL = 'llm-d.ai/context-length-range';
const ranges = (...texts: readonly string[]): { labels: Record<string, string> }[] =>
  texts.map((text) => ({ labels: { [LABEL]: text } }));
const fleet = [...ranges('0-2000', '2000-12000', ' 0 - 40000 ', '1000-1000'), {}];

test('in range: tighter and with more headroom is better', () => {
  // 0-2000, 1,000 tokens: 0.7/1.2 + 0.3·0.5 = 0.733333; 0.3 + 0.7·0.733333 = 0.813333.
  // 2000-12000: 1,000 short of it: 0.3 / 2 = 0.15.
  // 0-40000: 0.7/5 + 0.3·39000/40000 = 0.4325; 0.3 + 0.7·0.4325 = 0.60275. A width of 0 is 1.
  const context = { promptTokens: 1000 };
  assert.deepEqual(
    scoresOf(contextLengthAwareScorer, fleet, { context }),
    [0.813333, 0.15, 0.60275, 1, 0.5],
  );
});

test('out of range: nearer is better, and never as good as in range', () => {
  // 14,000 tokens: 12,000 over: 0.3/13; 2,000 over: 0.3/3; in 0-40000: 0.7/5 + 0.3·26000/40000 =
  // 0.335; 0.3 + 0.7·0.335 = 0.5345; 13,000 over: 0.3/14.
  const context = { promptTokens: 14_000 };
  assert.deepEqual(
    scoresOf(contextLengthAwareScorer, fleet, { context }),
    [0.023077, 0.1, 0.5345, 0.021429, 0.5],
  );
  // The border itself is in range: 0.3 + 0.7·0.7/1.2.
  const atMost = { promptTokens: 2000 };
  assert.deepEqual(
    scoresOf(contextLengthAwareScorer, ranges('0-2000'), { context: atMost }),
    [0.708333],
  );
});

test('what is no range scores 0; an unknown length says nothing', () => {
  const broken = ranges('2000', 'a-b', '5-1', '', '-5-10');
  const context = { promptTokens: 7 };
  assert.deepEqual(scoresOf(contextLengthAwareScorer, broken, { context }), [0, 0, 0, 0, 0]);
  assert.deepEqual(scoresOf(contextLengthAwareScorer, fleet), [0.5, 0.5, 0.5, 0.5, 0.5]);
});

test('as a filter it removes only when told to, and only by a known length', () => {
  const context = { promptTokens: 3000 };
  const parameters = { enableFiltering: true };
  assert.deepEqual(keptBy(contextLengthAwareFilter, fleet, { context }), [0, 1, 2, 3, 4]);
  assert.deepEqual(keptBy(contextLengthAwareFilter, fleet, { context, parameters }), [1, 2, 4]);
  assert.deepEqual(keptBy(contextLengthAwareFilter, fleet, { parameters }), [0, 1, 2, 3, 4]);
  const broken = [...ranges('5-1', '0-9000'), {}];
  assert.deepEqual(keptBy(contextLengthAwareFilter, broken, { context, parameters }), [1, 2]);
});

test('another label, and an endpoint that is labelled anew', () => {
  const parameters = { label: 'lengths' };
  const plugin = contextLengthAwareScorer.create(
    contextLengthAwareScorer.parameters.parse(parameters),
    pluginHost(1),
  );
  const scores = new Float64Array(1);
  for (const [text, expected] of [
    ['10-10', 1],
    ['0-0', 0.3 / 1.01],
    ['10-10', 1],
  ] as const) {
    const snapshot = fleetSnapshot([{ labels: { lengths: text } }]);
    const context = schedulingContext(snapshot, { promptTokens: 10 });
    plugin.score(context, candidatesOf(snapshot), scores);
    assert.equal(scores[0], expected);
  }
});
