// Which model serves a request for another one: shares by weight, stable by session, and what the
// pipeline does with body, prompt and decision.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import type { RequestStore } from '#contracts/core.js';
import { RouterError } from '#contracts/errors.js';
import type { Random } from '#contracts/random.js';
import { seededRandom } from '#contracts/random.js';
import type { RequestHead } from '#contracts/request.js';
import { CandidateSet } from '#contracts/scheduling.js';
import type { RewriteRule } from '#request/rewrite-choice.js';
import { RewriteChoice } from '#request/rewrite-choice.js';
import type { World } from '#test/support/request-world.js';
import { createWorld, encodedPrompt, tells } from '#test/support/request-world.js';
import { fleetSnapshot, pluginHost, servedModel } from '#test/support/scheduling.js';

const NAME = 'x-llm-d-model-name-rewrite';
const RULES = [
  {
    match: { model: 'chat' },
    targets: [
      { model: 'v1', weight: 9 },
      { model: 'v2', weight: 1 },
    ],
  },
  {
    match: { model: 'v1' },
    targets: [{ model: 'v3', weight: 0.5 }],
  },
];

function head(headers: Readonly<Record<string, string>> = {}): RequestHead {
  return {
    handle: { slot: 0, generation: 1 },
    method: 'POST',
    path: '/v1/chat/completions',
    requestId: 'r',
    headers,
    telling: tells(headers),
    bodyBytes: 1,
    receivedAtMs: 0,
  };
}

const SERVED = new Map(
  ['v1', 'v3', 'chat'].map((id) => {
    return [id, { id, pool: id, adapter: '', serving: new CandidateSet(1) }] as const;
  }),
);

function choiceOf(rules: readonly RewriteRule[], random: Random): RewriteChoice {
  const resolve = (model: string) =>
    SERVED.get(model) ?? new RouterError('model_not_found', `no \`${model}\``);
  return new RewriteChoice({ rules, random, resolve });
}

function targetOf(choice: RewriteChoice, model: string, sent: RequestHead): string | null {
  const chosen = choice.of(model, sent);
  assert.ok(!(chosen instanceof RouterError));
  return chosen?.target ?? null;
}

/** Share of `v2` among `count` requests. */
function canaryShare(choice: RewriteChoice, count: number, of: (turn: number) => RequestHead) {
  let canaries = 0;
  for (let turn = 0; turn < count; turn += 1) {
    const target = targetOf(choice, 'chat', of(turn));
    assert.ok(target === 'v1' || target === 'v2');
    if (target === 'v2') canaries += 1;
  }
  return canaries / count;
}

test('targets have the share of their weight, for single requests and for sessions', () => {
  const choice = choiceOf(RULES, seededRandom(4));
  const single = canaryShare(choice, 10_000, () => head());
  assert.ok(Math.abs(single - 0.1) < 0.015, `${single}`);
  for (const name of ['x-session-id', 'session_id', 'x-claude-code-session-id']) {
    const sessions = canaryShare(choice, 10_000, (turn) => head({ [name]: `session-${turn}` }));
    assert.ok(Math.abs(sessions - 0.1) < 0.015, `${name}: ${sessions}`);
  }
});

test('a session keeps its target, on every router', () => {
  const routers = [1, 2, 3].map((seed) => choiceOf(RULES, seededRandom(seed)));
  const chosen = new Set<unknown>();
  for (let session = 0; session < 100; session += 1) {
    const headers = { 'x-session-id': `${session}` };
    const targets = routers.flatMap((choice) =>
      [0, 1].map(() => targetOf(choice, 'chat', head(headers))),
    );
    assert.equal(new Set(targets).size, 1);
    chosen.add(targets[0]);
  }
  assert.equal(chosen.size, 2);
});

test('the header names a target of the rule, and nothing else', () => {
  const choice = choiceOf(RULES, seededRandom(5));
  assert.equal(targetOf(choice, 'chat', head({ [NAME]: 'v2' })), 'v2');
  assert.equal(targetOf(choice, 'chat', head({ 'x-gateway-model-name-rewrite': 'v2' })), 'v2');
  assert.equal(targetOf(choice, 'v1', head()), 'v3');
  assert.equal(choice.of('', head({ [NAME]: 'v2' })), null);
  const refused = choice.of('chat', head({ [NAME]: 'v3' }));
  assert.ok(refused instanceof RouterError);
  assert.deepEqual([refused.code, refused.param], ['model_not_found', NAME]);
  assert.match(refused.message, /asks for `v3` instead of `chat`; allowed: `v1`, `v2`$/);
});

test('a choice says what it was made by, and the part of the weights it has', () => {
  const choice = choiceOf(RULES, seededRandom(5));
  const of = (model: string, headers = {}): unknown => choice.of(model, head(headers));
  const named = { model: 'chat', target: 'v2', chosenBy: 'header', share: 0.1 };
  assert.deepEqual(of('chat', { [NAME]: 'v2', 'x-session-id': '1' }), named);
  const only = { model: 'v1', target: 'v3', chosenBy: 'only-target', share: 1 };
  assert.deepEqual(of('v1', { 'x-session-id': '1' }), only);
  const bySession = choice.of('chat', head({ 'x-session-id': '1' }));
  assert.ok(bySession !== null && !(bySession instanceof RouterError));
  assert.equal(bySession.chosenBy, 'session');
  assert.equal(bySession.share, bySession.target === 'v1' ? 0.9 : 0.1);
  const drawn = choice.of('chat', head());
  assert.ok(drawn !== null && !(drawn instanceof RouterError));
  assert.equal(drawn.chosenBy, 'chance');
});

