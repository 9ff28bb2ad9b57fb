// The official client works unchanged: chat, stream, tools, abort, error bodies, models.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { startRouterProcess } from '#test/support/processes.js';
import { endpointFlags } from '#test/support/sims.js';
import { readStatus, untilMatched } from '#test/support/status.js';

let engines: EngineSimFleet;
let router: Awaited<ReturnType<typeof startRouterProcess>>;
let client: OpenAI;

before(async () => {
  engines = await startFastSims({
    timeScale: 50,
    replicas: 2,
    modelId: 'sim',
    loras: ['sim-adapter'],
  });
  router = await startRouterProcess(endpointFlags(engines));
  await untilMatched(router.adminUrl);
  client = new OpenAI({ baseURL: `${router.url}/v1`, apiKey: 'unused', maxRetries: 0 });
});

after(async () => {
  await router.end();
  await engines.stop();
});

const messages = [{ role: 'user' as const, content: 'Say something about caches.' }];

test('chat', async () => {
  const answer = await client.chat.completions.create({ model: 'sim', messages, max_tokens: 5 });
  assert.equal(answer.choices[0]?.message.role, 'assistant');
  assert.equal(answer.usage?.completion_tokens, 5);
});

test('stream with usage', async () => {
  const stream = await client.chat.completions.create({
    model: 'sim',
    messages,
    max_tokens: 7,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let completionTokens = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  }
  assert.ok(text.length > 0);
  assert.equal(completionTokens, 7);
});

test('tools are accepted', async () => {
  const answer = await client.chat.completions.create({
    model: 'sim',
    messages,
    max_tokens: 3,
    tools: [
      { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } },
    ],
  });
  assert.equal(answer.choices.length, 1);
});

test('an adapter is listed with its parent and answers', async () => {
  const ids = new Map<string, unknown>();
  for await (const model of client.models.list()) {
    ids.set(model.id, (model as unknown as { parent: unknown }).parent);
  }
  assert.deepEqual([...ids].sort(), [
    ['sim', null],
    ['sim-adapter', 'sim'],
  ]);
  const answer = await client.chat.completions.create({
    model: 'sim-adapter',
    messages,
    max_tokens: 2,
  });
  assert.equal(answer.model, 'sim-adapter');
});

test('abort frees the engine and the counters', async () => {
  const stream = await client.chat.completions.create({
    model: 'sim',
    messages,
    max_tokens: 20_000,
    stream: true,
  });
  for await (const _ of stream) break;
  stream.controller.abort();
  await eventually('nothing runs any more', async () => {
    const { endpoints, requests } = await readStatus(router.adminUrl);
    return (
      requests.inFlight === 0 &&
      endpoints.every((endpoint) => endpoint.inFlight.requests === 0) &&
      engines.engines.every((engine) => engine.stats().running === 0)
    );
  });
});

test('errors are the classes the client expects, with a stable code', async () => {
  await assert.rejects(client.chat.completions.create({ model: 'nope', messages }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    return true;
  });
  await assert.rejects(
    client.chat.completions.create({ model: 'sim', messages: 'x' as unknown as typeof messages }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'messages',
  );
  const long = 'word '.repeat(40_000);
  await assert.rejects(
    client.completions.create({ model: 'sim', prompt: long }),
    (error) => error instanceof OpenAI.BadRequestError && error.code === 'context_length_exceeded',
  );
});
