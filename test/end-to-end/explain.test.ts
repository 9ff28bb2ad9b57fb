// Explanations on a running router: where a request would go, told before and after its prefix is
// held, without a trace; why a finished one went where it went; and its replay from the record.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { buildPolicy } from '#config/build-policy.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { Decision, LoggedDecision } from '#contracts/decision.js';
import { BODY_BYTES_MAX } from '#contracts/limits.js';
import { policyCycle, scheduleByPolicy } from '#request/policy-cycle.js';
import type { RankedEndpoint } from '#request/ranking.js';
import { contextOf } from '#request/replay.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { freePort } from '#test/support/free-port.js';
import { repositoryRoot } from '#test/support/paths.js';
import { startRouterProcess } from '#test/support/processes.js';
import { pluginHost } from '#test/support/scheduling.js';
import { endpointFlags } from '#test/support/sims.js';
import { readStatus, untilMatched, untilProven } from '#test/support/status.js';

interface ScoreAnswer {
  readonly decision?: Decision;
  readonly result?: null;
  readonly ranking?: readonly RankedEndpoint[];
  readonly error?: {
    readonly code: string;
    readonly param: string | null;
    readonly message: string;
  };
}
type Router = Awaited<ReturnType<typeof startRouterProcess>>;

const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-explain-'));
let engines: EngineSimFleet;
let precise: Router;
let sessions: Router;

/** Round robin without prefixes; a session stays where it was. */
const SESSIONS = `
scheduling:
  profileHandler: {type: header-profile-handler, parameters: {defaultProfile: remembered}}
  profiles:
    - name: remembered
      filters:
        - type: session-affinity-filter
          parameters: {strategy: session_id}
      picker: {type: round-robin-picker}
    - name: capped
      filters:
        - type: utilization-filter
          parameters: {conditions: [{metric: active-requests, maxValue: 0}]}
        - type: by-label
          parameters: {label: nobody, validValues: [has-this]}
      picker: {type: max-score-picker}
`;

before(async () => {
  engines = await startFastSims({ replicas: 3, modelId: 'sim' });
  precise = await startRouterProcess(endpointFlags(engines));
  const file = path.join(folder, 'sessions.yaml');
  const urls = engines.engines.map((engine) => `  - ${engine.url}\n`).join('');
  writeFileSync(file, `endpoints:\n${urls}${SESSIONS}`);
  sessions = await startRouterProcess([`--config=${file}`]);
  await untilMatched(precise.adminUrl);
  await untilProven(sessions.adminUrl);
});

after(async () => {
  await precise.end();
  await sessions.end();
  await engines.stop();
  rmSync(folder, { recursive: true });
});

function chat(text: string): Record<string, unknown> {
  const content = `${text} `.repeat(60);
  return { model: 'sim', max_tokens: 1, messages: [{ role: 'user', content }] };
}

async function score(
  router: Router,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  query = '',
): Promise<{ readonly status: number; readonly body: ScoreAnswer }> {
  const response = await fetch(`${router.adminUrl}/debug/score${query}`, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as ScoreAnswer };
}

