// A request that is only asked about: its body is in the store while it is encoded and never after,
// and what stops a request on the way stops it too.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { PromptEncoder, RequestStore } from '#contracts/core.js';
import type { Fleet } from '#contracts/endpoint.js';
import type { EncodedPrompt, Route } from '#contracts/request.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { Decider } from '#request/decide.js';
import type { RewriteOptions } from '#request/rewrite.js';
import { PromptScorer, type Scored } from '#request/score-prompt.js';
import { encodedPrompt, noObjectives, rewritesOf, tells } from '#test/support/request-world.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import { fleetSnapshot, pluginHost } from '#test/support/scheduling.js';
import { VirtualClock } from '#test/support/time.js';

interface Asked {
  readonly store?: RequestStore;
  readonly sketches?: readonly EndpointSketch[];
  readonly encoded?: EncodedPrompt;
  readonly encode?: PromptEncoder['encode'];
  readonly read?: PromptEncoder['read'];
  readonly chunks?: AsyncIterable<Uint8Array>;
  readonly route?: Route;
  readonly headers?: Readonly<Record<string, string>>;
  readonly rewrites?: Partial<RewriteOptions>;
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

const shared = openRequestStore(createRequestMemory(2));

function ask(asked: Asked): Promise<Scored> {
  const snapshot = fleetSnapshot(asked.sketches ?? [{}, {}]);
  const clock = new VirtualClock();
  const fleet: Fleet = {
    snapshot: () => snapshot,
    acquire: () => assert.fail('nothing is counted in flight'),
    report: () => assert.fail('nothing was tried'),
  };
  const policy = buildPolicy(singleProfilePolicy(POLICY_PROFILES.precise), pluginHost(2));
  const encoder: PromptEncoder = {
    start: async () => {},
    setModels: async () => {},
    isEncoded: () => false,
    encode: asked.encode ?? (async () => {}),
    read: asked.read ?? (() => asked.encoded ?? encodedPrompt([0, 9])),
    tokenize: async () => assert.fail('the encoder is asked as for any request'),
    speculate: () => assert.fail('nobody will hold the prompt'),
    withdraw: () => assert.fail('nobody was expected to hold it'),
    stats: () => assert.fail('nobody asks'),
    stop: async () => {},
  };
  const decider = new Decider({
    readsSubset: false,
    policy,
    priorities: noObjectives,
    endpointCapacity: 2,
    fleet,
    clock,
  });
  const scorer = new PromptScorer({
    store: asked.store ?? shared,
    encoder,
    decider,
    rewrites: rewritesOf(decider, asked.rewrites),
    clock,
    isoNow: () => '2026-01-01T00:00:00.000Z',
    routeOf: () => 'completions',
  });
  const head = {
    requestId: 'r',
    headers: asked.headers ?? {},
    telling: tells(asked.headers ?? {}),
  };
  const sizes = { route: asked.route ?? null, bytesHint: 10 };
  return scorer.score({ ...head, ...sizes }, asked.chunks ?? chunks('{}'));
}

function emptied(): void {
  assert.deepEqual(shared.usage(), { slots: 0, bytes: 0 });
}

test('the whole body is encoded on its route, the decision made, and the body given back', async () => {
  const seen: string[] = [];
  const encode: PromptEncoder['encode'] = async ([slot = 0, generation = 0], route) => {
    const body = shared.body({ slot, generation });
    seen.push(`${route} ${Buffer.from(body ?? []).toString()}`);
  };
  const { error, decision } = await ask({ encode, chunks: chunks('{"prompt":', '"long"}') });
  await ask({ encode, route: 'chat-completions' });
  assert.deepEqual(seen, ['completions {"prompt":"long"}', 'chat-completions {}']);
  assert.equal(error, null);
  assert.deepEqual([decision?.requestId, decision?.chosen], ['r', '10.0.0.1:8000']);
  emptied();
});

const RULES = [
  { match: { model: 'chat' }, targets: ['model-a', 'gone'].map((model) => ({ model, weight: 1 })) },
];

/** Asks about `{"model":"chat"}` under the rules; the encoder finds the model where the body has it. */
function askRewritten(target: string, store = shared, rules = RULES): Promise<Scored> {
  return ask({
    rewrites: { rules, random: { next: () => 0 }, store },
    headers: { 'x-llm-d-model-name-rewrite': target },
    chunks: chunks('{"model":"chat"}'),
    read: (handle) => {
      const body = Buffer.from(shared.body(handle) ?? []).toString();
      const { model } = JSON.parse(body) as { model: string };
      const modelBytes = body.length - '{"model":}'.length;
      return encodedPrompt([0, 9], { model, modelOffset: 9, modelBytes });
    },
  });
}

test('a request is scored as the model it would be sent as, and the rule is told', async () => {
  const { error, decision, rewrite } = await askRewritten('model-a');
  assert.equal(error, null);
  assert.deepEqual(
    [decision?.model, decision?.resolvedTargetModel, decision?.chosen],
    ['chat', 'model-a', '10.0.0.1:8000'],
  );
  const chosenBy = 'header';
  assert.deepEqual(rewrite, { model: 'chat', target: 'model-a', chosenBy, share: 0.5 });
  assert.equal((await ask({})).rewrite, null);
  emptied();
});

test('without a rule the header has it scored as any model that is served', async () => {
  const { error, decision, rewrite } = await askRewritten('model-a', shared, []);
  assert.equal(error, null);
  assert.deepEqual([decision?.model, decision?.resolvedTargetModel], ['chat', 'model-a']);
  const chosenBy = 'header';
  assert.deepEqual(rewrite, { model: 'chat', target: 'model-a', chosenBy, share: 1 });
  const gone = await askRewritten('gone', shared, []);
  assert.deepEqual([gone.error?.code, gone.rewrite], ['model_not_found', null]);
  emptied();
});

test('a rewrite that cannot be served, written or allowed is refused as a request would be', async () => {
  const gone = await askRewritten('gone');
  assert.match(gone.error?.message ?? '', /^`chat` is rewritten here, but the model `gone` is not/);
  assert.deepEqual([gone.decision, gone.rewrite?.target], [null, 'gone']);
  const other = await askRewritten('other');
  assert.match(other.error?.message ?? '', /^the header asks for `other` instead of `chat`/);
  assert.equal(other.rewrite, null);
  const large = await askRewritten('model-a', { ...bound(shared), replace: () => 'too-large' });
  assert.deepEqual([large.error?.code, large.rewrite?.target], ['body_too_large', 'model-a']);
  emptied();
});

test('nobody healthy: the error, with the decision that says so', async () => {
  const { error, decision } = await ask({ sketches: [{ healthy: false }, { draining: true }] });
  assert.equal(error?.code, 'no_endpoints');
  assert.deepEqual(
    decision?.candidates.map(({ excludedBy }) => excludedBy),
    ['unhealthy', 'draining'],
  );
  assert.equal(decision?.chosen, null);
  emptied();
});

test('a body the encoder refuses is refused with its words, before anything is decided', async () => {
  const refusal = { code: 'invalid_body', detail: 'no messages', param: 'messages' } as const;
  const { error, decision } = await ask({ encoded: encodedPrompt([], { error: refusal }) });
  assert.deepEqual(
    [error?.status, error?.message, error?.param, decision],
    [400, 'no messages', 'messages', null],
  );
  emptied();
});

test('a full store, a body that breaks off and a stopped encoder leave nothing in the store', async () => {
  const full: RequestStore = { ...bound(shared), open: () => null };
  assert.equal((await ask({ store: full })).error?.code, 'too_many_requests');
  const filling: RequestStore = { ...bound(shared), append: () => 'full' };
  assert.equal((await ask({ store: filling })).error?.code, 'too_many_requests');
  const large: RequestStore = { ...bound(shared), append: () => 'too-large' };
  assert.equal((await ask({ store: large })).error?.code, 'body_too_large');
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('{');
    throw new Error('the client has gone');
  }
  await assert.rejects(ask({ chunks: broken() }), /the client has gone/);
  const encode = async (): Promise<void> => {
    throw new Error('stopped');
  };
  assert.equal((await ask({ encode })).error?.code, 'shutting_down');
  emptied();
});

function bound(store: RequestStore): RequestStore {
  return {
    open: (bytes) => store.open(bytes),
    append: (handle, chunk) => store.append(handle, chunk),
    replace: (handle, place, bytes) => store.replace(handle, place, bytes),
    body: (handle) => store.body(handle),
    release: (handle) => store.release(handle),
    usage: () => store.usage(),
  };
}
