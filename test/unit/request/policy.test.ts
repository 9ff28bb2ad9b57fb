// A policy in the pipeline: producers before the profile handler, the profile it names, hooks after
// the decision, and what becomes of a request when one of them fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RouterError } from '#contracts/errors.js';
import type { Policy, Profile } from '#contracts/plugin.js';
import type {
  Filter,
  Picker,
  PluginHooks,
  Producer,
  ProfileHandler,
  SchedulingContext,
} from '#contracts/scheduling.js';
import type { World } from '#test/support/request-world.js';
import { createWorld, encodedPrompt } from '#test/support/request-world.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import { fleetSnapshot } from '#test/support/scheduling.js';

const lowest: Picker = {
  pick: (_context, candidates, _totals, picked) => {
    let count = 0;
    for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
      if (count === picked.length) break;
      picked[count] = slot;
      count += 1;
    }
    return count;
  },
};

function profileOf(name: string, filter: Filter, hooks: PluginHooks = {}): Profile {
  return {
    name,
    filters: [{ type: 'filter', plugin: filter }],
    scorers: [{ type: 'scorer', weight: 1, plugin: { score: () => {}, ...hooks } }],
    picker: { type: 'picker', plugin: lowest },
  };
}

const everyone: Filter = { filter: () => {} };
const nobody: Filter = { filter: (_context, candidates) => candidates.clear() };
const only = (slot: number): Filter => ({
  filter: (_context, candidates) => {
    candidates.clear();
    candidates.add(slot);
  },
});

function policyOf(parts: {
  readonly profiles: readonly Profile[];
  readonly handler?: ProfileHandler;
  readonly producers?: readonly Producer[];
}): Policy {
  const choose = (): string => assert.fail('a single profile is not chosen');
  return {
    profiles: parts.profiles,
    handler: { type: 'handler', plugin: parts.handler ?? { choose } },
    producers: (parts.producers ?? []).map((plugin) => ({ type: 'producer', plugin })),
  };
}

function worldOf(policy: Policy, sketches: readonly EndpointSketch[] = [{}, {}]): World {
  const world = createWorld(policy, fleetSnapshot(sketches), { decisionHeaders: false });
  world.encoded = encodedPrompt([9, 0]);
  return world;
}

