// Producers that find something out about a request, and profile handlers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProducerDefinition } from '#contracts/plugin.js';
import type { RequestSignals, SchedulingContext } from '#contracts/scheduling.js';
import { requestSignals } from '#contracts/scheduling.js';
import { agentIdentity } from '#plugins/agent-identity.js';
import { headerProfileHandler } from '#plugins/header-profile-handler.js';
import { inflightLoadProducer } from '#plugins/inflight-load-producer.js';
import { sessionIdProducer } from '#plugins/session-id-producer.js';
import { singleProfileHandler } from '#plugins/single-profile-handler.js';
import { fleetSnapshot, pluginHost, schedulingContext } from '#test/support/scheduling.js';

const fleet = fleetSnapshot([{}]);

function signalsOf(
  definition: ProducerDefinition,
  parameters: unknown,
  changes: Partial<SchedulingContext>,
): RequestSignals {
  const context = schedulingContext(fleet, { signals: requestSignals(), ...changes });
  definition.create(definition.parameters.parse(parameters), pluginHost(1)).produce?.(context);
  return context.signals;
}

const sent = (headers: Record<string, string>): Partial<SchedulingContext> => ({
  headers: () => headers,
});

test('agent-identity: the first header that is not empty, configured ones first', () => {
  const identity = (headers: Record<string, string>, parameters: unknown = {}): string =>
    signalsOf(agentIdentity, parameters, sent(headers)).agentIdentity;
  const all = {
    'x-claude-code-session-id': 'claude',
    'x-session-affinity': 'open',
    'session-id': 'codex',
    session_id: 'old codex',
  };
  assert.equal(identity(all), 'claude');
  assert.equal(identity({ ...all, 'x-claude-code-session-id': '' }), 'open');
  assert.equal(identity({ 'session-id': 'codex', session_id: 'old codex' }), 'codex');
  assert.equal(identity({ session_id: 'old codex' }), 'old codex');
  assert.equal(identity({ 'x-session-id': 'no agent' }), '');
  const parameters = { additionalSessionHeaders: ['X-Session-Id'] };
  assert.equal(identity({ ...all, 'x-session-id': 'mine' }, parameters), 'mine');
  assert.equal(identity(all, parameters), 'claude');
});

test('session-id-producer: a header, or a cookie among others', () => {
  const id = (parameters: unknown, headers: Record<string, string>): string =>
    signalsOf(sessionIdProducer, parameters, sent(headers)).sessionId;
  assert.equal(id({ headerName: 'X-My-Session' }, { 'x-my-session': 's' }), 's');
  assert.equal(id({ headerName: 'X-My-Session' }, {}), '');
  const cookies = { cookie: 'xsid=no;  sid=s=1 ; sid=second' };
  assert.equal(id({ cookieName: 'sid' }, cookies), 's=1');
  for (const cookie of ['', 'sid', 'Sid=s', ';;', 'a=b;']) {
    assert.equal(id({ cookieName: 'sid' }, { cookie }), '');
  }
  assert.equal(id({ cookieName: 'sid' }, {}), '');
  for (const wrong of [{}, { headerName: 'a', cookieName: 'b' }, { cookieName: 'a;b' }]) {
    assert.throws(() => sessionIdProducer.parameters.parse(wrong));
  }
});

test('inflight-load-producer: estimates answers only when told to', () => {
  const tokens = (parameters: object, promptTokens = 101): number =>
    signalsOf(inflightLoadProducer, parameters, { promptTokens }).outputTokens;
  const on = { addEstimatedOutputTokens: true };
  assert.equal(tokens({}), 0);
  assert.equal(tokens(on), 152);
  assert.equal(tokens({ ...on, outputRatio: 0.1 }), 10);
  assert.equal(tokens({ ...on, maxEstimatedOutputTokens: 100 }), 100);
  assert.equal(tokens({ ...on, maxEstimatedOutputTokens: 0 }), 0);
  assert.equal(tokens(on, 0), 0);
  const idle = inflightLoadProducer.create(
    inflightLoadProducer.parameters.parse({}),
    pluginHost(1),
  );
  assert.equal(idle.produce, undefined);
});

test('header-profile-handler: the header names the profile, blank or missing is the default', () => {
  const choose = (parameters: unknown, headers: Record<string, string>): string =>
    headerProfileHandler
      .create(headerProfileHandler.parameters.parse(parameters), pluginHost(1))
      .choose(schedulingContext(fleet, sent(headers)));
  assert.equal(choose({}, { 'epp-profile': ' prefill ' }), 'prefill');
  assert.equal(choose({}, { 'epp-profile': ' ' }), 'decode');
  assert.equal(choose({ defaultProfile: 'main' }, {}), 'main');
  assert.equal(choose({ headerName: 'X-Stage' }, { 'x-stage': 'encode' }), 'encode');
});

test('profile handlers say which profiles they cannot choose among', () => {
  const parsed = headerProfileHandler.parameters.parse({});
  assert.equal(headerProfileHandler.fault(parsed, ['prefill', 'decode']), null);
  assert.equal(headerProfileHandler.fault(parsed, ['any']), null);
  assert.match(headerProfileHandler.fault(parsed, ['a', 'b']) ?? '', /`decode` is none of .* a, b/);
  assert.equal(singleProfileHandler.fault({}, ['any']), null);
  assert.match(singleProfileHandler.fault({}, ['a', 'b']) ?? '', /there are 2/);
});
