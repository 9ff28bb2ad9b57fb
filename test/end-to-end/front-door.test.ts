// The front door as a whole: several models in one fleet, engines behind an API key, what passes
// through, what is refused and how, and a drain with a live stream.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { repositoryRoot } from '#test/support/paths.js';
import { startProcess, startRouterProcess } from '#test/support/processes.js';
import { readStatus, untilMatched } from '#test/support/status.js';

const API_KEY = 'secret-of-the-engines';
const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-front-door-'));
let small: EngineSimFleet;
let large: EngineSimFleet;
let router: Awaited<ReturnType<typeof startRouterProcess>>;

before(async () => {
  small = await startFastSims({ replicas: 2, modelId: 'small' });
  large = await startFastSims({
    modelId: 'large',
    apiKey: API_KEY,
    blockSize: 32,
    dataParallelRanks: 2,
    encoding: 'array',
    timeScale: 5,
  });
  writeFileSync(path.join(folder, 'key'), `${API_KEY}\n`);
  const urls = small.engines.map((engine) => `  - ${engine.url}\n`).join('');
  writeFileSync(
    path.join(folder, 'warmpath.yaml'),
    `endpoints:\n${urls}  - url: ${large.engines[0]?.url}\n    apiKeyFile: key\n`,
  );
  router = await startRouterProcess([`--config=${path.join(folder, 'warmpath.yaml')}`]);
  await untilMatched(router.adminUrl);
});

after(async () => {
  await router.end();
  await Promise.all([small.stop(), large.stop()]);
  rmSync(folder, { recursive: true });
});

interface ErrorBody {
  readonly error: { readonly code: string; readonly param: string | null; readonly source: string };
}

