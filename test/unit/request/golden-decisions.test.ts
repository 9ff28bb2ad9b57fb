// Decisions of llm-d's own configurations, with every total computed by hand from the formulas: what
// a user of those configurations may rely on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import type { PolicySettings } from '#config/configuration.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { notePicked } from '#request/hooks.js';
import { clearSignals, policyCycle, scheduleByPolicy } from '#request/policy-cycle.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

interface Written {
  readonly filters?: readonly (readonly [type: string, parameters?: Record<string, unknown>])[];
  readonly scorers: readonly (readonly [
    type: string,
    weight: number,
    parameters?: Record<string, unknown>,
  ])[];
  readonly producers?: readonly string[];
}

/** A policy as a configuration of llm-d would have it, one profile with max-score-picker. */
function policyOf({ filters = [], scorers, producers = [] }: Written): PolicySettings {
  return {
    profiles: [
      {
        name: 'default',
        filters: filters.map(([type, parameters = {}]) => ({ type, parameters })),
        scorers: scorers.map(([type, weight, parameters = {}]) => ({ type, weight, parameters })),
        picker: { type: 'max-score-picker', parameters: {} },
      },
    ],
    profileHandler: { type: 'single-profile-handler', parameters: {} },
    producers: producers.map((type) => ({ type, parameters: {} })),
  };
}

interface Decided {
  readonly totals: readonly number[];
  readonly picked: readonly number[];
}

/** Decides requests one after the other, as the pipeline does; excluded endpoints total −1. */
function router(written: Written, capacity: number) {
  const policy = policyCycle(buildPolicy(policyOf(written), pluginHost(capacity)), capacity);
  return (fleet: FleetSnapshot, changes: Partial<SchedulingContext>): Decided => {
    const signals = clearSignals(policy);
    const context = schedulingContext(fleet, { totalBlocks: 10, ...changes, signals });
    const outcome = scheduleByPolicy(policy, context, candidatesOf(fleet), () => 0);
    const { current } = policy;
    assert.equal(outcome, 'picked');
    assert.equal(current.failure, null);
    notePicked(current.hooks, context, current.picked[0] ?? -1, () => assert.fail('a hook threw'));
    return {
      totals: [...current.board.totals].map((total, slot) =>
        current.candidates.has(slot) ? Math.round(total * 1e4) / 1e4 : -1,
      ),
      picked: [...current.picked.subarray(0, current.pickedCount)],
    };
  };
}

interface Golden {
  readonly name: string;
  readonly policy: Written;
  readonly fleet: readonly (EndpointSketch | null)[];
  readonly usable: readonly number[];
  readonly context?: Partial<SchedulingContext>;
  readonly decided: Decided;
}

const DEFAULT: Written = {
  scorers: [
    ['prefix-cache-scorer', 3],
    ['kv-cache-utilization-scorer', 2],
    ['queue-scorer', 2],
  ],
};
const PRECISE: Written = {
  producers: ['token-producer', 'precise-prefix-cache-producer'],
  filters: [['decode-filter']],
  scorers: [
    ['prefix-cache-scorer', 2, { prefixMatchInfoProducerName: 'precise-prefix-cache-producer' }],
    ['kv-cache-utilization-scorer', 1],
    ['queue-scorer', 1],
  ],
};
const ESTIMATE: Written = {
  filters: [['decode-filter']],
  scorers: [
    ['prefix-cache-scorer', 1],
    ['load-aware-scorer', 1],
  ],
};
const decode = { labels: { 'llm-d.ai/role': 'decode' } };
const prefill = { labels: { 'llm-d.ai/role': 'prefill' } };

