// A policy of one's own, as a client sees it: sessions that the client carries, sessions that the
// router remembers, and profiles that the caller names.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { startRouterProcess } from '#test/support/processes.js';
import { untilProven } from '#test/support/status.js';

const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-policies-'));
let engines: EngineSimFleet;
let router: Awaited<ReturnType<typeof startRouterProcess>>;

/** Round robin, so that without a session every request goes elsewhere. */
const SCHEDULING = `
scheduling:
  producers:
    - {type: agent-identity}
  profileHandler:
    type: header-profile-handler
    parameters: {defaultProfile: carried}
  profiles:
    - name: carried
      filters: [{type: session-affinity-filter}]
      picker: {type: round-robin-picker}
    - name: remembered
      filters:
        - type: session-affinity-filter
          parameters:
            strategy: session_id
            sessionIdConfig:
              sources: [{header: x-session-id}, {attribute: agent-identity}]
      picker: {type: round-robin-picker}
`;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim' });
  const urls = engines.engines.map((engine) => `  - ${engine.url}\n`).join('');
  const file = path.join(folder, 'warmpath.yaml');
  writeFileSync(file, `endpoints:\n${urls}${SCHEDULING}`);
  router = await startRouterProcess([`--config=${file}`]);
  await untilProven(router.adminUrl);
});

after(async () => {
  await router.end();
  await engines.stop();
  rmSync(folder, { recursive: true });
});

async function ask(headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const response = await fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({
      model: 'sim',
      max_tokens: 1,
      messages: [{ role: 'user', content: 'Where am I?' }],
    }),
  });
  await response.clone().arrayBuffer();
  return response;
}

const endpointOf = (response: Response): string =>
  response.headers.get('x-warmpath-endpoint') ?? '';

test('a client that sends its token back stays where it was', async () => {
  const first = await ask();
  const token = first.headers.get('x-session-token') ?? '';
  assert.equal(Buffer.from(token, 'base64').toString(), endpointOf(first));
  for (let turn = 0; turn < 6; turn += 1) {
    const next = await ask({ 'x-session-token': token });
    assert.equal(endpointOf(next), endpointOf(first));
    assert.equal(next.headers.get('x-session-token'), token);
  }
  const others = await Promise.all([ask(), ask(), ask()]);
  assert.equal(new Set(others.map(endpointOf)).size, 3);
});

test('sessions and agents are remembered by their ids, each at its own endpoint', async () => {
  const remembered = { 'epp-profile': 'remembered' };
  const sessions = [
    { ...remembered, 'x-session-id': 'one' },
    { ...remembered, 'x-session-id': 'two' },
    { ...remembered, 'x-claude-code-session-id': 'agent' },
  ];
  const homes: string[] = [];
  for (const headers of sessions) homes.push(endpointOf(await ask(headers)));
  assert.equal(new Set(homes).size, 3);
  for (let turn = 0; turn < 4; turn += 1) {
    for (const [at, headers] of sessions.entries()) {
      const response = await ask(headers);
      assert.equal(endpointOf(response), homes[at]);
      assert.equal(response.headers.get('x-session-token'), null);
    }
  }
});

test('a profile that is not configured is refused', async () => {
  const response = await ask({ 'epp-profile': 'nonsense' });
  assert.equal(response.status, 400);
  const body = (await response.json()) as { readonly error: { readonly code: string } };
  assert.equal(body.error.code, 'profile_not_found');
});
