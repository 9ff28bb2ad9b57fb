// Random lives of requests: whatever happens in whatever order, every request is ended once, and
// at the end no load is counted and nothing is in flight.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import { seededRandom } from '#contracts/random.js';
import type { RequestHandle } from '#contracts/request.js';
import type { World } from '#test/support/request-world.js';
import { createWorld, encodedPrompt } from '#test/support/request-world.js';
import { fleetSnapshot, pluginHost, servedModel } from '#test/support/scheduling.js';

const SEEDS = [1, 2, 3, 4, 5];
const REQUESTS = 200;

for (const seed of SEEDS) {
  test(`${REQUESTS} random requests leave nothing counted (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const below = (count: number): number => Math.floor(random.next() * count);
    const fleet = fleetSnapshot([{}, {}, { models: [servedModel('model-b')] }, {}]);
    const profile = buildProfile(POLICY_PROFILES.precise, pluginHost(4, random));
    const world = createWorld(profile, fleet);
    for (let sent = 0; sent < REQUESTS; sent += 1) {
      const model = ['model-a', 'model-b', 'model-c'][below(3)] ?? '';
      world.encoded = encodedPrompt([below(10), below(10), below(10), below(10)], {
        model,
        noMatchReason: below(4) === 0 ? 'tokenizer-unproven' : null,
      });
      world.clientsThere = below(10) > 0;
      for (const state of fleet.bySlot) if (state !== null) state.healthy = below(8) > 0;
      const [handle] = await world.send({ path: below(5) === 0 ? '/nowhere' : undefined });
      assert.ok(handle);
      live(world, handle, below);
    }
    assert.equal(world.pipeline.inFlight(), 0);
    assert.equal(world.finished.length, REQUESTS);
    assert.equal(world.counts.admitted, REQUESTS);
    for (const state of fleet.bySlot) {
      assert.deepEqual(state?.inFlight, { requests: 0, uncachedPromptTokens: 0, outputTokens: 0 });
    }
    for (const endings of world.endings.values()) assert.equal(endings.length, 1);
  });
}

/** Plays the engine's and the client's side until the request's last record. */
function live(world: World, handle: RequestHandle, below: (count: number) => number): void {
  const ending = world.ending(handle);
  const gone = { slot: -1, status: 0, outcome: 'client-gone', firstByteMs: -1 } as const;
  if (ending.kind !== 'forward') {
    world.done(handle, { ...gone, outcome: 'rejected' });
    return;
  }
  if (!world.clientsThere) {
    world.done(handle, gone);
    return;
  }
  const slots = ending.order.targets.map(({ slot }) => slot);
  for (const [attempt, slot] of slots.entries()) {
    assertCountedOnce(world, slot);
    if (below(3) > 0) {
      answer(world, handle, slot, below);
      return;
    }
    if (below(5) === 0) {
      world.done(handle, gone);
      return;
    }
    const nextSlot = slots[attempt + 1] ?? -1;
    world.progress({ kind: 'attempt-failed', handle, slot, outcome: 'unreachable', nextSlot });
  }
  const failed = { outcome: 'endpoint-failed', errorCode: 'endpoint_unreachable' } as const;
  world.done(handle, { ...failed, slot: -1, status: 502, firstByteMs: -1 });
}

function answer(
  world: World,
  handle: RequestHandle,
  slot: number,
  below: (count: number) => number,
): void {
  const status = [200, 400, 503][below(3)] ?? 200;
  world.progress({ kind: 'first-byte', handle, slot, status });
  const cut = { outcome: 'endpoint-failed', errorCode: 'endpoint_disconnected' } as const;
  world.done(handle, { slot, status, ...(below(4) === 0 ? cut : {}) });
}

/** Requests live one after the other here, so exactly one is counted, where it is being tried. */
function assertCountedOnce(world: World, slot: number): void {
  const counted = world.snapshot.bySlot.map((state) => state?.inFlight.requests ?? 0);
  assert.deepEqual(
    counted,
    counted.map((_, at) => (at === slot ? 1 : 0)),
  );
}