const GOLDEN: readonly Golden[] = [
  {
    // Queue: max 4, min 0. 3·0.9 + 2·0.5 + 2·0 = 3.7; 3·0.5 + 2·0.8 + 2·1 = 5.1; 0 + 2·1 + 2·0.5.
    name: 'default: a long match loses against a shorter one without queue',
    policy: DEFAULT,
    fleet: [
      { kvCacheUsage: 0.5, waiting: 4 },
      { kvCacheUsage: 0.2, waiting: 0 },
      { kvCacheUsage: 0, waiting: 2 },
      { healthy: false },
    ],
    usable: [9, 5, 0, 10],
    decided: { totals: [3.7, 5.1, 3, -1], picked: [1, 0, 2] },
  },
  {
    // The queue is min-max: one waiting request against none is the whole term.
    // 2.7 + 1 + 0 = 3.7; 0 + 1.2 + 2 = 3.2.
    name: 'default: nine tenths of the prompt outweigh an emptier endpoint',
    policy: DEFAULT,
    fleet: [
      { kvCacheUsage: 0.5, waiting: 1 },
      { kvCacheUsage: 0.4, waiting: 0 },
    ],
    usable: [9, 0],
    decided: { totals: [3.7, 3.2], picked: [0, 1] },
  },
  {
    // Nobody holds anything, everyone is equal: 0 + 2·0.9 + 2·1 = 3.8; fewest in flight wins.
    name: 'default: a tie goes to the fewest in flight',
    policy: DEFAULT,
    fleet: [
      { kvCacheUsage: 0.1, inFlight: 2 },
      { kvCacheUsage: 0.1, inFlight: 0 },
      { kvCacheUsage: 0.1, inFlight: 1 },
    ],
    usable: [0, 0, 0],
    decided: { totals: [3.8, 3.8, 3.8], picked: [1, 2, 0] },
  },
  {
    // Slot 0 is for prefill only. Queue over the others: max 6, min 0.
    // 2·0.4 + 0.7 + 0 = 1.5; 2·0 + 1 + 1 = 2; 2·1 + 0.1 + 0.5 = 2.6.
    name: 'precise: of those that decode',
    policy: PRECISE,
    fleet: [
      { ...prefill, kvCacheUsage: 0, waiting: 0 },
      { ...decode, kvCacheUsage: 0.3, waiting: 6 },
      { kvCacheUsage: 0, waiting: 0 },
      { ...decode, kvCacheUsage: 0.9, waiting: 3 },
    ],
    usable: [10, 4, 0, 10],
    decided: { totals: [-1, 1.5, 2, 2.6], picked: [3, 2, 1] },
  },
  {
    // Half of what a stream with a gap has told counts: 2·0.4 + 1 + 1 = 2.8 against 2·0.5 + 1 + 1.
    name: 'precise: a match that is only half believed',
    policy: PRECISE,
    fleet: [{ publisher: 'gapped' }, {}],
    usable: [8, 5],
    decided: { totals: [2.8, 3], picked: [1, 0] },
  },
  {
    // 0.6 + 0.5·(1 − 64/128) = 0.85; 0.3 + 0.5 = 0.8; 0.8 + 0 = 0.8: the tie by requests in flight.
    name: 'approximate: prefix and load-aware',
    policy: ESTIMATE,
    fleet: [
      { ...prefill },
      { waiting: 64 },
      { ...decode, waiting: 0, inFlight: 4 },
      { ...decode, waiting: 128, inFlight: 1 },
    ],
    usable: [10, 6, 3, 8],
    decided: { totals: [-1, 0.85, 0.8, 0.8], picked: [1, 3, 2] },
  },
  {
    // Queue: max 8, min 2. 2·0.2 + 2·1 = 2.4; 2·1 + 2·0 = 2; 2·0.6 + 2·0.5 = 2.2.
    name: 'load-aware: what is cached does not matter',
    policy: { scorers: DEFAULT.scorers.slice(1) },
    fleet: [
      { kvCacheUsage: 0.8, waiting: 2 },
      { kvCacheUsage: 0, waiting: 8 },
      { kvCacheUsage: 0.4, waiting: 5 },
    ],
    usable: [0, 10, 10],
    decided: { totals: [2.4, 2, 2.2], picked: [0, 2, 1] },
  },
  {
    // A prompt with media has no prefix match, so no blocks: 10·0 + 4·0 + 1·1 = 1; 10·0 + 4·1 + 1·0 = 4.
    name: 'multimodal: who has encoded the images',
    policy: {
      producers: ['mm-embeddings-cache-producer', 'precise-prefix-cache-producer'],
      filters: [['decode-filter']],
      scorers: [
        ['prefix-cache-scorer', 10],
        ['mm-embeddings-cache-scorer', 4],
        ['queue-scorer', 1],
      ],
    },
    fleet: [{ waiting: 0 }, { waiting: 1 }],
    usable: [0, 0],
    context: { media: ['cat'], totalBlocks: 0 },
    decided: { totals: [1, 4], picked: [1, 0] },
  },
];

