// Models under other names and canaries, as a client and the engines see them, on both cores.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LoggedDecision, ModelRewrite } from '#contracts/decision.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';
import { untilMatched } from '#test/support/status.js';

const HEADER = 'x-llm-d-model-name-rewrite';
const SESSIONS = 200;
const RULES = `
objectives:
  batch: {priority: -1}
modelRewrites:
  - match: {model: gpt-4o}
    targets: [{model: stable, weight: 3}, {model: canary-with-a-longer-name, weight: 1}]
  - match: {model: gone}
    targets: [{model: nowhere}]
`;

const files = new ConfigurationFiles();
let fleets: readonly EngineSimFleet[];

before(async () => {
  fleets = await Promise.all(
    ['stable', 'canary-with-a-longer-name'].map((modelId) => startFastSims({ modelId })),
  );
});

after(async () => {
  await Promise.all(fleets.map((fleet) => fleet.stop()));
  files.remove();
});

interface Answer {
  readonly status: number;
  /** As the engine says, or the error. */
  readonly model: string;
  readonly error: string;
  readonly endpoint: string;
  readonly matched: number;
}

async function ask(
  url: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ prompt: 'Hello there.', max_tokens: 1, ...body }),
  });
  const answer = (await response.json()) as { model?: string; error?: { message: string } };
  return {
    status: response.status,
    model: answer.model ?? '',
    error: answer.error?.message ?? '',
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    matched: Number.parseInt(response.headers.get('x-warmpath-matched-tokens') ?? '0', 10),
  };
}

for (const core of ['native', 'portable'] as const) {
  test(`${core}: requests are rewritten by weight, session and header`, {
    skip: core === 'native' && nativeSkip,
  }, async (context) => {
    const engines = fleets.flatMap((fleet) => fleet.engines);
    const urls = engines.map(({ url }) => `  - ${url}\n`).join('');
    const file = files.write('warmpath.yaml', `endpoints:\n${urls}${RULES}`);
    const environment = { ...process.env, WARMPATH_CORE: core };
    const router = await startRouterProcess([`--config=${file}`], environment);
    try {
      await untilMatched(router.adminUrl);
      await context.test('shares', () => shares(router.url));
      await context.test('freely', () => freely(router.url));
      await context.test('prefixes', () => prefixes(router.url));
      await context.test('refusals', () => refusals(router.url));
      await context.test('decisions', () => decisions(router));
      await context.test('scores', () => scores(router));
    } finally {
      await router.end();
    }
  });
}

/** Without a rule the header names any served model, on every route that names one in its body. */
async function freely(url: string): Promise<void> {
  const target = 'canary-with-a-longer-name';
  const [stable, canary] = fleets.map((fleet) => fleet.engines[0]);
  for (const model of ['stable', 'not-served']) {
    const answer = await ask(url, { model }, { [HEADER]: target });
    assert.deepEqual([answer.status, answer.model, answer.endpoint], [200, target, canary?.name]);
  }
  assert.equal((await ask(url, { model: 'stable' })).endpoint, stable?.name);
  const embedding = await fetch(`${url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [HEADER]: target },
    body: JSON.stringify({ model: 'stable', input: 'text' }),
  });
  await embedding.arrayBuffer();
  assert.equal(embedding.headers.get('x-warmpath-endpoint'), canary?.name);
}

/** Sessions draw by their ids, so the share is the same in every run. */
async function shares(url: string): Promise<void> {
  const [stable, canary] = fleets.map((fleet) => fleet.engines[0]);
  const counts = { stable: 0, canary: 0 };
  for (let session = 0; session < SESSIONS; session += 1) {
    const headers = { 'x-session-id': `session-${session}` };
    const first = await ask(url, { model: 'gpt-4o' }, headers);
    assert.equal(first.status, 200, first.error);
    const is = first.model === 'stable' ? 'stable' : 'canary';
    counts[is] += 1;
    const engine = is === 'stable' ? stable : canary;
    assert.deepEqual([first.model, first.endpoint], [engine?.modelId, engine?.name]);
    if (session % 10 === 0) {
      assert.equal((await ask(url, { model: 'gpt-4o' }, headers)).model, first.model);
    }
  }
  assert.ok(Math.abs(counts.canary / SESSIONS - 0.25) < 0.1, `${counts.canary} of ${SESSIONS}`);
}

/** The prompt is matched against what the engine of the target holds. */
async function prefixes(url: string): Promise<void> {
  const body = { model: 'gpt-4o', prompt: 'A prompt that is long enough. '.repeat(40) };
  for (const target of ['stable', 'canary-with-a-longer-name']) {
    await eventually(`${target} holds the prompt`, async () => {
      const answer = await ask(url, body, { [HEADER]: target });
      assert.equal(answer.model, target, answer.error);
      return answer.matched >= 160;
    });
  }
  const plain = await ask(url, { ...body, model: 'stable' });
  assert.ok(plain.matched >= 160, 'a request for the target itself finds the same blocks');
}

async function refusals(url: string): Promise<void> {
  const gone = await ask(url, { model: 'gone' });
  assert.equal(gone.status, 404);
  assert.match(gone.error, /`gone` is rewritten here, but the model `nowhere` is not served here/);
  const other = await ask(url, { model: 'gpt-4o' }, { [HEADER]: 'nowhere' });
  assert.equal(other.status, 404);
  assert.match(other.error, /asks for `nowhere` instead of `gpt-4o`; allowed: `stable`, `canary/);
  const free = await ask(url, { model: 'stable' }, { [HEADER]: 'nowhere' });
  assert.equal(free.status, 404);
  assert.match(
    free.error,
    /asks for `nowhere` instead of `stable`: the model `nowhere` is not served/,
  );
  assert.equal((await ask(url, { model: 'gpt-4' })).status, 404);
}

