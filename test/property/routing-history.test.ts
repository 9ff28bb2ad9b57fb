// Random requests over small caches: both cores' histories hold the same blocks as the model, after
// every step.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '#contracts/random.js';
import type { RequestHandle } from '#contracts/request.js';
import {
  HISTORY_BLOCK as BLOCK,
  type HistoryWorld,
  keysOf,
  nativeWorld,
  portableWorld,
} from '#test/support/history-world.js';
import { ModelHistory } from '#test/support/model-history.js';
import { nativeSkip } from '#test/support/native-addon.js';

const SLOT = 2;
const ROUNDS = 12;
const STEPS = 250;

interface Running {
  readonly id: number;
  readonly handle: RequestHandle;
  readonly tokenIds: readonly number[];
}

/** What happened in a run, so that it cannot pass without having tried anything. */
interface Seen {
  evictions: number;
  waits: number;
  withdrawals: number;
}

async function round(world: HistoryWorld, random: Random, seen: Seen): Promise<void> {
  const below = (count: number): number => Math.floor(random.next() * count);
  const capacityBlocks = 10 + below(50);
  const model = new ModelHistory({ capacityBlocks, blockSize: BLOCK });
  world.history.open(SLOT, { capacityBlocks, blockSize: BLOCK, alignmentBlocks: 1 });
  const conversations: number[][] = [];
  const running: Running[] = [];
  const known = new Set<string>();
  const checks = (step: number): void => {
    const held = model.held();
    const actual = world.holds(SLOT, [...known]);
    assert.deepEqual([...actual].sort(), [...held].sort(), `step ${step}`);
    const usage = world.history.usage(SLOT);
    assert.deepEqual([usage?.blocks, usage?.requests], [held.size, model.requests]);
    if (known.size > held.size) seen.evictions += 1;
    seen.waits += model.waiting;
  };
  for (let step = 0; step < STEPS; step += 1) {
    if (running.length < 6 && random.next() < 0.55) {
      const tokenIds = nextPrompt(conversations, below);
      const handle = await world.request(tokenIds);
      const keys = keysOf(tokenIds);
      for (const key of keys) known.add(key);
      running.push({ id: step, handle, tokenIds });
      assert.equal(world.history.begin(handle, SLOT, tokenIds.length), 'done');
      model.begin(step, keys, tokenIds.length);
    } else {
      const [request] = running.splice(below(running.length), 1);
      if (request === undefined) continue;
      const { id, handle, tokenIds } = request;
      if (random.next() < 0.1) {
        seen.withdrawals += 1;
        assert.equal(world.history.withdraw(handle), 'done');
        model.withdraw(id);
      } else {
        const answer = below(6 * BLOCK);
        const computed = tokenIds.length + answer;
        const cached = random.next() < 0.6 ? -1 : below(tokenIds.length);
        assert.equal(world.history.end(handle, { computed, cached }), 'done');
        model.end(id, computed, cached);
        // Sometimes the conversation goes on behind the answer.
        if (random.next() < 0.7) conversations.push([...tokenIds, ...tokens(answer + 1, below)]);
      }
      world.release(handle);
    }
    checks(step);
  }
  for (const { id, handle } of running) {
    world.history.withdraw(handle);
    model.withdraw(id);
    world.release(handle);
  }
  checks(STEPS);
}

/** A new prompt, one sent before, or one that shares its beginning with another. */
function nextPrompt(conversations: number[][], below: (count: number) => number): number[] {
  const before = conversations[below(conversations.length)];
  const dice = below(10);
  if (before === undefined || dice < 3 || before.length > 20 * BLOCK) {
    const fresh = tokens(1 + below(6 * BLOCK), below);
    conversations.push(fresh);
    return fresh;
  }
  if (dice < 5) return before;
  const shared = dice < 8 ? before : before.slice(0, below(before.length));
  const next = [...shared, ...tokens(1 + below(3 * BLOCK), below)];
  conversations.push(next);
  return next;
}

function tokens(count: number, below: (count: number) => number): number[] {
  return Array.from({ length: count }, () => 1 + below(100_000));
}

for (const [name, skip, open] of [
  ['portable', false, portableWorld],
  ['native', nativeSkip, nativeWorld],
] as const) {
  test(`${name}: the history holds what the model holds`, { skip }, async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const random = seededRandom(seed);
    const seen: Seen = { evictions: 0, waits: 0, withdrawals: 0 };
    const world = await open();
    try {
      for (let number = 0; number < ROUNDS; number += 1) await round(world, random, seen);
    } finally {
      await world.stop();
    }
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 10, `${count} ${what}`);
  });
}
