// Random requests, many of them aborted at random points: afterwards every gauge is 0 and the
// process holds no more descriptors and threads than before. Its memory is printed, for the long run.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { startRouterProcess } from '#test/support/processes.js';
import { endpointFlags } from '#test/support/sims.js';
import { readStatus, untilMatched } from '#test/support/status.js';

// `node dist/test/end-to-end/aborts.test.js 20000` runs the long version.
const REQUESTS = Number(process.argv[2] ?? 2000);
const LANES = 16;
const ROUNDS = 10;
const SEED = 11;

let engines: EngineSimFleet;
let router: Awaited<ReturnType<typeof startRouterProcess>>;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim', gpuBlocks: 2000 });
  router = await startRouterProcess([...endpointFlags(engines), '--log-level=warn']);
  await untilMatched(router.adminUrl);
});

after(async () => {
  await router.end();
  await engines.stop();
});

test(`${REQUESTS} requests with aborts at random points leave nothing behind`, async () => {
  console.log(`seed ${SEED}`);
  const random = seededRandom(SEED);
  await runRequests(200, random.next);
  await untilIdle();
  const before = usage();
  for (let round = 1; round <= ROUNDS; round += 1) {
    await runRequests(REQUESTS / ROUNDS, random.next);
    await untilIdle();
    console.log(`${(REQUESTS / ROUNDS) * round} requests: ${JSON.stringify(usage())}`);
  }
  await eventually(`descriptors and threads are back at ${JSON.stringify(before)}`, () => {
    const now = usage();
    return now.threads <= before.threads && now.descriptors <= before.descriptors + LANES;
  });
  const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
  for (const line of metrics.split('\n')) {
    if (/^warmpath_(requests_in_flight|endpoint_in_flight_requests)/.test(line)) {
      assert.match(line, / 0$/, line);
    }
  }
});

async function runRequests(count: number, next: () => number): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await oneRequest(next);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Sends one request over its own socket and cuts it after a random number of bytes, or not. */
function oneRequest(next: () => number): Promise<void> {
  const stream = next() < 0.5;
  const body = JSON.stringify({
    model: next() < 0.05 ? 'nope' : 'sim',
    prompt: `${'again '.repeat(Math.floor(next() * 200))}${next()}`,
    max_tokens: 1 + Math.floor(next() * 30),
    stream,
  });
  const text =
    `POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n` +
    `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const sendOnly = next() < 0.15 ? Math.floor(next() * text.length) : text.length;
  const readOnly = next() < 0.5 ? Math.floor(next() * 2000) : Number.POSITIVE_INFINITY;
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(router.url).port), '127.0.0.1');
    let read = 0;
    socket.on('connect', () => {
      socket.write(text.slice(0, sendOnly));
      if (sendOnly < text.length || readOnly === 0) socket.destroy();
    });
    socket.on('data', (data) => {
      read += data.length;
      if (read >= readOnly) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

function untilIdle(): Promise<void> {
  return eventually('nothing is in flight anywhere', async () => {
    const { endpoints, requests } = await readStatus(router.adminUrl);
    return (
      requests.inFlight === 0 &&
      requests.slots === 0 &&
      requests.bodyBytes === 0 &&
      endpoints.every(
        ({ inFlight }) => inFlight.requests === 0 && inFlight.uncachedPromptTokens === 0,
      ) &&
      engines.engines.every(
        (engine) => engine.stats().running === 0 && engine.stats().waiting === 0,
      )
    );
  });
}

function usage(): {
  readonly descriptors: number;
  readonly threads: number;
  readonly residentMiB: number;
} {
  const pid = router.child.pid ?? 0;
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
    residentMiB:
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) >> 10,
  };
}
