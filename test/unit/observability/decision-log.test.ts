import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision, DecisionResult } from '#contracts/decision.js';
import { DecisionRing } from '#observability/decision-log.js';

function decision(requestId: string, model = 'm'): Decision {
  return {
    requestId,
    at: '2026-01-01T00:00:00.000Z',
    model,
    resolvedTargetModel: model,
    priority: 0,
    profile: 'default',
    chosen: 'a:1',
    fallbacks: [],
    promptTokens: 10,
    totalBlocks: 0,
    blockSize: 16,
    predictedCachedTokens: 0,
    noMatchReason: null,
    fleetEpoch: 1,
    indexEpoch: 1,
    candidates: [],
    encodeMicros: { parse: 0, render: 0, tokenize: 0, hash: 0, match: 0 },
    overheadMicros: 1,
  };
}

const RESULT: DecisionResult = {
  endpoint: 'a:1',
  status: 200,
  outcome: 'completed',
  reportedCachedTokens: null,
  reportedPromptTokens: null,
  firstByteMs: 1,
  lastByteMs: 2,
};

test('results are joined to their decisions', () => {
  const log = new DecisionRing(2);
  log.record(decision('r1'));
  assert.deepEqual(log.find('r1')?.result, null);
  log.finish('r1', RESULT);
  log.finish('unknown', RESULT);
  assert.deepEqual(log.find('r1')?.result, RESULT);
});

test('the oldest decision makes room, the newest comes first', () => {
  const log = new DecisionRing(3);
  for (const id of ['r1', 'r2', 'r3', 'r4']) log.record(decision(id));
  assert.equal(log.find('r1'), null);
  const ids = (count: number): readonly string[] =>
    log.last(count).map((entry) => entry.decision.requestId);
  assert.deepEqual(ids(10), ['r4', 'r3', 'r2']);
  assert.deepEqual(ids(1), ['r4']);
  assert.deepEqual(new DecisionRing(3).last(5), []);
});

test('a reused request id finds its latest decision, and survives the older one', () => {
  const log = new DecisionRing(3);
  log.record(decision('same', 'old'));
  log.record(decision('same', 'new'));
  assert.equal(log.find('same')?.decision.model, 'new');
  log.record(decision('r3'));
  log.record(decision('r4'));
  assert.equal(log.find('same')?.decision.model, 'new', 'overwriting the old one keeps it');
  log.record(decision('r5'));
  assert.equal(log.find('same'), null);
});