/** Sends one request; the slots it was sent to, or the code it was refused with. */
async function send(
  world: World,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly number[] | string> {
  const [handle] = await world.send({
    headers: { 'content-type': 'application/json', ...headers },
  });
  assert.ok(handle !== undefined);
  const ending = world.ending(handle);
  if (ending.kind === 'forward') return ending.order.targets.map(({ slot }) => slot);
  assert.ok(ending.kind === 'reject' && ending.error instanceof RouterError);
  return ending.error.code;
}

/** Writes down the picks it is told of. */
function notes(seen: string[]): PluginHooks {
  return {
    picked: (context, slot) => {
      seen.push(`${context.requestId} ${slot}`);
      return undefined;
    },
  };
}

test('producers run before the handler and the handler before the profile', async () => {
  const seen: string[] = [];
  const producer = (name: string): Producer => ({
    produce: ({ signals }) => {
      seen.push(`${name} after '${signals.sessionId}'`);
      signals.sessionId = name;
    },
  });
  const handler = {
    choose: ({ signals }: SchedulingContext) => {
      seen.push(`choose by '${signals.sessionId}'`);
      return 'second';
    },
  };
  const profiles = [profileOf('first', only(0)), profileOf('second', only(1))];
  const world = worldOf(policyOf({ profiles, handler, producers: [producer('a'), producer('b')] }));
  assert.deepEqual(await send(world), [1]);
  assert.equal(world.decisions()[0]?.decision.profile, 'second');
  // Signals of the request before are gone.
  assert.deepEqual(await send(world), [1]);
  const once = ["a after ''", "b after 'a'", "choose by 'b'"];
  assert.deepEqual(seen, [...once, ...once]);
});

test('the profile a request names schedules it; one that is not there is refused', async () => {
  const handler = {
    choose: (context: SchedulingContext) => context.headers()['epp-profile'] ?? 'first',
  };
  const seen: string[] = [];
  const profiles = [profileOf('first', only(0), notes(seen)), profileOf('second', only(1))];
  const world = worldOf(policyOf({ profiles, handler }));
  assert.deepEqual(await send(world), [0]);
  assert.deepEqual(await send(world, { 'epp-profile': 'second' }), [1]);
  assert.equal(await send(world, { 'epp-profile': 'third' }), 'profile_not_found');
  // The hook of a profile is told of that profile's decisions only.
  assert.deepEqual(seen, ['request-1-1 0']);
});

test('picked is called once for what is sent on, with the first choice', async () => {
  const seen: string[] = [];
  const policy = policyOf({ profiles: [profileOf('only', everyone, notes(seen))] });
  const world = worldOf(policy);
  assert.deepEqual(await send(world), [0, 1]);
  assert.deepEqual(seen, ['request-1-1 0']);
  // Another attempt is not another decision; who follows the request is told in another way.
  const handle = { slot: 1, generation: 1 };
  world.progress({ kind: 'attempt-failed', handle, slot: 0, outcome: 'unreachable', nextSlot: 1 });
  world.done(handle, { slot: 1 });
  assert.deepEqual(seen, ['request-1-1 0']);
  // The client had gone: nothing was sent on.
  world.clientsThere = false;
  await send(world);
  assert.equal(seen.length, 1);
});

test('who follows a request is told of every endpoint it goes on to, and of nothing else', async () => {
  const seen: string[] = [];
  const follows: PluginHooks = {
    picked: ({ requestId }, slot) => {
      seen.push(`${requestId} at ${slot}`);
      return (next) => seen.push(`${requestId} on to ${next}`);
    },
  };
  const broken: PluginHooks = {
    picked: () => () => {
      throw new Error('no');
    },
  };
  const policy = policyOf({
    profiles: [profileOf('only', everyone, notes([]))],
    producers: [broken, follows],
  });
  const world = worldOf(policy, [{}, {}, {}]);
  const fail = (number: number, slot: number, nextSlot: number): void => {
    const handle = { slot: number, generation: 1 };
    world.progress({ kind: 'attempt-failed', handle, slot, outcome: 'unreachable', nextSlot });
  };
  await send(world);
  await send(world);
  fail(1, 0, 1);
  world.done({ slot: 2, generation: 1 });
  fail(1, 1, 2);
  fail(1, 2, -1);
  assert.deepEqual(seen.splice(0), [
    'request-1-1 at 0',
    'request-2-1 at 0',
    'request-1-1 on to 1',
    'request-1-1 on to 2',
  ]);
  // A follower that throws costs itself.
  assert.equal(world.counts.policyFailed, 2);
  // The client had gone: nobody is followed.
  world.clientsThere = false;
  await send(world);
  fail(3, 0, 1);
  assert.deepEqual(seen, []);
});

test('picked is not called for what is refused', async () => {
  const seen: string[] = [];
  const refusing = policyOf({ profiles: [profileOf('only', nobody, notes(seen))] });
  assert.equal(await send(worldOf(refusing)), 'overloaded');
  const usable = policyOf({ profiles: [profileOf('only', everyone, notes(seen))] });
  assert.equal(await send(worldOf(usable, [{ healthy: false }])), 'no_endpoints');
  assert.deepEqual(seen, []);
});

test('hooks of producers are called whichever profile decides', async () => {
  const seen: string[] = [];
  const handler = { choose: (): string => 'second' };
  const profiles = [profileOf('first', only(0)), profileOf('second', only(1))];
  const world = worldOf(policyOf({ profiles, handler, producers: [notes(seen)] }));
  await send(world);
  assert.deepEqual(seen, ['request-1-1 1']);
});

test('every target has the headers that plugins give for it, after those of the router', async () => {
  const hooks: PluginHooks = { responseHeaders: (_context, slot) => [['x-token', `slot ${slot}`]] };
  const policy = policyOf({ profiles: [profileOf('only', everyone, hooks)] });
  const world = createWorld(policy, fleetSnapshot([{}, {}]));
  world.encoded = encodedPrompt([9, 0]);
  const [handle] = await world.send({});
  assert.ok(handle !== undefined);
  const ending = world.ending(handle);
  assert.ok(ending.kind === 'forward');
  assert.deepEqual(
    ending.order.targets.map(({ responseHeaders }) => responseHeaders.at(-1)),
    [
      ['x-token', 'slot 0'],
      ['x-token', 'slot 1'],
    ],
  );
  assert.equal(ending.order.targets[0]?.responseHeaders[0]?.[0], 'x-warmpath-endpoint');
});

test('a hook that throws costs itself, not the request', async () => {
  const seen: string[] = [];
  const broken = (): never => {
    throw new Error('no');
  };
  const hooks = { picked: broken, responseHeaders: broken };
  const producers = [hooks, notes(seen)];
  const world = worldOf(policyOf({ profiles: [profileOf('only', everyone)], producers }));
  assert.deepEqual(await send(world), [0, 1]);
  assert.deepEqual(seen, ['request-1-1 0']);
  // Two targets' headers and one pick.
  assert.equal(world.counts.policyFailed, 3);
  assert.equal(world.log.filter(({ level }) => level === 'error').length, 3);
});

for (const [name, parts] of [
  ['a producer', { producers: [{ produce: (): never => assert.fail('no') }] }],
  ['a profile handler', { handler: { choose: (): never => assert.fail('no') } }],
] as const) {
  test(`${name} that throws: fewest in flight answers instead`, async () => {
    const profiles = [profileOf('first', nobody), profileOf('second', nobody)];
    const handler = { choose: (): string => 'first' };
    const world = worldOf(policyOf({ profiles, handler, ...parts }), [{ inFlight: 3 }, {}]);
    assert.deepEqual(await send(world), [1, 0]);
    assert.equal(world.counts.policyFailed, 1);
    const unhealthy = worldOf(policyOf({ profiles, handler, ...parts }), [{ healthy: false }]);
    assert.equal(await send(unhealthy), 'no_endpoints');
  });
}

test('the estimate of an answer is in flight from the decision to the end', async () => {
  const producers = [
    {
      produce: ({ signals }: SchedulingContext): void => {
        signals.outputTokens = 240;
      },
    },
  ];
  const world = worldOf(policyOf({ profiles: [profileOf('only', everyone)], producers }));
  const tokens = (): readonly unknown[] =>
    world.snapshot.bySlot.map((state) => state?.inFlight.outputTokens);
  await send(world);
  const handle = { slot: 1, generation: 1 };
  assert.deepEqual(tokens(), [240, 0]);
  world.progress({ kind: 'attempt-failed', handle, slot: 0, outcome: 'unreachable', nextSlot: 1 });
  assert.deepEqual(tokens(), [0, 240]);
  world.progress({ kind: 'first-byte', handle, slot: 1, status: 200 });
  assert.deepEqual(tokens(), [0, 240]);
  world.done(handle, { slot: 1 });
  assert.deepEqual(tokens(), [0, 0]);
});

test('two profiles of one name are a fault of whoever made the policy', () => {
  const profiles = [profileOf('same', everyone), profileOf('same', everyone)];
  assert.throws(() => worldOf(policyOf({ profiles })), /names of profiles are unique/);
});
