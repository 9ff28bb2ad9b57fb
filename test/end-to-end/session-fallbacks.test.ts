// Sessions whose engine does not answer, as their clients see it on both cores: no error, served by
// another engine, named by what the client is told, and kept there from then on.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { EngineServer } from '#simulation/engine-server.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';
import { readStatus, untilProven } from '#test/support/status.js';

/** In turn, so that without its session a request goes elsewhere; by the policy, however late that is. */
const SCHEDULING = `
timeouts: {decide: 1m}
scheduling:
  profileHandler:
    type: header-profile-handler
    parameters: {defaultProfile: carried}
  profiles:
    - name: carried
      filters: [{type: session-affinity-filter}]
      picker: {type: round-robin-picker}
    - name: remembered
      filters: [{type: session-affinity-filter, parameters: {strategy: session_id}}]
      picker: {type: round-robin-picker}
    - name: scored
      scorers: [{type: session-affinity-scorer, parameters: {strategy: session_id}}]
      picker: {type: max-score-picker}
`;

const files = new ConfigurationFiles();
let engines: EngineSimFleet;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim' });
});

after(async () => {
  await engines.stop();
  files.remove();
});

interface Answer {
  readonly status: number;
  readonly endpoint: string;
  /** What the client brings back next time. */
  readonly token: string | null;
}

type Headers = Readonly<Record<string, string>>;
type Ask = (headers: Headers) => Promise<Answer>;

function asking(url: string): Ask {
  return async (headers) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'sim', max_tokens: 1, prompt: 'Where am I?' }),
    });
    await response.arrayBuffer();
    return {
      status: response.status,
      endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
      token: response.headers.get('x-session-token'),
    };
  };
}

const PROFILES = ['carried', 'remembered', 'scored'] as const;

/** Headers of a session's next request. */
function headersOf(profile: (typeof PROFILES)[number], last: Answer | null): Headers {
  const named = { 'epp-profile': profile, 'x-session-id': `of ${profile}` };
  return last?.token ? { ...named, 'x-session-token': last.token } : named;
}

function simOf(endpoint: string): EngineServer {
  const sim = engines.engines.find(({ name }) => name === endpoint);
  assert.ok(sim, `${endpoint} is an engine`);
  return sim;
}

function checkAnswer(profile: string, { status, endpoint, token }: Answer): void {
  assert.equal(status, 200);
  const told = token === null ? null : Buffer.from(token, 'base64').toString();
  assert.equal(told, profile === 'carried' ? endpoint : null);
}

for (const core of ['native', 'portable'] as const) {
  test(`${core}: a session goes on to who answers, and stays there`, {
    skip: core === 'native' && nativeSkip,
  }, async (context) => {
    const urls = engines.engines.map(({ url }) => `  - ${url}\n`).join('');
    const file = files.write('warmpath.yaml', `endpoints:\n${urls}${SCHEDULING}`);
    const environment = { ...process.env, WARMPATH_CORE: core };
    const router = await startRouterProcess([`--config=${file}`], environment);
    try {
      await untilProven(router.adminUrl);
      const ask = asking(router.url);
      for (const profile of PROFILES) {
        await context.test(`busy, ${profile}`, () => busy(ask, profile));
        await context.test(`killed, ${profile}`, () => killed(ask, profile));
        await eventually('all are back', async () => {
          const { endpoints } = await readStatus(router.adminUrl);
          return endpoints.every(({ healthy }) => healthy);
        });
      }
    } finally {
      await router.end();
    }
  });
}

/** An engine that answers 503 is healthy: only what became of the request says where the session is. */
async function busy(ask: Ask, profile: (typeof PROFILES)[number]): Promise<void> {
  const first = await ask(headersOf(profile, null));
  checkAnswer(profile, first);
  const home = simOf(first.endpoint);
  home.setFaults({ httpErrors: { status: 503 } });
  const second = await ask(headersOf(profile, first));
  home.setFaults({});
  checkAnswer(profile, second);
  assert.notEqual(second.endpoint, first.endpoint);
  for (let turn = 0; turn < 4; turn += 1) {
    const next = await ask(headersOf(profile, second));
    assert.deepEqual(next, second);
  }
}

async function killed(ask: Ask, profile: (typeof PROFILES)[number]): Promise<void> {
  const first = await ask(headersOf(profile, null));
  checkAnswer(profile, first);
  const home = simOf(first.endpoint);
  await home.kill();
  // Whether the router has noticed by now or not.
  const second = await ask(headersOf(profile, first));
  checkAnswer(profile, second);
  assert.notEqual(second.endpoint, first.endpoint);
  for (let turn = 0; turn < 4; turn += 1) {
    assert.deepEqual(await ask(headersOf(profile, second)), second);
  }
  await home.restart();
}
