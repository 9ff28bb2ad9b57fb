// Engines without events, behind the router as users run it: what its routing histories predict is
// held against what the engines report, while half of what is stored evicts something; the same
// traffic to engines with events shows that knowing is not worse than remembering.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { workload } from '#test/support/conversations.js';
import { startFastSims } from '#test/support/engine-sims.js';
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

/** Tokens predicted that the engine confirmed, and tokens reused, as shares. */
function shares(samples: readonly PredictionSample[]): { confirmed: number; reused: number } {
  const predicted = sum(samples.map((sample) => sample.predicted));
  const confirmed = sum(samples.map((sample) => Math.min(sample.predicted, sample.reported)));
  const reused = sum(samples.map((sample) => sample.reported));
  const prompts = sum(samples.map((sample) => sample.reportedPromptTokens));
  return { confirmed: confirmed / predicted, reused: reused / prompts };
}

async function run(eventSources: boolean, concurrency: number): Promise<Outcome> {
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
    assert.ok(remembered.reused >= 0.1, `only ${remembered.reused} of the prompts were reused`);
  });
}
