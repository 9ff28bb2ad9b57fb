// The priority of a request: by its objective, by its body, and how unknown objectives are told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import type { World } from '#test/support/request-world.js';
import { createWorld, encodedPrompt } from '#test/support/request-world.js';
import { fleetSnapshot, pluginHost } from '#test/support/scheduling.js';

const NAME = 'x-llm-d-inference-objective';
const OLD_NAME = 'x-gateway-inference-objective';
const OBJECTIVES = { batch: { priority: -5 }, chat: { priority: 10 } };

function world(objectives = {}): World {
  const profile = buildProfile(POLICY_PROFILES.precise, pluginHost(8));
  return createWorld(profile, fleetSnapshot([{}]), { objectives });
}

/** Priority in the decision, and the word in the log line. */
async function decided(
  router: World,
  headers: Readonly<Record<string, string>>,
): Promise<readonly unknown[]> {
  await router.send({ headers });
  const line = router.log.findLast(({ sentence }) => sentence === 'Got pod scores');
  return [router.decisions().at(-1)?.decision.priority, line?.fields['criticality']];
}

test('the objective decides, before the priority of the body', async () => {
  const router = world(OBJECTIVES);
  router.encoded = encodedPrompt([0], { priority: 3 });
  assert.deepEqual(await decided(router, {}), [-3, 'Sheddable']);
  assert.deepEqual(await decided(router, { [NAME]: '' }), [-3, 'Sheddable']);
  assert.deepEqual(await decided(router, { [NAME]: 'chat' }), [10, 'Critical']);
  assert.deepEqual(await decided(router, { [OLD_NAME]: 'batch' }), [-5, 'Sheddable']);
  const both = { [NAME]: 'chat', [OLD_NAME]: 'batch' };
  assert.deepEqual(await decided(router, both), [10, 'Critical']);
  assert.deepEqual(await decided(router, { [NAME]: 'toString' }), [0, 'Standard']);
});

test('without objectives the body decides, lower first as vLLM has it', async () => {
  const router = world();
  for (const [priority, expected] of [
    [0, [0, 'Standard']],
    [-2, [2, 'Critical']],
    [2 ** 31 - 1, [1 - 2 ** 31, 'Sheddable']],
  ] as const) {
    router.encoded = encodedPrompt([0], { priority });
    assert.deepEqual(await decided(router, { [NAME]: 'chat' }), expected);
  }
  assert.equal(router.counts.objectiveUnknown, 0);
});

test('unknown objectives are counted each time and told once, so many of them', async () => {
  const router = world(OBJECTIVES);
  for (let name = 0; name < 150; name += 1) {
    for (let turn = 0; turn < 2; turn += 1) {
      assert.deepEqual(await decided(router, { [NAME]: `no-${name}` }), [0, 'Standard']);
    }
  }
  assert.equal(router.counts.objectiveUnknown, 300);
  const told = router.log.filter(({ level }) => level === 'warn');
  assert.equal(told.length, 100);
  assert.deepEqual(told[1]?.fields, { objective: 'no-1', priority: 0 });
});
