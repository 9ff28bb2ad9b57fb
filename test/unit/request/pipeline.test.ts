// The whole path of a request between an in-memory data plane, encoder and fleet: where it goes,
// what is said about it, and that everything counted is given back however it ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import type { ForwardOrder } from '#contracts/core.js';
import type { Profile } from '#contracts/plugin.js';
import type { RequestHandle } from '#contracts/request.js';
import type { HeadSketch, World } from '#test/support/request-world.js';
import { createWorld, doneRecord, encodedPrompt } from '#test/support/request-world.js';
import { fleetSnapshot, pluginHost, servedModel } from '#test/support/scheduling.js';

const precise: Profile = buildProfile(POLICY_PROFILES.precise, pluginHost(8));

function orderOf(world: World, handle: RequestHandle): ForwardOrder {
  const ending = world.ending(handle);
  assert.equal(ending.kind, 'forward');
  return ending.order;
}

function rejection(world: World, handle: RequestHandle): string {
  const ending = world.ending(handle);
  assert.equal(ending.kind, 'reject');
  return `${ending.error.status} ${ending.error.code}: ${ending.error.message}`;
}

async function sendOne(world: World, sketch = {}): Promise<RequestHandle> {
  const [handle] = await world.send(sketch);
  assert.ok(handle);
  return handle;
}

function inFlight(world: World): readonly number[] {
  return world.snapshot.bySlot.map((state) => state?.inFlight.requests ?? 0);
}

function uncached(world: World): readonly number[] {
  return world.snapshot.bySlot.map((state) => state?.inFlight.uncachedPromptTokens ?? 0);
}

test('a prompt goes where its prefix is, with the reasons in headers and log', async () => {
  const world = createWorld(precise, fleetSnapshot([{}, { dpRank: 1 }, {}]));
  world.encoded = encodedPrompt([0, 9, 4]);
  const handle = await sendOne(world);
  const { targets } = orderOf(world, handle);
  assert.deepEqual(
    targets.map(({ slot }) => slot),
    [1, 2, 0],
  );
  assert.deepEqual(targets[0]?.requestHeaders, [['x-data-parallel-rank', '1']]);
  assert.deepEqual(targets[0]?.responseHeaders, [
    ['x-warmpath-endpoint', '10.0.0.1:8000|1'],
    ['x-warmpath-matched-tokens', '144/160'],
    [
      'x-warmpath-score',
      '6.7 prefix-cache-scorer=0.9*3 kv-cache-utilization-scorer=1*2 queue-scorer=1*2',
    ],
    ['x-warmpath-overhead-us', '0'],
  ]);
  // A fallback says its own figures.
  assert.deepEqual(targets[1]?.responseHeaders[1], ['x-warmpath-matched-tokens', '64/160']);
  assert.deepEqual(targets[1]?.requestHeaders, []);
  assert.deepEqual(world.log, [
    {
      level: 'info',
      fields: {
        'x-request-id': 'request-1-1',
        model: 'model-a',
        resolvedTargetModel: 'model-a',
        criticality: 'Standard',
        scores: { '10.0.0.1:8000|1': 9, '10.0.0.2:8000': 4 },
        endpoint: '10.0.0.1:8000|1',
      },
      sentence: 'Got pod scores',
    },
  ]);
  assert.deepEqual(world.speculations, ['speculate 1']);
  assert.deepEqual(inFlight(world), [0, 1, 0]);
  assert.deepEqual(uncached(world), [0, 16, 0]);
});

