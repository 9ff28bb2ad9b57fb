// What a client sees when an engine dies: answers from another endpoint, an explicit error on
// streams that had begun, and nothing sent to the dead one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { startRouterProcess } from '#test/support/processes.js';
import { endpointFlags } from '#test/support/sims.js';
import { readStatus, untilProven } from '#test/support/status.js';

let engines: EngineSimFleet;
let router: Awaited<ReturnType<typeof startRouterProcess>>;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim', timeScale: 5 });
  router = await startRouterProcess([...endpointFlags(engines), '--policy=round-robin']);
  await untilProven(router.adminUrl);
});

after(async () => {
  await router.end();
  await engines.stop();
});

interface Answer {
  readonly status: number;
  readonly endpoint: string;
  readonly text: string;
}

async function ask(stream: boolean, onFirstChunk: () => void = () => {}): Promise<Answer> {
  const response = await fetch(`${router.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'sim',
      prompt: `${Math.random()} of a kind`,
      max_tokens: 60,
      stream,
    }),
  });
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) {
      if (text === '') onFirstChunk();
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    text += `[cut: ${error}]`;
  }
  return {
    status: response.status,
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    text,
  };
}

test('a killed engine costs no request that had no first byte', async () => {
  const victim = engines.engines[0];
  assert.ok(victim !== undefined);
  // Streams on the victim cannot end before it is killed, however slow this machine is.
  victim.setFaults({ stallStreams: { afterTokens: 3 } });
  let begun = 0;
  const streams = Array.from({ length: 12 }, () =>
    ask(true, () => {
      begun += 1;
    }),
  );
  await eventually('every stream has begun', () => begun === streams.length);
  const plain = Array.from({ length: 30 }, () => ask(false));
  await victim.kill();
  const later = Array.from({ length: 30 }, () => ask(false));

  for (const answer of await Promise.all([...plain, ...later])) {
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.text.endsWith('}'), answer.text);
  }
  const cut = (await Promise.all(streams)).filter((answer) => answer.endpoint === victim.name);
  assert.ok(cut.length > 0, 'some streams ran on the killed engine');
  for (const answer of cut) {
    assert.match(answer.text, /data: \{"error":\{[^\n]*"code":"endpoint_disconnected"/);
    assert.doesNotMatch(answer.text, /\[DONE\]/);
  }
});

test('from then on nothing is sent to it, and it is used again once it is back', async () => {
  const victim = engines.engines[0];
  assert.ok(victim !== undefined);
  await eventually('the router has ejected it', async () => {
    const { endpoints } = await readStatus(router.adminUrl);
    return endpoints.some((endpoint) => endpoint.endpoint === victim.name && !endpoint.healthy);
  });
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask(false)));
  assert.ok(answers.every((answer) => answer.status === 200 && answer.endpoint !== victim.name));
  const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
  const failedBefore = failedAttempts(metrics, victim.name);
  await Promise.all(Array.from({ length: 30 }, () => ask(false)));
  const failedAfter = failedAttempts(
    await (await fetch(`${router.adminUrl}/metrics`)).text(),
    victim.name,
  );
  assert.equal(failedAfter, failedBefore, 'no attempt was made there');

  victim.setFaults({});
  await victim.restart();
  await eventually('it is healthy and followed again', async () => {
    const { endpoints } = await readStatus(router.adminUrl);
    const seen = endpoints.find((endpoint) => endpoint.endpoint === victim.name);
    return seen?.healthy === true && seen.events?.state === 'live';
  });
  const again = await Promise.all(Array.from({ length: 12 }, () => ask(false)));
  assert.ok(again.some((answer) => answer.endpoint === victim.name));
});

test('all engines dead is a 503 with Retry-After, and recovery needs no help', async () => {
  await Promise.all(engines.engines.map((engine) => engine.kill()));
  await eventually('the router knows', async () => {
    const { endpoints } = await readStatus(router.adminUrl);
    return endpoints.every((endpoint) => !endpoint.healthy);
  });
  const response = await fetch(`${router.url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'sim', prompt: 'x' }),
  });
  assert.equal(response.status, 503);
  assert.ok(response.headers.get('retry-after') !== null);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'no_endpoints');
  assert.equal((await fetch(`${router.url}/ready`)).status, 503);
  await Promise.all(engines.engines.map((engine) => engine.restart()));
  await eventually('requests are answered again', async () => (await ask(false)).status === 200);
});

function failedAttempts(metrics: string, endpoint: string): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith('warmpath_attempts_failed_total') && line.includes(endpoint))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
