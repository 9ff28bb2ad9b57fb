// Herds in virtual time, policy against policy in the same run: equal prompts neither pile up on one
// endpoint nor is a prefix computed everywhere.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicySettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { type HerdResult, runHerd } from '#test/support/virtual-fleet/herd.js';

const ENDPOINTS = 8;
const SEEDS = [1, 2, 3, 4];
/** The prompts come at this pace. */
const APART_MS = 0.05;
/** Equal prompts that the margin of prefill-wait-filter keeps together at the first endpoint. */
const KEPT_TOGETHER = 9;

const precise = singleProfilePolicy(POLICY_PROFILES.precise);
const loadAware = singleProfilePolicy(POLICY_PROFILES['load-aware']);
const withoutMargin = singleProfilePolicy({
  ...POLICY_PROFILES.precise,
  filters: POLICY_PROFILES.precise.filters.map((filter) =>
    filter.type === 'prefill-wait-filter' ? { ...filter, parameters: { margin: 0 } } : filter,
  ),
});
const sessions: PolicySettings = singleProfilePolicy({
  ...POLICY_PROFILES['load-aware'],
  filters: [{ type: 'session-affinity-filter', parameters: { strategy: 'session_id' } }],
});

const ownSession = (_prefix: number, number: number): string => `session-${number}`;
const sessionOfPrefix = (prefix: number): string => `session-${prefix}`;

function herd(
  policy: PolicySettings,
  prefixes: number,
  seed: number,
  sessionOf: (prefix: number, number: number) => string = ownSession,
): HerdResult {
  return runHerd({ policy, endpoints: ENDPOINTS, prefixes, sessionOf, seed });
}

for (const seed of SEEDS) {
  test(`1,000 equal prompts: everybody computes them once and all wait alike (seed ${seed})`, () => {
    const ours = herd(precise, 1, seed);
    assert.ok(ours.coldPrefills <= ours.used, JSON.stringify(ours));
    assert.ok(ours.overMean <= 1.5, JSON.stringify(ours));
    const byLoad = herd(loadAware, 1, seed);
    // Nothing can begin sooner than all at once. So does `precise` without the margin, but for the order
    // of the ties; with it the second endpoint is opened some prompts later, and then all are.
    const atOnce = herd(withoutMargin, 1, seed);
    const apartMs = atOnce.firstTokenP90 - byLoad.firstTokenP90;
    assert.ok(apartMs <= 2 * APART_MS + 1e-6, JSON.stringify([atOnce, byLoad]));
    const laterMs = ours.firstTokenP90 - byLoad.firstTokenP90;
    assert.ok(laterMs <= (KEPT_TOGETHER + 2) * APART_MS + 1e-6, JSON.stringify([ours, byLoad]));
    const bySession = herd(sessions, 1, seed, sessionOfPrefix);
    assert.ok(ours.firstTokenP90 <= bySession.firstTokenP90 / 10, JSON.stringify(bySession));
  });

  test(`10 prefixes: few are computed twice, and nobody waits as long as elsewhere (seed ${seed})`, () => {
    const ours = herd(precise, 10, seed);
    assert.equal(ours.coldPrefills, ours.places, 'no endpoint computes a prefix twice');
    assert.ok(ours.coldPrefills <= 2 * ENDPOINTS, JSON.stringify(ours));
    assert.ok(ours.overMean <= 1.5, JSON.stringify(ours));
    const byLoad = herd(loadAware, 10, seed);
    assert.ok(ours.firstTokenP90 <= byLoad.firstTokenP90 / 4, JSON.stringify(byLoad));
    assert.equal(byLoad.coldPrefills, 10 * ENDPOINTS);
    const bySession = herd(sessions, 10, seed, sessionOfPrefix);
    assert.ok(ours.firstTokenP90 <= bySession.firstTokenP90, JSON.stringify([ours, bySession]));
  });
}

test('without its filters the precise policy sends equal prompts to one endpoint', () => {
  const plain = singleProfilePolicy({ ...POLICY_PROFILES.precise, filters: [] });
  const piled = herd(plain, 1, 1);
  assert.deepEqual([piled.used, piled.coldPrefills], [1, 1]);
});
