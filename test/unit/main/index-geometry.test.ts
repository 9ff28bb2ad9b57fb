import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import { indexGeometry } from '#main/index-geometry.js';
import { fleetSnapshot } from '#test/support/scheduling.js';

function sized(gpuBlocks: number | null, cacheTokens: number | null): number {
  const snapshot = fleetSnapshot([{}]);
  const bySlot = snapshot.bySlot.map((state) =>
    state === null
      ? null
      : { ...state, endpoint: { ...state.endpoint, blockSize: 16, gpuBlocks, cacheTokens } },
  );
  const fleet: FleetSnapshot = { ...snapshot, bySlot };
  return indexGeometry(fleet, 64, null).blockCapacity;
}

test('the index has room for what engines can hold, lower tiers included', () => {
  assert.equal(sized(1_000_000, 16_000_000), 4_000_000);
  // A host tier of five times the GPU's blocks.
  assert.equal(sized(1_000_000, 80_000_000), 10_000_000);
  assert.equal(sized(10, 160), 262_144);
  assert.equal(sized(1_000_000_000, null), 33_554_432);
  assert.deepEqual(indexGeometry(fleetSnapshot([{}]), 64, 5000), {
    blockCapacity: 5000,
    endpointCapacity: 64,
  });
});