test('the decision keeps its reasons after the next request and after load has changed', async () => {
  const world = createWorld(precise, fleetSnapshot([{ waiting: 3 }, {}, { healthy: false }]));
  world.encoded = encodedPrompt([8, 2, 0]);
  await sendOne(world);
  const state = world.snapshot.bySlot[0];
  assert.ok(state);
  state.reported.waitingRequests = 99;
  world.encoded = encodedPrompt([0, 0, 0]);
  await sendOne(world);
  const decision = world.decisions()[0]?.decision;
  assert.ok(decision);
  const [first, second, third] = decision.candidates;
  assert.equal(decision.chosen, '10.0.0.1:8000');
  assert.deepEqual(decision.fallbacks, ['10.0.0.0:8000']);
  assert.equal(decision.predictedCachedTokens, 32);
  assert.equal(decision.indexEpoch, 7);
  assert.deepEqual(first?.terms, [
    { scorer: 'prefix-cache-scorer', weight: 3, raw: 0.8 },
    { scorer: 'kv-cache-utilization-scorer', weight: 2, raw: 1 },
    { scorer: 'queue-scorer', weight: 2, raw: 0 },
  ]);
  assert.equal(first?.waitingRequests, 3);
  assert.equal(first?.usableBlocks, 8);
  assert.deepEqual(first?.tierBlocks, [8, 0, 0, 0]);
  assert.equal(second?.total, 4.6);
  assert.equal(third?.excludedBy, 'unhealthy');
  assert.deepEqual(third?.terms, []);
  // It can be shown as JSON whole, the lazily built part included.
  assert.equal(JSON.parse(JSON.stringify(decision)).candidates.length, 3);
});

test('nothing matched: scores are null and the reason is given', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.encoded = encodedPrompt([0]);
  await sendOne(world);
  world.encoded = encodedPrompt([0], { noMatchReason: 'no-tokenizer', promptTokens: 0 });
  const handle = await sendOne(world);
  assert.deepEqual(
    world.log.map(({ fields: { scores, reason } }) => [scores, reason]),
    [
      [null, 'no-match'],
      [null, 'no-tokenizer'],
    ],
  );
  assert.deepEqual(world.speculations, ['speculate 0']);
  const names = orderOf(world, handle).targets[0]?.responseHeaders.map(([name]) => name);
  assert.deepEqual(names, ['x-warmpath-endpoint', 'x-warmpath-score', 'x-warmpath-overhead-us']);
});

test('one switch turns the decision headers off', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]), { decisionHeaders: false });
  world.encoded = encodedPrompt([9]);
  const { targets } = orderOf(world, await sendOne(world));
  assert.deepEqual(targets[0]?.responseHeaders, []);
});

test('a gateway may say who answers, where that is configured', async () => {
  const header = 'x-gateway-destination-endpoint-subset';
  const named = (...names: readonly string[]) => ({ headers: { [header]: names.join(', ') } });
  const fleet = fleetSnapshot([{}, { dpRank: 0 }, {}]);
  // Each asks an idle fleet, with a policy that has no filters: those would decide as well.
  const byLoad = buildProfile(POLICY_PROFILES['load-aware'], pluginHost(8));
  const idle = (): World => {
    const world = createWorld(byLoad, fleet, { readsSubset: true });
    world.encoded = encodedPrompt([9, 0, 0]);
    return world;
  };
  const slots = async (world: World, sketch: HeadSketch): Promise<readonly number[]> => {
    const [handle] = await world.send(sketch);
    assert.ok(handle);
    return orderOf(world, handle).targets.map(({ slot }) => slot);
  };
  assert.deepEqual(await slots(idle(), named('10.0.0.1:8000')), [1]);
  const trusting = idle();
  assert.deepEqual(
    [...(await slots(trusting, named('10.0.0.2:8000', 'x:1', '10.0.0.1:8000')))].sort(),
    [1, 2],
  );
  const left = trusting.decisions()[0]?.decision.candidates.map(({ excludedBy }) => excludedBy);
  assert.deepEqual(left, ['endpoint-subset', null, null]);
  assert.equal((await slots(idle(), {})).length, 3);
  for (const nobody of ['10.9.9.9:8000', '', '10.0.0.1']) {
    const [handle] = await trusting.send(named(nobody));
    assert.ok(handle);
    assert.equal(
      rejection(trusting, handle),
      `503 no_endpoints: no endpoint of those named in ${header} serving \`model-a\` is healthy`,
    );
  }
  const plain = createWorld(precise, fleet);
  plain.encoded = encodedPrompt([9, 0, 0]);
  assert.equal((await slots(plain, named('10.0.0.2:8000')))[0], 0);
});

