// Engines without events, behind the router as users run it: what its routing histories predict is
// held against what the engines report, while half of what is stored evicts something; the same
// traffic to engines with events shows that knowing is not worse than remembering.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '#contracts/random.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { workload } from '#test/support/conversations.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { checkPredictions, type PredictionSample } from '#test/support/prediction.js';
import { startRouterProcess } from '#test/support/processes.js';
import { checked, endpointFlags } from '#test/support/sims.js';
import { readStatus, untilMatched } from '#test/support/status.js';

const REQUESTS = 400;
const SEED = 11;

interface Outcome {
  readonly samples: readonly PredictionSample[];
  /** Blocks the engines said they evicted and stored; 0 without events. */
  readonly removed: number;
  readonly stored: number;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

interface Shares {
  /** Of the tokens predicted, those the engine confirmed. */
  readonly confirmed: number;
  /** Tokens predicted too many or too few, to those reused. */
  readonly wrong: number;
  /** Of all prompt tokens, those reused. */
  readonly reused: number;
}

function shares(samples: readonly PredictionSample[]): Shares {
  const predicted = sum(samples.map((sample) => sample.predicted));
  const confirmed = sum(samples.map((sample) => Math.min(sample.predicted, sample.reported)));
  const wrong = sum(samples.map((sample) => Math.abs(sample.predicted - sample.reported)));
  const reused = sum(samples.map((sample) => sample.reported));
  const prompts = sum(samples.map((sample) => sample.reportedPromptTokens));
  return { confirmed: confirmed / predicted, wrong: wrong / reused, reused: reused / prompts };
}

/** Has an engine work for somebody else: a prompt of 20 blocks that the router does not see. */
async function sendPastRouter(url: string, random: Random): Promise<void> {
  const prompt = Array.from({ length: 320 }, () => 1 + Math.floor(random.next() * 100_000));
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'sim', prompt, max_tokens: 2 }),
  });
  await response.text();
  assert.equal(response.status, 200);
}

/** `others`: how many requests go past the router for each one through it. */
async function run(eventSources: boolean, concurrency: number, others = 0): Promise<Outcome> {
  const random = seededRandom(SEED + 1);
  const engines: EngineSimFleet = await startFastSims({
    replicas: 2,
    modelId: 'sim',
    gpuBlocks: 260,
    maxModelLen: 4000,
    eventSources,
  });
  const router = await startRouterProcess(endpointFlags(engines));
  try {
    await untilMatched(router.adminUrl);
    const samples = await checkPredictions({
      routerUrl: router.url,
      adminUrl: router.adminUrl,
      // Without events there is nothing that the router could lag behind.
      engines: eventSources ? engines.engines.map(checked) : [],
      requests: REQUESTS,
      concurrency,
      onSample: async () => {
        const engine = engines.engines[Math.floor(random.next() * engines.engines.length)];
        if (engine !== undefined && random.next() < others) {
          await sendPastRouter(engine.url, random);
        }
      },
      workload: workload({
        model: 'sim',
        random: seededRandom(SEED),
        conversations: 24,
        systemWords: 100,
        turnWords: 40,
        blockSize: 16,
        maxTokens: 40,
        turnsMax: 8,
      }),
    });
    const { endpoints } = await readStatus(router.adminUrl);
    return {
      samples,
      removed: sum(endpoints.map(({ events }) => events?.blocksRemoved ?? 0)),
      stored: sum(endpoints.map(({ events }) => events?.blocksStored ?? 0)),
    };
  } finally {
    await router.end();
    await engines.stop();
  }
}

for (const concurrency of [1, 8]) {
  test(`a history predicts what the engine does, ${concurrency} at a time`, async () => {
    console.log(`seed ${SEED}`);
    const precise = await run(true, concurrency);
    const history = await run(false, concurrency);
    const turnover = precise.removed / precise.stored;
    const [known, remembered] = [shares(precise.samples), shares(history.samples)];
    console.log(JSON.stringify({ turnover, known, remembered }));
    assert.equal(history.samples.length, REQUESTS);
    assert.ok(turnover >= 0.5, `${turnover} of what was stored evicted something`);
    assert.ok(remembered.confirmed >= 0.9, `${remembered.confirmed} of its predictions confirmed`);
    assert.ok(remembered.reused >= 0.3, `only ${remembered.reused} of the prompts were reused`);
    // Of one request at a time the events tell all; of several, both are late in their own way.
    if (concurrency === 1) {
      assert.ok(known.wrong <= remembered.wrong, `${known.wrong} against ${remembered.wrong}`);
    }
  });
}

test('what engines report corrects a history that does not see all requests', async () => {
  console.log(`seed ${SEED}`);
  const { samples } = await run(false, 1, 0.25);
  const remembered = shares(samples);
  console.log(JSON.stringify(remembered));
  assert.ok(remembered.confirmed >= 0.85, `${remembered.confirmed} confirmed`);
  assert.ok(remembered.reused >= 0.2, `only ${remembered.reused} of the prompts were reused`);
});

test('the history ends with the engine’s process', async () => {
  const engines = await startFastSims({ modelId: 'sim', eventSources: false });
  const [engine] = engines.engines;
  assert.ok(engine !== undefined);
  const router = await startRouterProcess(endpointFlags(engines));
  const prompt = Array.from({ length: 161 }, (_, at) => 1000 + at);
  const matched = async (): Promise<string | null> => {
    const response = await fetch(`${router.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'sim', prompt, max_tokens: 2 }),
    });
    await response.text();
    assert.equal(response.status, 200);
    return response.headers.get('x-warmpath-matched-tokens');
  };
  const blocks = async (): Promise<number | undefined> =>
    (await readStatus(router.adminUrl)).endpoints[0]?.history?.blocks;
  try {
    await untilMatched(router.adminUrl);
    assert.equal(await matched(), '0/161');
    assert.equal(await matched(), '160/161');
    assert.equal(await blocks(), 10);
    // Asking only what would be routed where is not sending.
    const asked = { model: 'sim', prompt: prompt.map((id) => id + 5000) };
    const body = JSON.stringify(asked);
    const headers = { 'content-type': 'application/json' };
    const scored = await fetch(`${router.adminUrl}/debug/score`, { method: 'POST', headers, body });
    assert.equal(scored.status, 200);
    assert.equal(await blocks(), 10);
    await engine.restart();
    await eventually('the history is empty', async () => (await blocks()) === 0);
    await eventually('the engine is routed to', async () => (await matched()) === '160/161');
  } finally {
    await router.end();
    await engines.stop();
  }
});
