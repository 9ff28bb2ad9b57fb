// The order in which a decision's endpoints are shown, and the sentence on why the first one won.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision } from '#contracts/decision.js';
import { rankCandidates, rankingOf, whyFirst } from '#request/ranking.js';
import { decisionAmong, decisionCandidate } from '#test/support/decisions.js';

const terms = (prefix: number, queue: number) => [
  { scorer: 'prefix-cache-scorer', weight: 3, raw: prefix },
  { scorer: 'queue-scorer', weight: 2, raw: queue },
];
const of = (decision: Decision): readonly number[] =>
  rankCandidates(decision).map(({ slot }) => slot);

test('chosen and fallbacks come first, then totals, then load; who was left out comes last', () => {
  const decision = decisionAmong(
    [
      decisionCandidate(0, { excludedBy: 'unhealthy' }),
      decisionCandidate(1, { total: 1 }),
      decisionCandidate(2, { total: 4, inFlightRequests: 3 }),
      decisionCandidate(3, { total: 4, inFlightRequests: 1 }),
      decisionCandidate(4, { total: 2 }),
      decisionCandidate(5, { total: 5 }),
      decisionCandidate(6, { excludedBy: 'draining' }),
    ],
    { chosen: '10.0.0.4:8000', fallbacks: ['10.0.0.5:8000'] },
  );
  assert.deepEqual(of(decision), [4, 5, 3, 2, 1, 0, 6]);
});

test('a ranking has what is reused in tokens', () => {
  const decision = decisionAmong([decisionCandidate(0, { total: 3, usableBlocks: 9 })]);
  assert.deepEqual(rankingOf(decision), [
    { endpoint: '10.0.0.0:8000', total: 3, cachedTokens: 144, excludedBy: null },
  ]);
});

const SENTENCES: readonly (readonly [name: string, decision: Decision, sentence: string])[] = [
  [
    'a lead, by its largest term',
    decisionAmong([
      decisionCandidate(0, { total: 4.2, terms: terms(0.9, 0.75) }),
      decisionCandidate(1, { total: 2, terms: terms(0, 1) }),
      decisionCandidate(2, { total: 1.5, terms: terms(0.5, 0) }),
    ]),
    '10.0.0.0:8000 leads 10.0.0.1:8000 by 2.2, most of it by `prefix-cache-scorer` (0.9*3 against 0*3).',
  ],
  [
    'equal totals, fewer in flight',
    decisionAmong([
      decisionCandidate(0, { total: 2 }),
      decisionCandidate(1, { total: 2, inFlightRequests: 1 }),
      decisionCandidate(2, { total: 2, inFlightRequests: 4 }),
    ]),
    '10.0.0.0:8000 has the same total of 2 as 2 others and fewer requests in flight (0 against 1 or more).',
  ],
  [
    'equal in everything',
    decisionAmong([decisionCandidate(0, { total: 2 }), decisionCandidate(1, { total: 2 })]),
    '10.0.0.0:8000 has the same total of 2 as 1 other; `max-score-picker` chose among them.',
  ],
  [
    'a picker that does not go by totals',
    decisionAmong([decisionCandidate(0, { total: 1 }), decisionCandidate(1, { total: 3.5 })], {
      picker: 'weighted-random-picker',
    }),
    '`weighted-random-picker` chose 10.0.0.0:8000 although 10.0.0.1:8000 has 2.5 more: it does not go by the highest total alone.',
  ],
  ['one endpoint', decisionAmong([decisionCandidate(0)]), '10.0.0.0:8000 is the only endpoint.'],
  [
    'one endpoint left',
    decisionAmong([
      decisionCandidate(0),
      decisionCandidate(1, { excludedBy: 'unhealthy' }),
      decisionCandidate(2, { excludedBy: 'bounded-load-filter' }),
      decisionCandidate(3, { excludedBy: 'unhealthy' }),
    ]),
    '10.0.0.0:8000 is the only one left: left out were 2 unhealthy, 1 bounded-load-filter.',
  ],
  [
    'nobody left',
    decisionAmong([decisionCandidate(0, { excludedBy: 'utilization-filter' })], { chosen: null }),
    'Nobody was chosen: left out were 1 utilization-filter.',
  ],
  ['nobody there', decisionAmong([]), 'Nobody was chosen: there is no endpoint.'],
  [
    'a policy that failed',
    decisionAmong([decisionCandidate(0), decisionCandidate(1)], { failure: 'Error: no' }),
    'The policy failed (Error: no), so 10.0.0.0:8000 was taken for the fewest requests in flight.',
  ],
];

for (const [name, decision, sentence] of SENTENCES) {
  test(`why the first won: ${name}`, () => assert.equal(whyFirst(decision), sentence));
}
