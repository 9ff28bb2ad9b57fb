// The simulated engine's HTTP side over real sockets: answers shaped like a recorded vLLM server,
// true cached_tokens, errors, abort, tokenising.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { EngineServer } from '#simulation/engine-server.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { post, startFastSims } from '#test/support/engine-sims.js';
import { goldenFile, sharedFile } from '#test/support/paths.js';

interface Exchange {
  readonly name: string;
  readonly path: string;
  readonly request: Record<string, unknown>;
  readonly status: number;
  readonly body: string;
}

let fleet: EngineSimFleet;
let engine: EngineServer;
let url = '';

before(async () => {
  fleet = await startFastSims({
    modelId: 'qwen-tiny',
    blockSize: 32,
    gpuBlocks: 600,
    maxModelLen: 8192,
    loras: ['sql'],
  });
  const [first] = fleet.engines;
  assert.ok(first !== undefined);
  engine = first;
  url = engine.url;
});
after(() => fleet.stop());

const CHAT = {
  messages: [
    { role: 'system', content: 'You are a terse assistant. '.repeat(40) },
    { role: 'user', content: 'Hello!' },
  ],
  max_tokens: 5,
};

const captureFile = sharedFile('golden/vllm-0.32.0-server-capture.json');
const noCapture = captureFile === null && 'the shared recordings are not beside this checkout';
const SHAPED = [
  'chat',
  'chat_again',
  'chat_tools',
  'chat_stream_usage',
  'chat_stream_plain',
  'completion_text',
  'completion_ids_batch',
  'completion_ids_stream',
  'tokenize_prompt',
  'tokenize_chat',
  'tokenize_chat_tools',
  'detokenize',
];

test('answers have the fields of recorded ones, in their order', { skip: noCapture }, async () => {
  for (const { name, path, request, status, body } of recorded(SHAPED)) {
    const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(request) });
    assert.equal(response.status, status, name);
    const actual = await response.text();
    assert.deepEqual(messages(actual).map(shape), messages(body).map(shape), name);
  }
});

const SAME = [
  'tokenize_prompt',
  'tokenize_chat',
  'tokenize_chat_tools',
  'detokenize',
  'chat_dp_rank_bad',
  'err_toolong',
  'notfound',
];

test('token ids and errors equal the recorded ones', { skip: noCapture }, async () => {
  for (const { name, path, request, status, body } of recorded(SAME)) {
    const init = name === 'notfound' ? {} : { method: 'POST', body: JSON.stringify(request) };
    const headers = { 'x-data-parallel-rank': name === 'chat_dp_rank_bad' ? '7' : '0' };
    const response = await fetch(url + path, { ...init, headers });
    assert.equal(response.status, status, name);
    assert.deepEqual(JSON.parse(await response.text()), JSON.parse(body), name);
  }
});

test('/tokenize equals the reference encodings', async () => {
  const golden = JSON.parse(readFileSync(goldenFile('tokenizer-qwen2.5-encodings.json'), 'utf8'));
  for (const { text, ids_with_special: expected } of golden.cases.slice(0, 80)) {
    const { body } = await post(`${url}/tokenize`, { prompt: text });
    assert.deepEqual(body['tokens'], expected, JSON.stringify(text));
  }
});

test('cached_tokens is 0, then all full blocks before the last token', async () => {
  const cached = async (): Promise<unknown[]> => {
    const { body } = await post(`${url}/v1/chat/completions`, { ...CHAT, cache_salt: 'repeat' });
    const usage = body['usage'] as { prompt_tokens: number; prompt_tokens_details: object };
    return [usage.prompt_tokens, Object.values(usage.prompt_tokens_details)[0]];
  };
  const [tokens, first] = await cached();
  assert.equal(first, 0);
  const expected = Math.floor((Number(tokens) - 1) / 32) * 32;
  assert.ok(expected >= 192);
  assert.deepEqual(await cached(), [tokens, expected]);
});

test('generated text continues the chain: the next turn reuses the answer', async () => {
  const messages = [{ role: 'user', content: 'Tell me about rivers.' }];
  const first = await post(`${url}/v1/chat/completions`, { messages, max_tokens: 100 });
  const [choice] = first.body['choices'] as [{ message: { role: string; content: string } }];
  const { role, content } = choice.message;
  const next = [...messages, { role, content }, { role: 'user', content: 'And lakes?' }];
  const second = await post(`${url}/v1/chat/completions`, { messages: next, max_tokens: 1 });
  const usage = second.body['usage'] as { prompt_tokens_details: { cached_tokens: number } };
  assert.ok(usage.prompt_tokens_details.cached_tokens >= 96);
});

