// LoRA adapters in front of engines that have loaded them, that can load them, and that cannot, on
// both cores.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionCandidate } from '#contracts/decision.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';
import { untilMatched } from '#test/support/status.js';

const ADAPTERS = ['sql', 'law', 'med'];
/** Words enough for many blocks. */
const PROMPT = 'A prompt that is long enough. '.repeat(40);
/** Adapters first, then fewest in flight. */
const POLICY = `
adapters:
${ADAPTERS.map((name) => `  ${name}: {parent: base, labels: {lora: "yes"}}`).join('\n')}
scrape: {interval: 50ms}
scheduling:
  profile:
    scorers:
      - {type: lora-affinity-scorer, weight: 10}
      - {type: prefix-cache-scorer, weight: 1}
      - {type: active-request-scorer, weight: 1}
`;

const files = new ConfigurationFiles();
let fleets: readonly EngineSimFleet[] = [];

/** Slow, so that what is asked for stays; one adapter runs at a time. */
async function startEngines(): Promise<void> {
  const common = { modelId: 'base', timeScale: 1 };
  fleets = await Promise.all([
    startFastSims({ ...common, loras: ['sql'], resolvableLoras: ADAPTERS.slice(1), lorasMax: 1 }),
    startFastSims({ ...common, resolvableLoras: ADAPTERS, lorasMax: 1 }),
    startFastSims(common),
  ]);
}

async function stopEngines(): Promise<void> {
  await Promise.all(fleets.map((fleet) => fleet.stop()));
}

after(() => files.remove());

class Rig {
  readonly #router: Awaited<ReturnType<typeof startRouterProcess>>;
  readonly #held = new AbortController();

  constructor(router: Awaited<ReturnType<typeof startRouterProcess>>) {
    this.#router = router;
  }

  post(url: string, body: object): Promise<Response> {
    return fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: this.#held.signal,
    });
  }

  /** Endpoint that answered. */
  async ask(model: string): Promise<string> {
    const body = { model, prompt: PROMPT, max_tokens: 1 };
    const response = await this.post(`${this.#router.url}/v1/completions`, body);
    assert.equal(response.status, 200, await response.text());
    return response.headers.get('x-warmpath-endpoint') ?? '';
  }

  /** Begins an answer that goes on until the end of the test. */
  hold(model: string): void {
    const body = { model, prompt: `${model} goes on`, max_tokens: 20_000, stream: true };
    this.post(`${this.#router.url}/v1/completions`, body).catch(() => {});
  }

  async models(): Promise<readonly (readonly [string, string | null])[]> {
    const response = await fetch(`${this.#router.url}/v1/models`);
    const { data } = (await response.json()) as { data: { id: string; parent: string | null }[] };
    return data.map(({ id, parent }) => [id, parent]);
  }

  /** What a request for the model would get, without sending one. */
  async decision(model: string): Promise<Decision> {
    const url = `${this.#router.adminUrl}/debug/score`;
    const response = await this.post(url, { model, prompt: PROMPT });
    return ((await response.json()) as { decision: Decision }).decision;
  }

  async end(): Promise<void> {
    this.#held.abort();
    await this.#router.end();
  }
}

for (const core of ['native', 'portable'] as const) {
  test(`${core}: adapters go where they are loaded, else where they can be`, {
    skip: core === 'native' && nativeSkip,
  }, async (context) => {
    await startEngines();
    const [first, second, third] = fleets.map((fleet) => fleet.engines[0]);
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const endpoints = [first, second].map(
      ({ url }) => `  - {url: "${url}", labels: {lora: "yes"}}\n`,
    );
    const text = `endpoints:\n${endpoints.join('')}  - ${third.url}\n${POLICY}`;
    const file = files.write('warmpath.yaml', text);
    const environment = { ...process.env, WARMPATH_CORE: core };
    const router = await startRouterProcess([`--config=${file}`], environment);
    const rig = new Rig(router);
    const names = [first.name, second.name, third.name];
    try {
      await untilMatched(router.adminUrl);
      await context.test('listed', () => listed(rig));
      await context.test('prefixes', () => prefixes(rig));
      await context.test('loaded', () => loaded(rig, names));
      await context.test('room', () => room(rig, names));
      await context.test('full', () => full(rig, names));
    } finally {
      await rig.end();
      await stopEngines();
    }
  });
}