async function send(
  router: Router,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(`${router.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  await response.arrayBuffer();
  return response.headers.get('x-warmpath-endpoint') ?? '';
}

/** Waits until the router knows who holds the whole prompt: the template alone is shared by all. */
async function untilHeld(router: Router, body: unknown): Promise<void> {
  await eventually('the engine has told of its blocks', async () => {
    const { ranking, decision } = (await score(router, body)).body;
    return (ranking?.[0]?.cachedTokens ?? 0) > (decision?.promptTokens ?? 0) / 2;
  });
}

async function logged(router: Router, requestId: string): Promise<LoggedDecision> {
  const response = await fetch(`${router.adminUrl}/debug/decisions/${requestId}`);
  return (await response.json()) as LoggedDecision;
}

/** A request's figures are counted when its end is known, just after its client has the answer. */
function untilEnded(router: Router, requestId: string): Promise<void> {
  return eventually('the end of the request is known', async () => {
    return (await logged(router, requestId)).result !== null;
  });
}

/** Everything that a request moves. */
async function counted(router: Router): Promise<unknown> {
  const text = await (await fetch(`${router.adminUrl}/metrics`)).text();
  const decisions = await (await fetch(`${router.adminUrl}/debug/decisions`)).json();
  const { endpoints, requests } = await readStatus(router.adminUrl);
  const moving =
    /^warmpath_(requests|decisions|errors|prompt_tokens|unmatched|policy|decision_stage|predict)/;
  const lines = text.split('\n').filter((line) => moving.test(line));
  assert.ok(lines.some((line) => /^warmpath_requests_total\{/.test(line)));
  return { lines, decisions, requests, inFlight: endpoints.map(({ inFlight }) => inFlight) };
}

/** Runs a command of the program with `input` at its standard input. */
function command(
  args: readonly string[],
  input = '',
): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
  return new Promise((resolve) => {
    const program = path.join(repositoryRoot, 'scripts/warmpath.js');
    const child = execFile(process.execPath, [program, ...args], (failure, out, error) => {
      const code = failure === null ? 0 : Number(failure.code);
      resolve({ code, out, error });
    });
    child.stdin?.end(input);
  });
}

test('a score follows the fleet: nobody holds the prompt, then the engine that answered it', async () => {
  const body = chat('a prefix that will be held');
  const cold = await score(precise, body);
  assert.equal(cold.status, 200);
  assert.equal(cold.body.decision?.noMatchReason, 'no-match');
  assert.deepEqual(
    cold.body.ranking?.map(({ cachedTokens }) => cachedTokens),
    [0, 0, 0],
  );
  const home = await send(precise, body, { 'x-request-id': 'held' });
  await untilHeld(precise, body);
  const warm = (await score(precise, body, { 'x-request-id': 'asked' })).body;
  assert.deepEqual(
    [warm.decision?.requestId, warm.decision?.chosen, warm.ranking?.[0]?.endpoint, warm.result],
    ['asked', home, home, null],
  );
  const { decision } = await logged(precise, 'held');
  // The same prompt as the one that was sent, in the same shape.
  assert.equal(warm.decision?.promptTokens, decision.promptTokens);
  assert.deepEqual(Object.keys(warm.decision ?? {}), Object.keys(decision));
  assert.equal(warm.decision?.candidates.length, 3);
  const sent = await send(precise, body, { 'x-request-id': 'again' });
  assert.equal(sent, home);
  const again = (await logged(precise, 'again')).decision;
  assert.equal(again.predictedCachedTokens, warm.ranking?.[0]?.cachedTokens);
});

test('a completion is told from a chat by its fields, or by the query', async () => {
  const body = { model: 'sim', prompt: 'a completion '.repeat(20) };
  for (const query of ['', '?route=completions']) {
    const { status, body: answer } = await score(precise, body, {}, query);
    assert.equal(status, 200);
    assert.ok((answer.decision?.totalBlocks ?? 0) > 0);
  }
  const wrong = await score(precise, body, {}, '?route=chat-completions');
  assert.deepEqual([wrong.status, wrong.body.error?.param], [400, 'messages']);
  const unknown = await score(precise, body, {}, '?route=embedding');
  assert.deepEqual([unknown.status, unknown.body.error?.param], [400, 'route']);
});

test('what live traffic routes without reading it is scored the same way', async () => {
  const input = { model: 'sim', input: 'an answer or a vector', previous_response_id: 'resp_1' };
  const message = { model: 'sim', max_tokens: 1, messages: [{ role: 'tool', content: 'hello' }] };
  for (const [body, query, reason, live] of [
    [input, '', 'prompt-not-read', '/v1/responses'],
    [input, '?route=responses', 'prompt-not-read', '/v1/responses'],
    [input, '?route=embeddings', 'not-a-prompt', '/v1/embeddings'],
    [message, '?route=messages', 'prompt-not-read', '/v1/messages'],
    [{ model: 'sim', documents: ['a'] }, '?route=passthrough', 'not-a-prompt', '/v1/rerank'],
  ] as const) {
    const { status, body: scored } = await score(precise, body, {}, query);
    assert.equal(status, 200, query);
    const { decision } = scored;
    assert.deepEqual([decision?.noMatchReason, decision?.pool], [reason, 'sim'], query);
    const id = `live${query.replace(/\W/g, '-')}-${reason}`;
    // Chat engines may not have the route: the decision is what counts.
    const sent = {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
    };
    const response = await fetch(precise.url + live, { ...sent, body: JSON.stringify(body) });
    await response.arrayBuffer();
    assert.equal((await logged(precise, id)).decision.noMatchReason, reason, live);
  }
  const gone = await score(precise, { ...input, model: 'gone' });
  assert.deepEqual([gone.status, gone.body.error?.code], [404, 'model_not_found']);
});

test('a score leaves nothing behind: no load, no blocks expected, no figures, no decision', async () => {
  const body = chat('nobody will ever send this');
  await send(precise, chat('something that is counted'), { 'x-request-id': 'counted' });
  await untilEnded(precise, 'counted');
  const earlier = await counted(precise);
  const answers = await Promise.all(Array.from({ length: 20 }, () => score(precise, body)));
  for (const { status, body: answer } of answers) {
    assert.equal(status, 200);
    for (const candidate of answer.decision?.candidates ?? []) {
      const { inFlightRequests, speculativeBlocks, usableBlocks } = candidate;
      // Nothing beyond the template that other prompts share, and nothing expected.
      assert.deepEqual([inFlightRequests, speculativeBlocks], [0, usableBlocks]);
      assert.ok(usableBlocks <= 1);
    }
  }
  assert.deepEqual(await counted(precise), earlier);
});

test('a record has the session that its policy never looks at, and no secret', async () => {
  const secrets = { authorization: 'Bearer secret', 'x-session-token': 'c2VjcmV0' };
  const telling = { 'x-session-id': 'seven', 'session-id': 'eight', 'epp-profile': 'nine' };
  const id = { 'x-request-id': 'telling' };
  await send(precise, chat('telling'), { ...secrets, ...telling, ...id });
  assert.deepEqual((await logged(precise, 'telling')).decision.headers, telling);
  await send(precise, chat('silent'), { ...secrets, 'x-request-id': 'silent' });
  assert.deepEqual((await logged(precise, 'silent')).decision.headers, {});
});

test('sessions and turns are those of requests that are sent', async () => {
  const body = chat('sessions');
  const first = await send(sessions, body);
  const asked = await Promise.all(
    ['one', 'one', 'two'].map((session) => score(sessions, body, { 'x-session-id': session })),
  );
  const next = asked[0]?.body.decision?.chosen;
  assert.ok(next !== undefined && next !== null && next !== first);
  // Nobody took the turn by asking, and the session is not bound.
  for (const { body: answer } of asked) assert.equal(answer.decision?.chosen, next);
  assert.equal(await send(sessions, body, { 'x-session-id': 'two' }), next);
  const bound = await score(sessions, body, { 'x-session-id': 'two' });
  assert.equal(bound.body.decision?.chosen, next);
  assert.deepEqual(bound.body.decision?.headers, { 'x-session-id': 'two' });
  const excluded = bound.body.ranking?.filter(({ excludedBy }) => excludedBy !== null);
  assert.deepEqual(
    excluded?.map(({ excludedBy }) => excludedBy),
    ['session-affinity-filter', 'session-affinity-filter'],
  );
  const unbound = await score(sessions, body, { 'x-session-id': 'one' });
  assert.notEqual(unbound.body.decision?.chosen, next);
});

test('what a request would be refused for is told as it would be', async () => {
  const body = chat('refused');
  const of = async (
    router: Router,
    sent: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> => {
    const { status, body: answer } = await score(router, sent, headers);
    return [status, answer.error?.code, answer.error?.param];
  };
  assert.deepEqual(await of(precise, { ...body, model: 'gone' }), [
    404,
    'model_not_found',
    'model',
  ]);
  assert.deepEqual(await of(precise, { model: 'sim' }), [400, 'invalid_body', 'messages']);
  assert.deepEqual(await of(precise, '{"model":'), [400, 'invalid_json', null]);
  assert.deepEqual(await of(precise, ''), [400, 'invalid_json', null]);
  const gzip = { 'content-encoding': 'gzip' };
  assert.deepEqual(await of(precise, body, gzip), [415, 'unsupported_encoding', null]);
  const huge = 'x'.repeat(BODY_BYTES_MAX + 1);
  assert.deepEqual(await of(precise, huge), [413, 'body_too_large', null]);
  const profile = { 'epp-profile': 'nonsense' };
  assert.deepEqual(await of(sessions, body, profile), [400, 'profile_not_found', null]);
  // Where the policy left nobody, the ranking says who was left out by what.
  const capped = await score(sessions, body, { 'epp-profile': 'capped' });
  assert.deepEqual([capped.status, capped.body.error?.code], [429, 'overloaded']);
  assert.deepEqual(
    [capped.body.decision?.chosen, ...(capped.body.ranking ?? []).map((one) => one.excludedBy)],
    [null, 'by-label', 'by-label', 'by-label'],
  );
  assert.equal((await fetch(`${precise.adminUrl}/debug/score`)).status, 405);
  const { requests } = await readStatus(precise.adminUrl);
  assert.deepEqual([requests.slots, requests.bodyBytes], [0, 0]);
});

test('without an endpoint a score is 503', async () => {
  const router = await startRouterProcess([`--endpoint=http://127.0.0.1:${await freePort()}`]);
  try {
    const { status, body } = await score(router, chat('nobody'));
    assert.deepEqual([status, body.error?.code], [503, 'no_endpoints']);
  } finally {
    await router.end();
  }
});