test('unknown models and bad bodies are refused as JSON, also for streams', async () => {
  const unknown = await post(`${url}/v1/chat/completions`, { ...CHAT, model: 'no', stream: true });
  assert.equal(unknown.status, 404);
  assert.equal((unknown.body['error'] as { type: string }).type, 'NotFoundError');
  const bad: readonly (readonly [string, unknown])[] = [
    ['/v1/chat/completions', {}],
    ['/v1/chat/completions', { messages: 'x' }],
    ['/v1/chat/completions', { ...CHAT, max_tokens: 0 }],
    ['/v1/chat/completions', { ...CHAT, max_tokens: 'many' }],
    ['/v1/chat/completions', { ...CHAT, cache_salt: '' }],
    ['/v1/chat/completions', [1]],
    ['/v1/completions', {}],
    ['/v1/completions', { prompt: [] }],
    ['/v1/completions', { prompt: [1, -1] }],
    ['/v1/completions', { prompt: [[1], 'a'], max_tokens: 9000 }],
    ['/tokenize', {}],
    ['/admin/faults', { dropEvent: {} }],
    ['/admin/faults', { delayEvents: {} }],
  ];
  for (const [path, body] of bad) {
    const { status } = await post(url + path, body);
    assert.equal(status, 400, `${path} ${JSON.stringify(body)}`);
  }
  assert.equal(engine.stats().requests, 0);
});

test('adapters are models with a parent and caches of their own', async () => {
  const models = (await (await fetch(`${url}/v1/models`)).json()) as {
    data: { id: string; parent: string | null }[];
  };
  assert.deepEqual(
    models.data.map(({ id, parent }) => [id, parent]),
    [
      ['qwen-tiny', null],
      ['sql', 'qwen-tiny'],
    ],
  );
  const body = { ...CHAT, cache_salt: 'adapter' };
  await post(`${url}/v1/chat/completions`, body);
  const { body: answer } = await post(`${url}/v1/chat/completions`, { ...body, model: 'sql' });
  assert.equal(answer['model'], 'sql');
  assert.match(JSON.stringify(answer['usage']), /"cached_tokens":0/);
  const tokenized = await post(`${url}/tokenize`, CHAT);
  const tokenIds = tokenized.body['tokens'] as number[];
  assert.ok(engine.lookup(tokenIds, { model: 'sql', cacheSalt: 'adapter' }) >= 192);
  assert.equal(engine.lookup(tokenIds, { model: 'sql' }), 0);
});

test('a client that goes away frees its blocks', async () => {
  const [slow] = (await startFastSims({ timeScale: 1 })).engines;
  assert.ok(slow !== undefined);
  const controller = new AbortController();
  const response = await fetch(`${slow.url}/v1/completions`, {
    method: 'POST',
    signal: controller.signal,
    body: JSON.stringify({ prompt: 'Once upon a time', max_tokens: 5000, stream: true }),
  });
  await response.body?.getReader().read();
  assert.equal(slow.stats().requests, 1);
  controller.abort();
  while (slow.stats().requests > 0) await new Promise((resolve) => setImmediate(resolve));
  const { running, cacheUsage } = slow.stats();
  assert.deepEqual({ running, cacheUsage }, { running: 0, cacheUsage: 0 });
  const metrics = await (await fetch(`${slow.url}/metrics`)).text();
  assert.match(metrics, /vllm:num_requests_running\{engine="0",model_name="[^"]+"\} 0\.0/);
  assert.match(metrics, /finished_reason="abort",[^}]*\} 1\.0/);
  await slow.kill();
});

test('/v1 routes demand the key, probes do not', async () => {
  const locked = await startFastSims({ apiKey: 'secret' });
  const [server] = locked.engines;
  assert.ok(server !== undefined);
  assert.equal((await fetch(`${server.url}/v1/models`)).status, 401);
  assert.equal((await fetch(`${server.url}/health`)).status, 200);
  const headers = { authorization: 'Bearer secret' };
  assert.equal((await fetch(`${server.url}/v1/models`, { headers })).status, 200);
  await locked.stop();
});

function recorded(names: readonly string[]): readonly Exchange[] {
  const capture = JSON.parse(readFileSync(captureFile ?? '', 'utf8')) as { http: Exchange[] };
  const found = capture.http.filter(({ name }) => names.includes(name));
  assert.equal(found.length, names.length);
  return found;
}

/** The JSON of an answer, or of each event of a stream; `[DONE]` as it is. */
function messages(body: string): unknown[] {
  if (!body.startsWith('data: ')) return [JSON.parse(body)];
  const events = body.split('\n\n');
  assert.equal(events.pop(), '');
  return events.map((event) => {
    assert.ok(event.startsWith('data: '));
    return event === 'data: [DONE]' ? '[DONE]' : JSON.parse(event.slice(6));
  });
}

/** Keys in order, down to the first element of every array. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value !== 'object' || value === null) return value === '[DONE]' ? value : 'value';
  return Object.entries(value).map(([key, part]) => [key, shape(part)]);
}
