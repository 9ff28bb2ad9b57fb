// Both strategies of session affinity, as filter and as scorer: who is bound, when it is forgotten,
// and how a session moves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import { SESSION_ID_LENGTH_MAX, SESSIONS_MAX } from '#contracts/limits.js';
import type { Filter, SchedulingContext, Scorer } from '#contracts/scheduling.js';
import { sessionAffinityFilter } from '#plugins/session-affinity-filter.js';
import { sessionAffinityScorer } from '#plugins/session-affinity-scorer.js';
import { SessionBindings } from '#plugins/session-bindings.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  schedulingContext,
} from '#test/support/scheduling.js';

const fleet = fleetSnapshot([{}, {}, {}]);
const byId = { strategy: 'session_id' };

function createFilter(parameters: unknown, host = pluginHost(3)): Filter {
  return sessionAffinityFilter.create(sessionAffinityFilter.parameters.parse(parameters), host);
}

function createScorer(parameters: unknown, host = pluginHost(3)): Scorer {
  return sessionAffinityScorer.create(sessionAffinityScorer.parameters.parse(parameters), host);
}

function request(
  headers: Readonly<Record<string, string>>,
  nowMs = 0,
  snapshot: FleetSnapshot = fleet,
): SchedulingContext {
  return schedulingContext(snapshot, { headers: () => headers, nowMs });
}

function kept(
  filter: Filter,
  context: SchedulingContext,
  slots: readonly number[] = [0, 1, 2],
): readonly number[] {
  const candidates = candidatesOf(context.fleet, slots);
  filter.filter(context, candidates);
  return [0, 1, 2].filter((slot) => candidates.has(slot));
}

const session = (id: string, nowMs = 0): SchedulingContext =>
  request({ 'x-session-id': id }, nowMs);

test('encoded_endpoint_header: the answer names the endpoint, the request brings it back', () => {
  const filter = createFilter({});
  const headers = filter.responseHeaders?.(request({}), 1) ?? [];
  const token = Buffer.from('10.0.0.1:8000').toString('base64');
  assert.deepEqual(headers, [['x-session-token', token]]);
  assert.deepEqual(kept(filter, request({ 'x-session-token': token })), [1]);
  assert.equal(filter.picked, undefined);
});

test('encoded_endpoint_header: no token, a foreign one, garbage or a gone endpoint: everyone', () => {
  const filter = createFilter({});
  const foreign = Buffer.from('10.9.9.9:8000').toString('base64');
  for (const headers of [{}, { 'x-session-token': '' }, { 'x-session-token': '%%%' }]) {
    assert.deepEqual(kept(filter, request(headers)), [0, 1, 2]);
  }
  assert.deepEqual(kept(filter, request({ 'x-session-token': foreign })), [0, 1, 2]);
  const token = Buffer.from('10.0.0.1:8000').toString('base64');
  assert.deepEqual(kept(filter, request({ 'x-session-token': token }), [0, 2]), [0, 2]);
});

test('encoded_endpoint_header: an endpoint with a name of llm-d’s has llm-d’s token', () => {
  const fleet = fleetSnapshot([{ id: 'default/one' }, { id: 'prod/two' }, {}]);
  const named = (token = ''): SchedulingContext => ({
    ...request(token === '' ? {} : { 'x-session-token': token }),
    fleet,
  });
  const filter = createFilter({});
  const [[, token] = ['', '']] = filter.responseHeaders?.(named(), 1) ?? [];
  // As llm-d writes it: base64 of `namespace/name`.
  assert.equal(token, 'cHJvZC90d28=');
  assert.deepEqual(kept(filter, named(token)), [1]);
  assert.deepEqual(kept(filter, named('ZGVmYXVsdC9vbmU=')), [0]);
  // One from before the endpoint had a name.
  assert.deepEqual(kept(filter, named(Buffer.from('10.0.0.1:8000').toString('base64'))), [1]);
  assert.deepEqual(kept(filter, named(Buffer.from('prod/gone').toString('base64'))), [0, 1, 2]);
  const [[, bare] = ['', '']] = filter.responseHeaders?.(named(), 2) ?? [];
  assert.equal(Buffer.from(bare, 'base64').toString(), '10.0.0.2:8000');
});