/** A router whose store notes what is replaced and then has the prompt of the target. */
function rewriting(
  model: string,
  status: ReturnType<RequestStore['replace']> = 'done',
): { world: World; replaced: string[] } {
  const replaced: string[] = [];
  const profile = buildProfile(POLICY_PROFILES.precise, pluginHost(8));
  const snapshot = fleetSnapshot([
    { models: [servedModel('v1')] },
    { models: [servedModel('v3'), servedModel('chat')] },
  ]);
  const store: Pick<RequestStore, 'replace'> = {
    replace: ({ slot }, { offset, length }, text) => {
      const name = Buffer.from(text).toString();
      replaced.push(`${slot}: ${offset}+${length} ${name}`);
      world.encoded = encodedPrompt([0, 7], { model: JSON.parse(name) });
      return status;
    },
  };
  const world: World = createWorld(profile, snapshot, {
    rewrites: { rules: RULES, random: seededRandom(6), store },
  });
  world.encoded = encodedPrompt([5, 0], { model });
  return { world, replaced };
}

async function endingOf(world: World, headers = {}) {
  const [handle] = await world.send({ headers });
  assert.ok(handle);
  return world.ending(handle);
}

for (const ahead of [false, true]) {
  test(`the body is rewritten and encoded once more, ahead: ${ahead}`, async () => {
    const { world, replaced } = rewriting('v1');
    world.encodedAhead = ahead;
    const ending = await endingOf(world);
    assert.equal(ending.kind, 'forward');
    assert.equal(ending.order.targets[0]?.slot, 1);
    assert.deepEqual(replaced, ['1: 10+9 "v3"']);
    assert.deepEqual(world.counts.batches, ahead ? [1] : [1, 1]);
    const [decided] = world.decisions();
    assert.equal(decided?.decision.model, 'v1');
    assert.equal(decided?.decision.resolvedTargetModel, 'v3');
    assert.equal(decided?.decision.predictedCachedTokens, 112);
    assert.deepEqual(world.counts.rewritten, ['v1 v3']);
  });
}

test('without a rule the header names any served model, and nothing else', () => {
  for (const rules of [[], RULES]) {
    const choice = choiceOf(rules, seededRandom(7));
    const of = (model: string, headers = {}): unknown => choice.of(model, head(headers));
    const freely = { model: 'v3', target: 'chat', chosenBy: 'header', share: 1 };
    assert.deepEqual(of('v3', { [NAME]: 'chat' }), freely);
    assert.deepEqual(of('v3', { 'x-gateway-model-name-rewrite': 'chat' }), freely);
    // Also where nobody serves what the body names.
    assert.deepEqual(of('gone', { [NAME]: 'v1' }), { ...freely, model: 'gone', target: 'v1' });
    for (const headers of [{}, { [NAME]: '' }, { [NAME]: 'v3' }, { 'x-session-id': '1' }]) {
      assert.equal(of('v3', headers), null);
    }
    assert.equal(of('', { [NAME]: 'chat' }), null);
    const refused = of('v3', { [NAME]: 'gone' });
    assert.ok(refused instanceof RouterError);
    assert.deepEqual([refused.code, refused.param], ['model_not_found', NAME]);
    assert.equal(refused.message, 'the header asks for `gone` instead of `v3`: no `gone`');
  }
});

test('headers are not read where they say nothing', () => {
  const silent = {
    telling: false,
    get headers(): never {
      return assert.fail('the headers were read');
    },
  };
  for (const rules of [[], RULES]) {
    const choice = choiceOf(rules, seededRandom(8));
    assert.equal(choice.of('v3', silent), null);
  }
  const drawn = choiceOf(RULES, seededRandom(9)).of('chat', silent);
  assert.ok(drawn !== null && !(drawn instanceof RouterError));
});

test('a model by the header alone is sent as such, and is no label', async () => {
  const { world, replaced } = rewriting('v3');
  assert.equal((await endingOf(world, { [NAME]: 'v1' })).kind, 'forward');
  assert.deepEqual([replaced, world.counts.rewritten], [['1: 10+9 "v1"'], []]);
  const decision = world.decisions()[0]?.decision;
  assert.deepEqual([decision?.model, decision?.resolvedTargetModel], ['v3', 'v1']);
});

test('requests without a rule or a header are left alone', async () => {
  const { world, replaced } = rewriting('v3');
  assert.equal((await endingOf(world, { 'x-session-id': '1' })).kind, 'forward');
  assert.deepEqual([replaced, world.counts.rewritten], [[], []]);
  assert.equal(world.decisions()[0]?.decision.model, 'v3');
});

test('what cannot be rewritten is refused, and says why', async () => {
  const refusal = async (world: World, headers = {}): Promise<string> => {
    const ending = await endingOf(world, headers);
    assert.equal(ending.kind, 'reject');
    return `${ending.error.code}: ${ending.error.message}`;
  };
  assert.equal(
    await refusal(rewriting('chat').world, { [NAME]: 'v2' }),
    'model_not_found: `chat` is rewritten here, but the model `v2` is not served here; served: `v1`, `v3`, `chat`',
  );
  assert.match(
    await refusal(rewriting('chat').world, { [NAME]: 'x' }),
    /^model_not_found: the hea/,
  );
  assert.match(await refusal(rewriting('v1', 'too-large').world), /^body_too_large: /);
  assert.match(await refusal(rewriting('v1', 'full').world), /^too_many_requests: /);
  assert.match(await refusal(rewriting('v1', 'out-of-bounds').world), /^internal_error: /);
});
