// Bursts: a thousand prompts decided before any engine has said anything. What the router knows at
// once (requests in flight, speculative residencies) must keep them from piling up on one endpoint,
// and a prefix from being computed more often than needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { policyCycle, scheduleByPolicy } from '#request/policy-cycle.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const ENDPOINTS = 8;
const REQUESTS = 1000;
/** 7,200 tokens in blocks of 16. */
const BLOCKS = 450;

interface Herd {
  /** Requests by endpoint. */
  readonly loads: readonly number[];
  /** Requests sent where their prefix was not. */
  readonly coldPrefills: number;
}

/** Decides equal numbers of requests of each prefix, in turn, as one burst. */
function burst(prefixes: number, bounded: boolean): Herd {
  const filters = bounded ? [{ type: 'bounded-load-filter', parameters: {} }] : [];
  const profile = { ...POLICY_PROFILES.precise, filters };
  const built = buildPolicy(singleProfilePolicy(profile), pluginHost(ENDPOINTS));
  const policy = policyCycle(built, ENDPOINTS);
  const fleet = fleetSnapshot(Array.from({ length: ENDPOINTS }, () => ({})));
  const held = Array.from({ length: prefixes }, () => new Array<number>(ENDPOINTS).fill(0));
  let coldPrefills = 0;
  for (let turn = 0; turn < REQUESTS; turn += 1) {
    const holders = held[turn % prefixes] ?? [];
    const context = schedulingContext(fleet, {
      requestId: `request-${turn}`,
      totalBlocks: BLOCKS,
      // No event has come yet: all that is known is what was sent where.
      match: promptMatch(new Array<number>(ENDPOINTS).fill(0), holders),
    });
    assert.equal(
      scheduleByPolicy(policy, context, candidatesOf(fleet), () => 0),
      'picked',
    );
    const slot = policy.current.picked[0] ?? -1;
    const state = fleet.bySlot[slot];
    assert.ok(state !== null && state !== undefined);
    state.inFlight.requests += 1;
    if (holders[slot] === 0) coldPrefills += 1;
    holders[slot] = BLOCKS;
  }
  return { loads: fleet.bySlot.map((state) => state?.inFlight.requests ?? 0), coldPrefills };
}

function spread({ loads }: Herd): { readonly used: number; readonly overMean: number } {
  const used = loads.filter((load) => load > 0).length;
  return { used, overMean: Math.max(...loads) / (REQUESTS / used) };
}

test('equal prompts: as many endpoints work as the bound needs, each computes the prefix once', () => {
  const herd = burst(1, true);
  const { used, overMean } = spread(herd);
  // Each takes half more than the mean of all, so six of eight are enough.
  assert.equal(used, 6);
  assert.ok(herd.coldPrefills <= used, `${herd.coldPrefills} cold prefills`);
  assert.ok(overMean <= 1.5, `${herd.loads}`);
});

test('ten prefixes: nobody piles up, and no prefix is scattered over everyone', () => {
  const herd = burst(10, true);
  const { used, overMean } = spread(herd);
  assert.equal(used, ENDPOINTS);
  assert.ok(overMean <= 1.5, `${herd.loads}`);
  // Two endpoints have two prefixes each; what is over their bound goes to a few others.
  assert.ok(herd.coldPrefills <= 20, `${herd.coldPrefills} cold prefills`);
});

test('without the bound, equal prompts all go where the first one went', () => {
  assert.deepEqual(spread(burst(1, false)), { used: 1, overMean: 1 });
});
