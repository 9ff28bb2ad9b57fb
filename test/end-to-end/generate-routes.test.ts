// Engines' own generate routes and other chat APIs, as a client sees them, on both cores.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import type { LoggedDecision } from '#contracts/decision.js';
import { BODY_BYTES_MAX } from '#contracts/limits.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { serveEngine, vllmAnswers } from '#test/support/fake-engine.js';
import { HttpEngine } from '#test/support/http-engine.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';
import { endpointFlags } from '#test/support/sims.js';
import { untilMatched } from '#test/support/status.js';

const TEXT = 'A prompt that is long enough. '.repeat(40);

let engines: EngineSimFleet;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim' });
});

after(() => engines.stop());

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly endpoint: string;
  readonly matched: number;
}

async function post(url: string, body: object, id = ''): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: 'Bearer client',
      ...(id === '' ? {} : { 'x-request-id': id }),
    },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    body: await response.json(),
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    matched: Number.parseInt(response.headers.get('x-warmpath-matched-tokens') ?? '0', 10),
  };
}

for (const core of ['native', 'portable'] as const) {
  const skip = core === 'native' && nativeSkip;
  const environment = { ...process.env, WARMPATH_CORE: core };

  test(`${core}: prompts of other routes go where their blocks are`, { skip }, async () => {
    const router = await startRouterProcess(endpointFlags(engines), environment);
    try {
      await untilMatched(router.adminUrl);
      const prompt = Array.from({ length: 160 }, (_, at) => 1000 + at);
      const home = await post(`${router.url}/v1/completions`, { prompt, max_tokens: 1 });
      const other = await post(`${router.url}/v1/completions`, { prompt: TEXT, max_tokens: 1 });
      const user = { role: 'user', content: 'hello' };
      const messages = [{ role: 'system', content: TEXT }, user];
      const chat = await post(`${router.url}/v1/chat/completions`, { messages, max_tokens: 1 });
      assert.deepEqual([home.status, other.status, chat.status], [200, 200, 200]);
      const cases = [
        ['/inference/v1/generate', { token_ids: prompt, sampling_params: {} }, home.endpoint, 144],
        ['/generate', { input_ids: prompt }, home.endpoint, 144],
        ['/generate', { text: TEXT }, other.endpoint, 160],
        ['/v1/messages', { system: TEXT, messages: [user], max_tokens: 1 }, chat.endpoint, 160],
        ['/v1/responses', { instructions: TEXT, input: 'hello' }, chat.endpoint, 160],
      ] as const;
      for (const [path, body, endpoint, tokens] of cases) {
        await eventually(`${path} is matched`, async () => {
          const answer = await post(`${router.url}${path}`, body);
          // The simulated engine has no such routes: its answer is what comes back.
          assert.equal(answer.status, 404);
          return answer.endpoint === endpoint && answer.matched >= tokens;
        });
      }
    } finally {
      await router.end();
    }
  });

  test(`${core}: their answers are relayed, and what is not read says so`, { skip }, async () => {
    const paths = ['/inference/v1/generate', '/generate', '/v1/messages', '/v1/responses'];
    const answers = Object.fromEntries(paths.map((path) => [path, { from: path }]));
    const engine = await serveEngine({
      answers: { ...vllmAnswers({ model: 'base' }), ...answers },
      fault: null,
      failing: [],
    });
    const router = await startRouterProcess([`--endpoint=${engine.url}`], environment);
    try {
      const bodies = [{ token_ids: [1, 2] }, { prompt: 'x' }, { messages: [] }, { input: 'x' }];
      const reasons: string[] = [];
      for (const [at, path] of paths.entries()) {
        const answer = await post(`${router.url}${path}`, bodies[at] ?? {}, `request-${at}`);
        assert.deepEqual([answer.status, answer.body], [200, { from: path }]);
        const kept = await fetch(`${router.adminUrl}/debug/decisions/request-${at}`);
        const { decision } = (await kept.json()) as LoggedDecision;
        reasons.push(decision.noMatchReason ?? '');
      }
      const unread = 'prompt-not-read';
      assert.deepEqual(reasons, ['below-one-block', unread, unread, unread]);
      const refused = await post(`${router.url}/generate`, { input_ids: [] });
      assert.equal(refused.status, 400);
      assert.equal((await fetch(`${router.url}/generate`)).status, 405);
      assert.equal((await post(`${router.url}/generate/more`, {})).status, 404);
    } finally {
      await router.end();
      await engine.stop();
    }
  });

  test(`${core}: routes of engines outside of /v1 are relayed under the same rules`, {
    skip,
  }, async () => {
    const paths = [
      ...['/pooling', '/classify', '/score', '/rerank', '/v1/rerank', '/v2/rerank', '/v1/score'],
      ...['/v2/embed', '/encode', '/tokenize', '/detokenize'],
    ];
    const answers: Readonly<Record<string, unknown>> = vllmAnswers({ model: 'base' });
    const asked: string[] = [];
    const engine = await HttpEngine.start((request, response) => {
      const { url = '', headers } = request;
      const known = answers[url];
      if (known !== undefined) {
        response.end(typeof known === 'string' ? known : JSON.stringify(known));
        return;
      }
      if (request.method !== 'POST') {
        response.writeHead(404).end();
        return;
      }
      asked.push(`POST ${url} ${headers.authorization}`);
      request.resume();
      request.on('end', () => response.end(JSON.stringify({ from: url })));
    });
    const router = await startRouterProcess([`--endpoint=${engine.url}`], environment);
    try {
      for (const [at, path] of paths.entries()) {
        const id = `pooled-${at}`;
        // A template in it would be refused in a chat too; a prompt is not looked at.
        const body = { model: 'base', prompt: TEXT, documents: ['a'] };
        const answer = await post(`${router.url}${path}`, body, id);
        assert.deepEqual([answer.status, answer.body], [200, { from: path }]);
        const kept = await fetch(`${router.adminUrl}/debug/decisions/${id}`);
        const { decision } = (await kept.json()) as LoggedDecision;
        assert.equal(decision.noMatchReason, 'not-a-prompt', path);
        const gone = await post(`${router.url}${path}`, { ...body, model: 'gone' });
        const template = await post(`${router.url}${path}`, { ...body, chat_template: 'x' });
        const large = await declared(`${router.url}${path}`, BODY_BYTES_MAX + 1);
        assert.deepEqual([gone.status, template.status, large], [404, 400, 413], path);
      }
      // The credential is the client's, as on every route.
      assert.deepEqual(
        asked,
        paths.map((path) => `POST ${path} Bearer client`),
      );
      assert.equal((await fetch(`${router.url}/tokenize`)).status, 405);
      assert.equal((await post(`${router.url}/score/more`, {})).status, 404);
    } finally {
      await router.end();
      await engine.stop();
    }
  });
}

/** Status for a body of which only the length is sent. */
function declared(url: string, length: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers: { 'content-length': length } });
    sent.on('response', (response) => {
      resolve(response.statusCode);
      response.resume();
      sent.destroy();
    });
    sent.on('error', reject);
    sent.flushHeaders();
  });
}