test('the command score prints the ranking and why', async () => {
  const body = chat('on the command line');
  const home = await send(precise, body);
  await untilHeld(precise, body);
  const file = path.join(folder, 'request.json');
  writeFileSync(file, JSON.stringify(body));
  const admin = `--admin=${precise.adminUrl}`;
  const table = await command(['score', '-f', file, admin]);
  assert.equal(table.code, 0, table.error);
  assert.match(table.out, /endpoint +total +prefix-cache-scorer +.*blocks +in flight/);
  assert.match(table.out, new RegExp(`^1  ${home} `, 'm'));
  assert.match(
    table.out,
    new RegExp(`^${home} leads .* most of it by \`prefix-cache-scorer\``, 'm'),
  );
  const json = await command(['score', '-f', '-', admin, '--json'], JSON.stringify(body));
  assert.equal((JSON.parse(json.out) as ScoreAnswer).decision?.chosen, home);
  const profile = ['--header', 'epp-profile: capped', '--header', 'x-session-id: 7'];
  const capped = await command(['score', '-f', file, `--admin=${sessions.adminUrl}`, ...profile]);
  assert.equal(capped.code, 1);
  assert.match(capped.out, /Nobody was chosen: left out were 3 by-label\./);
  assert.match(capped.error, /score: .*\(overloaded\)/);
  const wrong = await command(['score', '-f', file, admin, '--header', 'no colon']);
  assert.deepEqual([wrong.code, wrong.out], [2, '']);
  const missing = await command(['score', '-f', path.join(folder, 'none.json'), admin]);
  assert.deepEqual([missing.code, missing.out], [2, '']);
  const nobody = await command(['score', '-f', file, `--admin=127.0.0.1:${await freePort()}`]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.error, /no answer from http:\/\/127\.0\.0\.1:\d+\/debug\/score/);
});

