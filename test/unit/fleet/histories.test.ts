import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint } from '#contracts/endpoint.js';
import { HISTORY_TOKENS_DEFAULT } from '#contracts/limits.js';
import { historyPlans } from '#fleet/histories.js';
import { endpoint } from '#test/support/plane-rig.js';

function planOf(changes: Partial<Endpoint>, blockSize: number): unknown {
  const one = endpoint(3, 'http://10.0.0.1:8000', changes);
  return historyPlans(new Map([['pool', [one]]]), new Map([['pool', blockSize]])).get(3);
}

test('a history is as large as the engine’s cache, in the pool’s blocks', () => {
  const plan = { endpoint: '10.0.0.1:8000', blockSize: 16, alignmentBlocks: 1 };
  const engine = { blockSize: 16, cacheTokens: 16_000 };
  assert.deepEqual(planOf(engine, 16), { ...plan, capacityBlocks: 1000 });
  assert.deepEqual(planOf({ ...engine, blockSize: 1 }, 16), { ...plan, capacityBlocks: 1000 });
  const large = { ...plan, capacityBlocks: 1000, alignmentBlocks: 4 };
  assert.deepEqual(planOf({ ...engine, blockSize: 64 }, 16), large);
  // Hits end where blocks of 48 and of 32 tokens end alike.
  const uneven = { ...plan, blockSize: 32, capacityBlocks: 500, alignmentBlocks: 3 };
  assert.deepEqual(planOf({ ...engine, blockSize: 48 }, 32), uneven);
});

test('an engine that does not tell is taken for a usual one', () => {
  const plan = planOf({ blockSize: null, cacheTokens: null }, 16);
  const capacityBlocks = HISTORY_TOKENS_DEFAULT / 16;
  const usual = { endpoint: '10.0.0.1:8000', blockSize: 16, alignmentBlocks: 1, capacityBlocks };
  assert.deepEqual(plan, usual);
});

test('no history where events tell, nothing is reused, or blocks are unknown', () => {
  const address = 'tcp://10.0.0.1:5557';
  const events = { address, mode: 'dial', replayAddress: null, topic: null } as const;
  assert.equal(planOf({ events, cacheTokens: 16_000 }, 16), undefined);
  assert.equal(planOf({ cacheTokens: 0 }, 16), undefined);
  const one = endpoint(3, 'http://10.0.0.1:8000');
  assert.equal(historyPlans(new Map([['pool', [one]]]), new Map()).size, 0);
});