for (const { name, policy, fleet, usable, context = {}, decided } of GOLDEN) {
  test(name, () => {
    const decide = router(policy, fleet.length);
    // Slot 1 has seen the media, because nothing waited there when they came first.
    if (context.media !== undefined) {
      const quiet = fleet.map((_, slot) => ({ waiting: slot === 1 ? 0 : 1 }));
      const first = decide(fleetSnapshot(quiet), { ...context, match: promptMatch(usable) });
      assert.equal(first.picked[0], 1);
    }
    const match = promptMatch(usable);
    assert.deepEqual(decide(fleetSnapshot(fleet), { ...context, match }), decided);
  });
}

test('session: placed by load, then held, then moved once when its endpoint is gone', () => {
  const decide = router(
    {
      producers: ['agent-identity'],
      filters: [
        [
          'session-affinity-filter',
          {
            strategy: 'session_id',
            sessionIdConfig: {
              sources: [{ header: 'x-session-id' }, { attribute: 'agent-identity' }],
            },
          },
        ],
      ],
      scorers: [['load-aware-scorer', 1]],
    },
    3,
  );
  const agent = { headers: () => ({ 'session-id': 'codex-1' }), match: null };
  const other = { headers: () => ({ 'x-session-id': 'human-1' }), match: null };
  // 0.5·(1 − 32/128) = 0.375, 0.5·(1 − 16/128) = 0.4375, 0.5·(1 − 64/128) = 0.25.
  const first = fleetSnapshot([{ waiting: 32 }, { waiting: 16 }, { waiting: 64 }]);
  assert.deepEqual(decide(first, agent), { totals: [0.375, 0.4375, 0.25], picked: [1, 0, 2] });
  // Its endpoint is the busiest now; the session stays, others do not go there.
  const later = fleetSnapshot([{ waiting: 0 }, { waiting: 96 }, { waiting: 64 }]);
  // Who is tried should it give no answer: the best of the others.
  assert.deepEqual(decide(later, agent), { totals: [-1, 0.125, -1], picked: [1, 0, 2] });
  assert.deepEqual(decide(later, other).picked, [0, 2, 1]);
  const gone = fleetSnapshot([{ waiting: 64 }, { healthy: false }, { waiting: 32 }]);
  assert.deepEqual(decide(gone, agent), { totals: [0.25, -1, 0.375], picked: [2, 0] });
  assert.deepEqual(decide(later, agent), { totals: [-1, -1, 0.25], picked: [2, 0, 1] });
});

test('session: a saturated endpoint is left when a filter before says so, and not returned to', () => {
  const decide = router(
    {
      filters: [
        ['utilization-filter', { conditions: [{ metric: 'waiting-queue', maxValue: 8 }] }],
        ['session-affinity-filter', { strategy: 'session_id' }],
      ],
      scorers: [['queue-scorer', 1]],
    },
    2,
  );
  const session = { headers: () => ({ 'x-session-id': 's' }), match: null };
  const at = (first: number, second: number): readonly number[] =>
    decide(fleetSnapshot([{ waiting: first }, { waiting: second }]), session).picked;
  assert.deepEqual(at(0, 3), [0, 1]);
  assert.deepEqual(at(8, 3), [0, 1]);
  assert.deepEqual(at(9, 3), [1]);
  assert.deepEqual(at(0, 8), [1, 0]);
});

test('cold prompts take turns: prefix 2, no-hit-lru 1', () => {
  const decide = router(
    {
      filters: [['decode-filter']],
      scorers: [
        ['prefix-cache-scorer', 2],
        ['no-hit-lru-scorer', 1, { lruSize: 2048 }],
      ],
    },
    3,
  );
  const cold = (requestId: string): Decided =>
    decide(fleetSnapshot([{ inFlight: 1 }, { inFlight: 2 }, { inFlight: 3 }]), {
      requestId,
      match: promptMatch([0, 0, 0]),
    });
  assert.deepEqual(cold('a'), { totals: [1, 1, 1], picked: [0, 1, 2] });
  assert.deepEqual(cold('b'), { totals: [0, 1, 1], picked: [1, 2, 0] });
  assert.deepEqual(cold('c'), { totals: [0.5, 0, 1], picked: [2, 0, 1] });
  // The longest ago first: 0, then 1, then 2.
  assert.deepEqual(cold('d'), { totals: [1, 0.5, 0], picked: [0, 1, 2] });
  // 2·0.2 + 0.5, and 0.5 for those that hold nothing; it changes nobody's turn.
  const warm = decide(fleetSnapshot([{}, {}, {}]), { match: promptMatch([0, 0, 2]) });
  assert.deepEqual(warm.totals, [0.5, 0.5, 0.9]);
  assert.deepEqual(cold('e').picked[0], 1);
});
