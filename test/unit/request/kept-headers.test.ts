// Which header values a decision keeps: what plugins say they read, and never a credential.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import type { PolicySettings, ProfileSettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { headersOf, keepHeaders, keptHeaders } from '#request/kept-headers.js';
import { pluginHost } from '#test/support/scheduling.js';

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
  const values: string[] = [];
  keepHeaders(reads, SENT, values);
  return { headers: headersOf(reads, values), identities };
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