async function decisions(router: { url: string; adminUrl: string }): Promise<void> {
  const id = 'rewritten-and-cheap';
  const headers = {
    'x-request-id': id,
    'x-llm-d-inference-objective': 'batch',
    [HEADER]: 'stable',
  };
  assert.equal((await ask(router.url, { model: 'gpt-4o', priority: -7 }, headers)).status, 200);
  const answer = await fetch(`${router.adminUrl}/debug/decisions/${id}`);
  const { decision } = (await answer.json()) as LoggedDecision;
  assert.deepEqual(
    [decision.model, decision.resolvedTargetModel, decision.priority],
    ['gpt-4o', 'stable', -1],
  );
  const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
  assert.match(metrics, /warmpath_model_rewrites_total\{model="gpt-4o",target="stable"\} \d+/);
  assert.match(metrics, /warmpath_requests_total\{model="stable",/);
  assert.doesNotMatch(metrics, /requests_total\{model="gpt-4o"/);
}

interface Scored extends LoggedDecision {
  readonly rewrite: ModelRewrite | null;
  readonly error?: { readonly message: string };
}

/** What is only asked about is ranked as the model it would be sent as, and leaves no trace. */
async function scores(router: { url: string; adminUrl: string }): Promise<void> {
  const score = async (body: object, headers: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(`${router.adminUrl}/debug/score`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ prompt: 'A prompt that is long enough. '.repeat(40), ...body }),
    });
    return { status: response.status, ...((await response.json()) as Scored) };
  };
  const rewritesTold = async (): Promise<readonly string[]> => {
    const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
    return metrics.split('\n').filter((line) => line.startsWith('warmpath_model_rewrites_total'));
  };
  const before = await rewritesTold();
  for (const [at, target] of ['stable', 'canary-with-a-longer-name'].entries()) {
    const { status, decision, rewrite } = await score({ model: 'gpt-4o' }, { [HEADER]: target });
    assert.deepEqual([status, decision.chosen], [200, fleets[at]?.engines[0]?.name]);
    assert.deepEqual([decision.model, decision.resolvedTargetModel], ['gpt-4o', target]);
    // Held since `prefixes`: the prompt was matched for the target.
    assert.ok(decision.predictedCachedTokens >= 160, `${decision.predictedCachedTokens}`);
    assert.deepEqual([rewrite?.target, rewrite?.chosenBy], [target, 'header']);
  }
  for (let session = 0; session < 10; session += 1) {
    const headers = { 'x-session-id': `session-${session}` };
    const { rewrite, decision } = await score({ model: 'gpt-4o' }, headers);
    assert.equal(rewrite?.chosenBy, 'session');
    assert.equal(rewrite.target, decision.resolvedTargetModel);
    assert.equal((await ask(router.url, { model: 'gpt-4o' }, headers)).model, rewrite.target);
  }
  assert.equal((await score({ model: 'gpt-4o' })).rewrite?.chosenBy, 'chance');
  assert.equal((await score({ model: 'stable' })).rewrite, null);
  const gone = await score({ model: 'gone' });
  assert.deepEqual([gone.status, gone.rewrite?.target], [404, 'nowhere']);
  assert.match(gone.error?.message ?? '', /^`gone` is rewritten here, but/);
  // Ten requests were sent and are counted; of what was only scored nothing is.
  const count = (lines: readonly string[]): number =>
    lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  assert.equal(count(await rewritesTold()) - count(before), 10);
}
