// One tenant's flood in virtual time: what the others wait meanwhile. The flood is spread over all, so
// nobody escapes it, but everybody is through with it soon.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProfileSettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { seededRandom } from '#contracts/random.js';
import { VirtualFleet } from '#test/support/virtual-fleet/fleet.js';
import { inOrder, quantile } from '#test/support/virtual-fleet/traffic.js';

const ENDPOINTS = 8;
const TENANTS = 16;
const FLOOD = 1000;
const FLOOD_AT_MS = 10_000;

interface Waits {
  /** Times to first token of the others' requests sent before, and within 10 s after its begin. */
  readonly before: readonly number[];
  readonly during: readonly number[];
  readonly flood: readonly number[];
}

/** Every tenant has its prefix and asks twice a second. */
function waits(filters: ProfileSettings['filters']): Waits {
  const policy = singleProfilePolicy({ ...POLICY_PROFILES.precise, filters });
  const fleet = new VirtualFleet({ endpoints: ENDPOINTS, policy, random: seededRandom(1) });
  const before: number[] = [];
  const during: number[] = [];
  const flood: number[] = [];
  inOrder(fleet.clock, 20 * 2 * TENANTS, 500 / TENANTS, (number) => {
    const first = (1 + (number % TENANTS)) * 10_000;
    const own = Array.from({ length: 100 }, (_, at) => 1_000_000 + number * 100 + at);
    const tokenIds = [...Array.from({ length: 3600 }, (_, at) => first + at), ...own];
    fleet.send({ tokenIds, outputTokens: 32 }, ({ sentAtMs, firstTokenMs }) => {
      // The first request of each has a prefix to compute.
      if (sentAtMs >= FLOOD_AT_MS) during.push(firstTokenMs);
      else if (number >= 2 * TENANTS) before.push(firstTokenMs);
    });
  });
  const flooding = Array.from({ length: 7200 }, (_, at) => 500_000 + at);
  fleet.clock.after(FLOOD_AT_MS, () =>
    inOrder(fleet.clock, FLOOD, 0.05, () =>
      fleet.send({ tokenIds: flooding, outputTokens: 64 }, ({ firstTokenMs }) =>
        flood.push(firstTokenMs),
      ),
    ),
  );
  fleet.clock.advance(21_000);
  fleet.settle();
  assert.deepEqual([flood.length, during.length], [FLOOD, 20 * TENANTS]);
  return { before, during, flood };
}

test('nobody waits longer than the flood itself, nor for a second of engine time', () => {
  const { before, during, flood } = waits(POLICY_PROFILES.precise.filters);
  const worst = quantile(during, 1);
  assert.ok(worst <= 1.1 * quantile(flood, 1), `${worst} ms`);
  assert.ok(worst <= 1000, `${worst} ms`);
  assert.ok(quantile(during, 0.5) <= 2 * quantile(before, 0.5));
});

test('where a flood piles up, whoever shares its endpoint waits for all of it', () => {
  const { during } = waits([]);
  assert.ok(quantile(during, 1) > 10_000);
});