test('the overhead header counts from the head on', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.clock.advance(1000);
  const sending = world.send({});
  world.clock.advance(1.5);
  const [handle] = await sending;
  assert.ok(handle);
  const headers = orderOf(world, handle).targets[0]?.responseHeaders ?? [];
  assert.deepEqual(headers.at(-1), ['x-warmpath-overhead-us', '1500']);
});

test('an unknown model is a 404 that says what is served', async () => {
  const models = [servedModel('base'), servedModel('tuned', 'base')];
  const world = createWorld(precise, fleetSnapshot([{ models }]));
  world.encoded = encodedPrompt([], { model: 'nope', modelIndex: -1 });
  assert.equal(
    rejection(world, await sendOne(world)),
    '404 model_not_found: the model `nope` is not served here; served: `base`, `tuned`',
  );
  // The encoder's list may lag behind the fleet's: the fleet decides.
  const lagging = { code: 'model_not_found', detail: 'x', param: null } as const;
  world.encoded = encodedPrompt([0], { model: 'tuned', modelIndex: -1, error: lagging });
  assert.equal(world.ending(await sendOne(world)).kind, 'forward');
  assert.equal(world.decisions()[0]?.decision.resolvedTargetModel, 'tuned');
});

test('a request goes only to endpoints that serve its model', async () => {
  const b = [servedModel('model-b')];
  const world = createWorld(precise, fleetSnapshot([{}, { models: b }, {}, { models: b }]));
  world.encoded = encodedPrompt([9, 0, 9, 0], { model: 'model-b' });
  const slots = orderOf(world, await sendOne(world)).targets.map(({ slot }) => slot);
  assert.deepEqual(slots.toSorted(), [1, 3]);
});

test('a fleet that has told no models yet is a 503', async () => {
  const world = createWorld(precise, fleetSnapshot([{ models: [] }]));
  assert.match(rejection(world, await sendOne(world)), /^503 no_endpoints: /);
});

test('what the encoder refuses is refused with its words', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  const error = { code: 'invalid_body', detail: 'messages is missing', param: 'messages' } as const;
  world.encoded = encodedPrompt([], { error });
  const handle = await sendOne(world);
  assert.equal(rejection(world, handle), '400 invalid_body: messages is missing');
  const ending = world.ending(handle);
  assert.ok(ending.kind === 'reject' && ending.error.param === 'messages');
});

test('passing through: by model, without one by the only pool, else a 400', async () => {
  const one = createWorld(precise, fleetSnapshot([{}, {}]));
  one.encoded = encodedPrompt([], { noMatchReason: 'not-a-prompt', promptTokens: 0 });
  const path = '/v1/embeddings';
  assert.equal(one.ending(await sendOne(one, { path })).kind, 'forward');
  assert.deepEqual(one.counts.batches, [1]);
  // Nothing to look into: no body, or none the encoder can read.
  await one.send({ path: '/v1/files/x', method: 'GET', bodyBytes: 0 });
  await one.send({ path, headers: { 'content-type': 'multipart/form-data; boundary=x' } });
  assert.deepEqual(one.counts.batches, [1]);
  assert.equal(one.decisions().length, 3);

  const two = createWorld(precise, fleetSnapshot([{}, { models: [servedModel('model-b')] }]));
  const handle = await sendOne(two, { path: '/v1/files/x', method: 'GET', bodyBytes: 0 });
  assert.equal(
    rejection(two, handle),
    '400 invalid_body: several models are served here, so the body must name one: `model-a`, `model-b`',
  );
});