function post(
  route: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${router.url}${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
}

async function refused(
  response: Response,
  status: number,
  code: string,
): Promise<ErrorBody['error']> {
  const { error } = (await response.json()) as ErrorBody;
  assert.deepEqual([response.status, error.code], [status, code]);
  assert.equal(response.headers.get('x-warmpath-error-source'), error.source);
  assert.ok(response.headers.get('x-request-id') !== null);
  return error;
}

test('each model goes to its own engines, ranks included', async () => {
  const [engine] = large.engines;
  const ranks = [`${engine?.name}|0`, `${engine?.name}|1`];
  // Equal ranks are drawn at random, so requests one after the other may all meet the same one. A
  // stream in flight makes the draw: whatever it got, the next request goes to the other rank. It
  // cannot end before that, however slow this machine is.
  engine?.setFaults({ stallStreams: { afterTokens: 3 } });
  const held = await post(
    '/v1/completions',
    JSON.stringify({ model: 'large', prompt: 'held', max_tokens: 2000, stream: true }),
  );
  assert.equal(held.status, 200);
  const body = JSON.stringify({ model: 'large', prompt: 'next', max_tokens: 1 });
  const next = await post('/v1/completions', body);
  assert.equal(next.status, 200, await next.text());
  const names = [held, next].map((answer) => answer.headers.get('x-warmpath-endpoint') ?? '');
  await held.body?.cancel();
  engine?.setFaults({});
  assert.deepEqual(names.sort(), ranks);
  const other = await post('/v1/completions', '{"model":"small","prompt":"x","max_tokens":1}');
  const chosen = other.headers.get('x-warmpath-endpoint');
  assert.ok(small.engines.some(({ name }) => name === chosen));
});

test('prompts come as text, list of texts, ids and list of ids', async () => {
  for (const [prompt, tokens] of [
    ['one two', 2],
    [['one two'], 2],
    [[1, 2, 3], 3],
    [[[1, 2, 3]], 3],
    [['one', 'two'], 2],
  ] as const) {
    const response = await post(
      '/v1/completions',
      JSON.stringify({ model: 'small', prompt, max_tokens: 1 }),
    );
    const answer = (await response.json()) as { usage: { prompt_tokens: number } };
    assert.equal(response.status, 200, JSON.stringify(answer));
    assert.equal(answer.usage.prompt_tokens, tokens, JSON.stringify(prompt));
  }
});

test('other /v1 routes pass through to an engine of the model', async () => {
  const body = JSON.stringify({ model: 'large', input: 'x' });
  const response = await post('/v1/embeddings', body, { 'x-request-id': 'passes-through' });
  // The simulated engine has no such route: its own 404 comes back, not the router's.
  assert.equal(response.status, 404);
  assert.deepEqual(await response.json(), { detail: 'Not Found' });
  assert.equal(response.headers.get('x-request-id'), 'passes-through');
});

test('models are merged; health, ready, status and metrics answer', async () => {
  const models = (await (await fetch(`${router.url}/v1/models`)).json()) as {
    data: { id: string }[];
  };
  assert.deepEqual(models.data.map(({ id }) => id).sort(), ['large', 'small']);
  for (const route of ['/health', '/ready', '/status', '/metrics']) {
    assert.equal((await fetch(`${router.url}${route}`)).status, 200, route);
  }
  const { endpoints } = await readStatus(router.adminUrl);
  assert.equal(endpoints.length, 4);
});

test('what is wrong with a request is said, and nothing leaks', async () => {
  await refused(await post('/v1/chat/completions', '{"model":'), 400, 'invalid_json');
  await refused(await post('/v1/chat/completions', '[1]'), 400, 'invalid_body');
  const missing = await refused(
    await post('/v1/chat/completions', '{"model":"small"}'),
    400,
    'invalid_body',
  );
  assert.equal(missing.param, 'messages');
  await refused(
    await post('/v1/completions', '{"model":"gone","prompt":"x"}'),
    404,
    'model_not_found',
  );
  await refused(
    await post('/v1/completions', '{"model":"small","model":"large","prompt":"x"}'),
    400,
    'duplicate_field',
  );
  const template =
    '{"model":"small","messages":[{"role":"user","content":"x"}],"chat_template":"{{1}}"}';
  await refused(await post('/v1/chat/completions', template), 400, 'template_not_allowed');
  await refused(
    await post('/v1/completions', `${'['.repeat(1000)}${']'.repeat(1000)}`),
    400,
    'body_too_deep',
  );
  await refused(await fetch(`${router.url}/debug/decisions`), 404, 'route_not_found');
  await refused(await fetch(`${router.url}/v1/chat/completions`), 405, 'method_not_allowed');
  const long = JSON.stringify({ model: 'small', prompt: 'word '.repeat(40_000) });
  await refused(await post('/v1/completions', long), 400, 'context_length_exceeded');
  await eventually('nothing is left of them', async () => {
    const { requests } = await readStatus(router.adminUrl);
    return requests.inFlight === 0 && requests.slots === 0;
  });
  assert.ok(router.lines.every((line) => !line.includes(API_KEY)));
});

test('fields that change the prompt behind our back are cut, the rest stays as it was', async () => {
  const body =
    '{"model":"small", "kv_transfer_params" : {"prompt_token_ids":[1,2,3]},' +
    '"messages":[{"role":"user","content":"short"}],"max_tokens":1}';
  const response = await post('/v1/chat/completions', body);
  const answer = (await response.json()) as { usage: { prompt_tokens: number } };
  assert.equal(response.status, 200);
  assert.ok(answer.usage.prompt_tokens > 10, 'the engine saw the messages, not the ids');
});

test('a port in use ends the start with a clear line and exit code 1', async () => {
  const second = startProcess(process.execPath, [
    path.join(repositoryRoot, 'scripts/warmpath.js'),
    ...['serve', `--listen=${new URL(router.url).host}`, '--admin=127.0.0.1:0'],
    `--endpoint=${small.engines[0]?.url}`,
  ]);
  assert.equal(await second.exited, 1);
  const complaint = /could not start: 127\.0\.0\.1:\d+ is in use; choose another with --listen/;
  assert.ok(
    second.lines.some((line) => complaint.test(line)),
    second.lines.join('\n'),
  );
  const errors = second.lines.filter((line) => line.includes('"level":"error"'));
  assert.deepEqual(errors, [], 'ending its own workers is no error');
});

test('SIGTERM lets a running stream finish and refuses new requests', async () => {
  const body = JSON.stringify({ model: 'large', prompt: 'x', max_tokens: 150, stream: true });
  const response = await post('/v1/completions', body);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader?.read())?.value ?? '';
  const ended = router.end();
  await router.waitForLine(/is draining/);
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
    if (done) break;
    text += value;
  }
  assert.match(text, /data: \[DONE\]\n\n$/);
  assert.equal(await ended, 0);
});
