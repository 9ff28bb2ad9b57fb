// Which header values a decision keeps: what plugins say they read, and never a credential.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import type { PolicySettings, ProfileSettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { HeaderRead } from '#contracts/scheduling.js';
import { headersOf, keepHeaders, keptHeaders, withPolicyHeaders } from '#request/kept-headers.js';
import { fleetSnapshot, pluginHost } from '#test/support/scheduling.js';

const SENT = {
  authorization: 'Bearer secret',
  'x-api-key': 'secret',
  cookie: 'theme=dark; sid=7; token=secret',
  'x-session-id': 'one',
  'epp-profile': 'decode',
  'x-anything': 'else',
};

function kept(settings: PolicySettings): {
  readonly headers: Readonly<Record<string, string>>;
  readonly identities: boolean;
} {
  const { reads, identities } = keptHeaders(buildPolicy(settings, pluginHost(4)));
  return { headers: valuesOf(reads, SENT), identities };
}

function valuesOf(
  reads: readonly HeaderRead[],
  sent: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const values: string[] = [];
  keepHeaders(reads, { headers: () => sent, fleet: fleetSnapshot([{}, null, {}]) }, values);
  return headersOf(reads, values);
}

const plugin = (type: string, parameters: Record<string, unknown> = {}) => ({ type, parameters });
const precise = singleProfilePolicy(POLICY_PROFILES.precise);
const sessionBy = (header: string): ProfileSettings => ({
  ...POLICY_PROFILES.precise,
  filters: [
    plugin('session-affinity-filter', {
      strategy: 'session_id',
      sessionIdConfig: { sources: [{ header }] },
    }),
  ],
});

test('a policy that reads no header keeps none', () => {
  assert.deepEqual(kept(precise), { headers: {}, identities: true });
});

test('headers that plugins of any kind read are kept, others are not', () => {
  const policy = {
    profiles: [sessionBy('x-session-id')],
    profileHandler: plugin('header-profile-handler'),
    producers: [plugin('agent-identity', { additionalSessionHeaders: ['x-not-sent'] })],
  };
  const headers = { 'epp-profile': 'decode', 'x-session-id': 'one' };
  assert.deepEqual(kept(policy), { headers, identities: true });
});

test('of the cookies only the ones that are read are kept', () => {
  const producers = ['sid', 'theme', 'gone'].map((cookieName) =>
    plugin('session-id-producer', { cookieName }),
  );
  assert.deepEqual(kept({ ...precise, producers }).headers, { cookie: 'sid=7; theme=dark' });
});

test('credentials are never kept, nor what may have been made of them', () => {
  for (const header of ['authorization', 'Authorization', 'x-api-key', 'cookie']) {
    const policy = singleProfilePolicy(sessionBy(header));
    assert.deepEqual(kept(policy), { headers: {}, identities: false }, header);
  }
});

const tokenOf = (name: string): string => Buffer.from(name).toString('base64');

/** What a decision of the policy keeps of a head that tells something. */
function keptTelling(
  settings: PolicySettings,
  sent: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { reads } = withPolicyHeaders(keptHeaders(buildPolicy(settings, pluginHost(4))));
  return valuesOf(reads, sent);
}

test('what other policies go by is kept of a telling head, beside what the policy reads', () => {
  const telling = {
    'x-session-token': tokenOf('10.0.0.2:8000'),
    'x-session-id': 'one',
    'x-claude-code-session-id': 'two',
    'x-session-affinity': 'three',
    'session-id': 'four',
    session_id: 'five',
    'epp-profile': 'decode',
  };
  assert.deepEqual(keptTelling(precise, { ...SENT, ...telling }), telling);
  const producers = [plugin('session-id-producer', { cookieName: 'sid' })];
  const both = keptTelling({ ...precise, producers }, { ...SENT, ...telling });
  assert.deepEqual(both, { ...telling, cookie: 'sid=7' });
});

test("a session token that names no endpoint may be another program's secret", () => {
  const policy = singleProfilePolicy({
    ...POLICY_PROFILES.precise,
    filters: [plugin('session-affinity-filter')],
  });
  for (const token of ['c2VjcmV0', 'not base64', tokenOf('10.0.0.1:8000'), '']) {
    const sent = { 'x-session-token': token };
    assert.deepEqual(keptTelling(precise, sent), {}, token);
    // A policy that goes by it keeps it, whatever it is.
    assert.deepEqual(keptTelling(policy, sent), token === '' ? {} : sent, token);
  }
});