test('aliases of one model are one pool', async () => {
  const alias = (id: string) => ({ ...servedModel(id), root: '/models/a' });
  const world = createWorld(precise, fleetSnapshot([{ models: [alias('a'), alias('b')] }]));
  const handle = await sendOne(world, { path: '/v1/files/x', method: 'GET', bodyBytes: 0 });
  assert.equal(world.ending(handle).kind, 'forward');
});

test('requests of one turn share a hop, spread over the workers', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  await world.send(...Array.from({ length: 5 }, () => ({})), { path: '/v1/completions' });
  assert.deepEqual(world.counts.batches, [3, 2, 1]);
  await world.send(...Array.from({ length: 100 }, () => ({})));
  assert.deepEqual(world.counts.batches.slice(3), [32, 32, 32, 4]);
});

test('all unhealthy is a 503 with its decision kept; a stopped encoder still routes by load', async () => {
  const world = createWorld(precise, fleetSnapshot([{ healthy: false }]));
  assert.equal(
    rejection(world, await sendOne(world)),
    '503 no_endpoints: no endpoint serving `model-a` is healthy',
  );
  assert.equal(world.decisions()[0]?.decision.chosen, null);
  const other = createWorld(precise, fleetSnapshot([{}]));
  other.encoderStopped = true;
  assert.equal(other.ending(await sendOne(other)).kind, 'forward');
  assert.equal(other.decisions()[0]?.decision.noMatchReason, 'encoder-failed');
});

test('a failing policy is counted and logged, and the request answered', async () => {
  const broken: Profile = {
    ...precise,
    scorers: [
      {
        type: 'broken',
        weight: 1,
        plugin: {
          score: () => {
            throw new Error('no');
          },
        },
      },
    ],
  };
  const world = createWorld(broken, fleetSnapshot([{ inFlight: 2 }, { inFlight: 1 }]));
  world.encoded = encodedPrompt([9, 0]);
  const { targets } = orderOf(world, await sendOne(world));
  assert.deepEqual(
    targets.map(({ slot }) => slot),
    [1, 0],
  );
  assert.equal(world.counts.policyFailed, 1);
  assert.equal(world.log.filter(({ level }) => level === 'error').length, 1);
  const names = targets[0]?.responseHeaders.map(([name]) => name) ?? [];
  assert.ok(!names.includes('x-warmpath-score'));
});

test('a fault of the router itself is one 500, not a lost request', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  Object.defineProperty(world, 'encoded', {
    get: () => {
      throw new Error('shared memory is gone');
    },
  });
  const handle = await sendOne(world);
  assert.match(rejection(world, handle), /^500 internal_error: /);
  assert.deepEqual(inFlight(world), [0]);
});

test('a retry moves the load and the expectation to the next endpoint', async () => {
  const world = createWorld(precise, fleetSnapshot([{}, {}]));
  world.encoded = encodedPrompt([4, 9]);
  const handle = await sendOne(world);
  assert.deepEqual(uncached(world), [0, 16]);
  world.progress({
    kind: 'attempt-failed',
    handle,
    slot: 1,
    outcome: 'unreachable',
    nextSlot: 0,
  });
  assert.deepEqual(inFlight(world), [1, 0]);
  assert.deepEqual(uncached(world), [96, 0]);
  world.progress({ kind: 'first-byte', handle, slot: 0, status: 200 });
  assert.deepEqual(uncached(world), [0, 0]);
  assert.deepEqual(inFlight(world), [1, 0]);
  world.done(handle);
  assert.deepEqual(inFlight(world), [0, 0]);
  assert.deepEqual(world.reports, ['1 unreachable', '0 answered']);
  assert.deepEqual(world.speculations, ['speculate 1', 'withdraw 1', 'speculate 0']);
  const [finished] = world.finished;
  assert.equal(finished?.endpoint, '10.0.0.0:8000');
  assert.equal(finished?.attempts, 2);
  assert.equal(finished?.predictedCachedTokens, 64);
});