test('encoded_endpoint_header: another header, in any case', () => {
  const filter = createFilter({ encodedEndpointHeaderConfig: { header: 'X-Sticky' } });
  const [[name, token] = ['', '']] = filter.responseHeaders?.(request({}), 2) ?? [];
  assert.equal(name, 'x-sticky');
  assert.deepEqual(kept(filter, request({ 'x-sticky': token })), [2]);
});

test('session_id: bound by the pick, held while it is used, forgotten afterwards', () => {
  const filter = createFilter(byId);
  assert.deepEqual(kept(filter, session('s')), [0, 1, 2]);
  filter.picked?.(session('s'), 1);
  assert.deepEqual(kept(filter, session('s', 300_000)), [1]);
  assert.deepEqual(kept(filter, session('other')), [0, 1, 2]);
  assert.deepEqual(kept(filter, request({})), [0, 1, 2]);
  assert.deepEqual(kept(filter, session('s', 300_001)), [0, 1, 2]);
  // Used again in time, it lives on from there.
  filter.picked?.(session('s', 200_000), 1);
  assert.deepEqual(kept(filter, session('s', 500_000)), [1]);
  assert.equal(filter.responseHeaders, undefined);
});

test('session_id: when its endpoint is no candidate the session moves once and stays', () => {
  const filter = createFilter(byId);
  filter.picked?.(session('s'), 1);
  assert.deepEqual(kept(filter, session('s'), [0, 2]), [0, 2]);
  filter.picked?.(session('s'), 2);
  assert.deepEqual(kept(filter, session('s')), [2]);
});

test('session_id: a request that goes on to others takes its session along', () => {
  const filter = createFilter(byId);
  const moved = filter.picked?.(session('s'), 0);
  assert.ok(moved);
  assert.deepEqual(kept(filter, session('s')), [0]);
  moved(1);
  assert.deepEqual(kept(filter, session('s')), [1]);
  moved(2);
  assert.deepEqual(kept(filter, session('s')), [2]);
  assert.deepEqual(kept(filter, session('other')), [0, 1, 2]);
  // Bound elsewhere by a later request: what an earlier one does afterwards says nothing any more.
  filter.picked?.(session('s'), 0);
  moved(1);
  assert.deepEqual(kept(filter, session('s')), [0]);
  assert.equal(filter.picked?.(request({}), 1), undefined);
});

test('session_id: filter and scorer that remember together move together, once', () => {
  const host = pluginHost(3);
  const filter = createFilter(byId, host);
  const followers = [filter, createScorer(byId, host)].map(({ picked }) =>
    picked?.(session('s'), 0),
  );
  for (const moved of followers) moved?.(2);
  assert.deepEqual(kept(filter, session('s')), [2]);
  for (const moved of followers) moved?.(1);
  assert.deepEqual(kept(filter, session('s')), [1]);
});

test('session_id: the endpoint is known by name, whatever slot it gets', () => {
  const filter = createFilter(byId);
  filter.picked?.(session('s'), 0);
  const [first, second, third] = fleet.bySlot;
  const moved = { epoch: 2, bySlot: [second ?? null, third ?? null, first ?? null] };
  assert.deepEqual(kept(filter, request({ 'x-session-id': 's' }, 0, moved)), [2]);
});

test('session_id: the first source that has an id counts, attributes too', () => {
  const sources = [{ header: 'X-A' }, { attribute: 'agent-identity' }, { attribute: 'session-id' }];
  const filter = createFilter({ ...byId, sessionIdConfig: { sources } });
  const with_ = (
    headers: Record<string, string>,
    agentIdentity: string,
    sessionId: string,
  ): SchedulingContext =>
    schedulingContext(fleet, {
      headers: () => headers,
      signals: { agentIdentity, sessionId, outputTokens: 0 },
    });
  filter.picked?.(with_({}, 'agent', 'id'), 0);
  filter.picked?.(with_({ 'x-a': 'head' }, 'agent', 'id'), 1);
  filter.picked?.(with_({}, '', 'id'), 2);
  assert.deepEqual(kept(filter, with_({}, 'agent', '')), [0]);
  assert.deepEqual(kept(filter, with_({ 'x-a': 'head' }, '', '')), [1]);
  assert.deepEqual(kept(filter, with_({ 'x-a': '' }, '', 'id')), [2]);
});