test('the command explain tells of a finished request', async () => {
  const body = chat('to be explained');
  const home = await send(precise, body, { 'x-request-id': 'explained' });
  await untilEnded(precise, 'explained');
  const admin = `--admin=${precise.adminUrl}`;
  const told = await command(['explain', 'explained', admin]);
  assert.equal(told.code, 0, told.error);
  assert.match(told.out, /^explained: model sim, profile precise, \d+ prompt tokens/);
  // Its own load is not part of what was decided from.
  assert.match(told.out, new RegExp(`^1  ${home} +\\S+ .* 0$`, 'm'));
  assert.match(told.out, new RegExp(`^ended +200 completed by ${home}, 1 attempt$`, 'm'));
  assert.match(told.out, /^cached +predicted (\d+) of (\d+) .* reported \1 of \2, as predicted$/m);
  assert.match(told.out, /^router +\d+ µs in all: parse .* pick \d+ µs$/m);
  const json = await command(['explain', 'explained', admin, '--json']);
  assert.equal((JSON.parse(json.out) as LoggedDecision).decision.chosen, home);
  const gone = await command(['explain', 'never-sent', admin]);
  assert.deepEqual([gone.code, gone.out], [1, '']);
  assert.match(gone.error, /No decision of the request never-sent is kept: the last 1000 are/);
});

test('a decision is replayed from what /debug/decisions tells of it', async () => {
  const body = chat('to be replayed');
  await send(precise, body);
  await untilHeld(precise, body);
  await send(precise, body, { 'x-request-id': 'replayed', authorization: 'Bearer secret' });
  const { decision } = await logged(precise, 'replayed');
  assert.doesNotMatch(JSON.stringify(decision), /secret|to be replayed/);
  const { context, serving } = contextOf(decision);
  const capacity = context.fleet.bySlot.length;
  const settings = singleProfilePolicy(POLICY_PROFILES.precise);
  const policy = policyCycle(buildPolicy(settings, pluginHost(capacity)), capacity);
  assert.equal(
    scheduleByPolicy(policy, context, serving, () => 0),
    'picked',
  );
  const { board, picked } = policy.current;
  const chosen = context.fleet.bySlot[picked[0] ?? -1]?.endpoint.name;
  assert.equal(chosen, decision.chosen);
  for (const { slot, total } of decision.candidates) assert.equal(board.totals[slot], total);
});