test('the last attempt failed: nothing stays counted', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.encoded = encodedPrompt([4]);
  const handle = await sendOne(world);
  world.progress({ kind: 'attempt-failed', handle, slot: 0, outcome: 'timed-out', nextSlot: -1 });
  world.done(handle, {
    slot: -1,
    status: 504,
    outcome: 'endpoint-failed',
    errorCode: 'endpoint_timeout',
    firstByteMs: -1,
  });
  assert.deepEqual(inFlight(world), [0]);
  assert.deepEqual(uncached(world), [0]);
  assert.deepEqual(world.reports, ['0 timed-out']);
  assert.deepEqual(world.speculations, ['speculate 0', 'withdraw 0']);
});

test('an endpoint with a history is told what was sent and how it ended', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.historySlots.add(0);
  world.encoded = encodedPrompt([4]);
  const answered = await sendOne(world);
  world.progress({ kind: 'first-byte', handle: answered, slot: 0, status: 200 });
  world.done(answered);
  // Without usage, the events of the stream are its tokens.
  const silent = await sendOne(world);
  const usage = { promptTokens: -1, completionTokens: -1, cachedTokens: -1 };
  world.done(silent, { usage, outcome: 'client-gone' });
  world.encoded = encodedPrompt([], { noMatchReason: 'no-tokenizer', promptTokens: 0 });
  const unmatched = await sendOne(world);
  world.done(unmatched);
  assert.deepEqual(world.histories, [
    'begin 1 0 160',
    'end 1 0 170 144',
    'begin 2 0 160',
    'end 2 0 171 -1',
    'begin 3 0 0',
    'end 3 0 170 144',
  ]);
  assert.deepEqual(world.speculations, []);
});

test('a history forgets what was not computed, and follows to the next endpoint', async () => {
  const world = createWorld(precise, fleetSnapshot([{}, {}]));
  world.historySlots.add(1);
  world.encoded = encodedPrompt([4, 8]);
  const moved = await sendOne(world);
  world.progress({
    kind: 'attempt-failed',
    handle: moved,
    slot: 1,
    outcome: 'unreachable',
    nextSlot: 0,
  });
  world.done(moved);
  assert.deepEqual(world.speculations, ['speculate 0']);
  const refused = await sendOne(world);
  world.progress({ kind: 'first-byte', handle: refused, slot: 1, status: 400 });
  world.done(refused, { status: 400 });
  const gone = await sendOne(world);
  world.done(gone, { outcome: 'client-gone', firstByteMs: -1 });
  // Of one that is not sent on it never hears.
  world.clientsThere = false;
  await sendOne(world);
  assert.deepEqual(world.histories, [
    'begin 1 1 160',
    'withdraw 1',
    'begin 2 1 160',
    'withdraw 2',
    'begin 3 1 160',
    'withdraw 3',
  ]);
});

test('what the first byte and a cut stream say about an endpoint', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  for (const status of [200, 404, 429, 500, 503]) {
    const handle = await sendOne(world);
    world.progress({ kind: 'first-byte', handle, slot: 0, status });
    world.done(handle, { status });
  }
  for (const errorCode of ['endpoint_disconnected', 'endpoint_stalled'] as const) {
    const handle = await sendOne(world);
    world.done(handle, { outcome: 'endpoint-failed', errorCode });
  }
  assert.deepEqual(world.reports, [
    '0 answered',
    '0 answered',
    '0 busy',
    '0 server-error',
    '0 busy',
    '0 unreachable',
    '0 timed-out',
  ]);
  // A refusal computed no prompt, so nothing may be expected there.
  const withdrawn = world.speculations.filter((entry) => entry.startsWith('withdraw'));
  assert.equal(withdrawn.length, 4);
});