test('the scorer gives 1 to the endpoint of the session and 0 to everyone else', () => {
  const scorer = createScorer(byId);
  const scores = new Float64Array(3);
  scorer.score(session('s'), candidatesOf(fleet), scores);
  assert.deepEqual([...scores], [0, 0, 0]);
  scorer.picked?.(session('s'), 2);
  scorer.score(session('s'), candidatesOf(fleet), scores);
  assert.deepEqual([...scores], [0, 0, 1]);
  const token = createScorer({}).responseHeaders?.(session('s'), 0) ?? [];
  createScorer({}).score(request(Object.fromEntries(token)), candidatesOf(fleet), scores);
  assert.deepEqual([...scores], [1, 0, 0]);
});

test('filter and scorer of one policy remember together, those of two do not', () => {
  const host = pluginHost(3);
  const filter = createFilter(byId, host);
  createScorer(byId, host).picked?.(session('s'), 1);
  assert.deepEqual(kept(filter, session('s')), [1]);
  const otherTtl = { ...byId, sessionIdConfig: { evictionTtlSeconds: 5 } };
  assert.deepEqual(kept(createFilter(otherTtl, host), session('s')), [0, 1, 2]);
  assert.deepEqual(kept(createFilter(byId), session('s')), [0, 1, 2]);
});

test('plugins of different names remember for themselves', () => {
  const host = pluginHost(3);
  const decode = createFilter(byId, { ...host, name: 'decode sessions' });
  const prefill = createFilter(byId, { ...host, name: 'prefill sessions' });
  decode.picked?.(session('one'), 0);
  prefill.picked?.(session('one'), 2);
  assert.deepEqual(kept(decode, session('one')), [0]);
  assert.deepEqual(kept(prefill, session('one')), [2]);
});

test('what is remembered is bounded: by time, by number, by the length of an id', () => {
  const bindings = new SessionBindings(1000);
  for (let turn = 0; turn < 3000; turn += 1) {
    bindings.bind(`session ${turn}`, request({}, turn), 0);
    assert.ok(bindings.size <= 1001, `${bindings.size} sessions`);
  }
  const many = new SessionBindings(0);
  for (let turn = 0; turn < SESSIONS_MAX + 10; turn += 1) {
    many.bind(`session ${turn}`, request({}, turn), 1);
    // The first one is used all the time and must stay.
    if (turn % 1000 === 0) many.bind('session 0', request({}, turn), 2);
  }
  assert.equal(many.size, SESSIONS_MAX);
  const all = candidatesOf(fleet);
  assert.equal(many.find('session 0', request({}, 1e9), all), 2);
  assert.equal(many.find('session 1', request({}, 1e9), all), -1);
  const long = 'x'.repeat(SESSION_ID_LENGTH_MAX + 1);
  many.bind(long, request({}), 1);
  assert.equal(many.find(long, request({}), all), -1);
});

test('parameters: one source of an id each, known strategies, no others', () => {
  const parse = (parameters: unknown): unknown =>
    sessionAffinityFilter.parameters.parse(parameters);
  for (const wrong of [
    { strategy: 'cookie' },
    { sessionIdConfig: { sources: [] } },
    { sessionIdConfig: { sources: [{}] } },
    { sessionIdConfig: { sources: [{ header: 'a', attribute: 'session-id' }] } },
    { sessionIdConfig: { evictionTtlSeconds: -1 } },
    { encodedEndpointHeaderConfig: { header: 'two words' } },
    { header: 'x-session-token' },
  ]) {
    assert.throws(() => parse(wrong));
  }
});
