// A decision as the commands score and explain print it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelRewrite } from '#contracts/decision.js';
import { decisionLines, outcomeLines, rewriteLine } from '#main/commands/decision-text.js';
import { decisionAmong, decisionCandidate, decisionResult } from '#test/support/decisions.js';

const terms = (prefix: number, queue: number) => [
  { scorer: 'prefix-cache-scorer', weight: 3, raw: prefix },
  { scorer: 'queue-scorer', weight: 2, raw: queue },
];
const DECISION = decisionAmong([
  decisionCandidate(0, { total: 4.7, terms: terms(0.9, 1), usableBlocks: 9 }),
  decisionCandidate(1, { excludedBy: 'unhealthy', usableBlocks: 10 }),
  decisionCandidate(12, { total: 1.33333, terms: terms(0, 0.666666), inFlightRequests: 14 }),
]);

test('the endpoints stand in a table, best first, with terms, blocks, load and exclusions', () => {
  assert.deepEqual(decisionLines(DECISION), [
    'request-1: model model-a, profile precise, 170 prompt tokens, 10 full blocks of 16',
    '',
    '   endpoint        total   prefix-cache-scorer  queue-scorer  blocks  in flight  left out by',
    '1  10.0.0.0:8000   4.7     0.9*3                1*2           9/10    0',
    '2  10.0.0.12:8000  1.3333  0*3                  0.6667*2      0/10    14',
    '-  10.0.0.1:8000   -       -                    -             10/10   0          unhealthy',
    '',
    '10.0.0.0:8000 leads 10.0.0.12:8000 by 3.3667, most of it by `prefix-cache-scorer` (0.9*3 against 0*3).',
  ]);
});

test('a prompt that was not matched says why', () => {
  const unmatched = decisionAmong([decisionCandidate(0)], {
    promptTokens: 0,
    totalBlocks: 0,
    noMatchReason: 'tokenizer-unproven',
  });
  assert.equal(
    decisionLines(unmatched)[0],
    'request-1: model model-a, profile precise, prompt, not matched (tokenizer-unproven)',
  );
});

test('a rewritten model is told with its target, and what chose that', () => {
  const rewritten = decisionAmong([decisionCandidate(0)], {
    model: 'chat',
    resolvedTargetModel: 'model-a',
  });
  assert.match(
    decisionLines(rewritten)[0] ?? '',
    /^request-1: model chat sent as model-a, profile/,
  );
  const line = (chosenBy: ModelRewrite['chosenBy']): string =>
    rewriteLine({ model: 'chat', target: 'model-a', chosenBy, share: 1 / 3 });
  assert.deepEqual((['header', 'only-target', 'session', 'chance'] as const).map(line), [
    '`chat` is sent as `model-a`: the header names it.',
    '`chat` is sent as `model-a`: its rule has no other target.',
    '`chat` is sent as `model-a`: its session always is, as 33.3333 % of sessions are.',
    '`chat` is sent as `model-a`: drawn for this answer, as for 33.3333 % of requests without a session.',
  ]);
});

test('the outcome has prediction, report, attempts and times', () => {
  assert.deepEqual(outcomeLines(DECISION, decisionResult({ lastByteMs: 173.9741 })), [
    'ended    200 completed by 10.0.0.0:8000, 1 attempt',
    'cached   predicted 144 of 170 prompt tokens; the engine reported 144 of 170, as predicted',
    'router   403 µs in all: parse 10 µs, render 20 µs, tokenize 300 µs, hash 4 µs, match 6 µs, filter 1 µs, score 7 µs, pick 2 µs',
    'answer   first byte 12.3 ms, last byte 174 ms',
  ]);
});

test('another endpoint that answered is held to its own prediction', () => {
  const result = decisionResult({
    endpoint: '10.0.0.12:8000',
    attempts: 2,
    reportedCachedTokens: 32,
    reportedPromptTokens: null,
  });
  const [ended, cached] = outcomeLines(DECISION, result);
  assert.equal(ended, 'ended    200 completed by 10.0.0.12:8000, 2 attempts');
  assert.equal(
    cached,
    'cached   predicted 0 of 170 prompt tokens; the engine reported 32, 32 more',
  );
});

test('what is not known is said, not made up', () => {
  const failed = decisionResult({
    endpoint: null,
    status: 502,
    outcome: 'endpoint-failed',
    errorCode: 'endpoint_unreachable',
    attempts: 3,
    reportedCachedTokens: null,
    firstByteMs: null,
  });
  const unmatched = decisionAmong([decisionCandidate(0)], { totalBlocks: 0 });
  const [ended, cached, , answer] = outcomeLines(unmatched, failed);
  assert.equal(ended, 'ended    502 endpoint-failed (endpoint_unreachable), 3 attempts');
  assert.equal(cached, 'cached   nothing was predicted; the engine reported none');
  assert.equal(answer, 'answer   first byte none, last byte 90 ms');
  assert.equal(outcomeLines(DECISION, null)[0], 'ended    not yet, or it never was sent on');
});