test('a finished request tells its figures, once', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.encoded = encodedPrompt([9], { patches: [{ offset: 1, length: 2, text: '' }] });
  const handle = await sendOne(world);
  assert.equal(world.pipeline.inFlight(), 1);
  world.done(handle);
  assert.equal(world.pipeline.inFlight(), 0);
  assert.equal(world.counts.stripped, 1);
  assert.deepEqual(world.finished, [
    {
      requestId: 'request-1-1',
      route: 'chat-completions',
      model: 'model-a',
      endpoint: '10.0.0.0:8000',
      status: 200,
      outcome: 'completed',
      errorCode: null,
      stream: true,
      attempts: 1,
      firstByteMs: 100,
      lastByteMs: 1100,
      meanInterTokenMs: 100,
      promptTokens: 160,
      predictedCachedTokens: 144,
      reportedPromptTokens: 160,
      reportedCachedTokens: 144,
      reportedCompletionTokens: 11,
    },
  ]);
  assert.equal(world.decisions()[0]?.result?.reportedCachedTokens, 144);
  // A record of a request that is not known (its client left before it was handed over) counts nothing.
  world.done(handle);
  assert.equal(world.finished.length, 1);
  assert.ok(world.log.every(({ level }) => level !== 'error'));
});

test('a client that goes at any point leaves nothing behind', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  world.encoded = encodedPrompt([4]);
  const gone = { slot: -1, status: 0, outcome: 'client-gone', firstByteMs: -1 } as const;
  // While its prompt is being encoded: nobody decides for it any more.
  const sending = world.send({});
  world.done({ slot: 1, generation: 1 }, gone);
  await sending;
  assert.equal(world.endings.size, 0);
  // Just before it is forwarded.
  world.clientsThere = false;
  const late = await sendOne(world);
  assert.deepEqual(inFlight(world), [0]);
  world.done(late, gone);
  // After it was forwarded.
  world.clientsThere = true;
  world.done(await sendOne(world), gone);
  assert.deepEqual(inFlight(world), [0]);
  assert.equal(world.pipeline.inFlight(), 0);
  assert.equal(world.finished.length, world.counts.admitted);
  // Nothing is expected of the one that was not sent on.
  assert.deepEqual(world.speculations, ['speculate 0', 'withdraw 0']);
});

test('local paths are answered here, also while draining; their failure is a 500', async () => {
  const local = {
    '/status': () => {
      throw new Error('no status');
    },
  };
  const world = createWorld(precise, fleetSnapshot([{}]), { local });
  world.pipeline.beginDrain();
  const ready = await sendOne(world, { method: 'GET', path: '/ready' });
  assert.deepEqual(world.ending(ready), { kind: 'respond', status: 503, body: 'not ready' });
  const status = await sendOne(world, { method: 'GET', path: '/status' });
  assert.match(rejection(world, status), /^500 internal_error/);
  assert.match(rejection(world, await sendOne(world)), /^503 shutting_down/);
  assert.equal(world.decisions().length, 0);
});

test('endpoints that come and models that change are seen by the next request', async () => {
  const world = createWorld(precise, fleetSnapshot([{}, null]));
  world.snapshot = fleetSnapshot([null, { models: [servedModel('model-b')] }]);
  world.encoded = encodedPrompt([0, 0], { model: 'model-b' });
  const { targets } = orderOf(world, await sendOne(world));
  assert.deepEqual(
    targets.map(({ slot }) => slot),
    [1],
  );
});

test('requests that come with the end of another are decided by its load, then it is told of', async () => {
  const world = createWorld(precise, fleetSnapshot([{}]));
  const first = await sendOne(world);
  world.progress(doneRecord(first), true);
  assert.deepEqual(inFlight(world), [0]);
  assert.equal(world.finished.length, 0);
  assert.equal(world.decisions()[0]?.result, null);
  await sendOne(world);
  assert.deepEqual(
    world.finished.map(({ requestId }) => requestId),
    ['request-1-1'],
  );
  assert.equal(world.decisions()[0]?.result?.status, 200);
  assert.equal(world.decisions()[1]?.result, null);
});