async function listed(rig: Rig): Promise<void> {
  const models = await rig.models();
  assert.deepEqual(models[0], ['base', null]);
  const adapters = ADAPTERS.map((name) => [name, 'base']);
  assert.deepEqual([...models.slice(1)].sort(), adapters.sort());
}

/** The same text is another prompt with an adapter, and with each of them. */
async function prefixes(rig: Rig): Promise<void> {
  const held = async (model: string): Promise<number> => {
    const { candidates, noMatchReason } = await rig.decision(model);
    assert.ok(noMatchReason === null || noMatchReason === 'no-match', noMatchReason ?? '');
    return Math.max(...candidates.map(({ usableBlocks }) => usableBlocks));
  };
  await rig.ask('base');
  await eventually('base has the prompt', async () => (await held('base')) > 10);
  for (const name of ADAPTERS) assert.equal(await held(name), 0, name);
  await rig.ask('sql');
  await eventually('sql has the prompt', async () => (await held('sql')) > 10);
  assert.deepEqual([await held('law'), await held('med')], [0, 0]);
}

async function loaded(rig: Rig, [first, second, third]: readonly string[]): Promise<void> {
  let decision = await rig.decision('sql');
  await eventually('nothing runs', async () => {
    decision = await rig.decision('sql');
    return adapterScore(decision, first) === 0.8;
  });
  assert.equal(adapterScore(decision, second), 0.7);
  assert.equal(candidate(decision, third).excludedBy, 'other-model');
  for (let turn = 0; turn < 3; turn += 1) assert.equal(await rig.ask('sql'), first);
}

/** Where another adapter takes the only place, there is no room. */
async function room(rig: Rig, [first, second]: readonly string[]): Promise<void> {
  await idle(rig, first);
  rig.hold('sql');
  await eventually('sql runs', async () => adapterScore(await rig.decision('sql'), first) === 1);
  const decision = await rig.decision('law');
  assert.deepEqual([adapterScore(decision, first), adapterScore(decision, second)], [0, 0.7]);
  assert.equal(await rig.ask('law'), second);
  await idle(rig, second);
  rig.hold('law');
  await eventually('law is loaded by its first request', async () => {
    const there = candidate(await rig.decision('law'), second);
    const [law] = there.models.filter(({ id }) => id === 'law');
    return there.runningAdapters.includes('law') && law?.loaded === true;
  });
}

/** Without room anywhere the fewest in flight count, then where the adapter is awaited already. */
async function full(rig: Rig, [first, second]: readonly string[]): Promise<void> {
  rig.hold('sql');
  await eventually('the first one has more to do', async () => {
    const decision = await rig.decision('med');
    return candidate(decision, first).inFlightRequests === 2 && decision.chosen === second;
  });
  const before = await rig.decision('med');
  assert.deepEqual([adapterScore(before, first), adapterScore(before, second)], [0, 0]);
  rig.hold('med');
  await eventually('med is awaited', async () => {
    const { waitingAdapters } = candidate(await rig.decision('med'), second);
    return waitingAdapters.includes('med');
  });
  // As many in flight now: only the adapter makes a difference.
  const decision = await rig.decision('med');
  assert.deepEqual([adapterScore(decision, first), adapterScore(decision, second)], [0, 0.6]);
  assert.equal(decision.chosen, second);
}

/** Figures waited for afterwards are those of the next request. */
async function idle(rig: Rig, endpoint: string | undefined): Promise<void> {
  await eventually('its adapter has ended', async () => {
    return candidate(await rig.decision('sql'), endpoint).runningAdapters.length === 0;
  });
}

function candidate(decision: Decision, endpoint = ''): DecisionCandidate {
  const found = decision.candidates.find((one) => one.endpoint === endpoint);
  assert.ok(found !== undefined, endpoint);
  return found;
}

function adapterScore(decision: Decision, endpoint = ''): number | undefined {
  const { terms } = candidate(decision, endpoint);
  return terms.find(({ scorer }) => scorer === 'lora-affinity-scorer')?.raw;
}
