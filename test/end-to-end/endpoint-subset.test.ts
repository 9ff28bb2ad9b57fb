// A gateway in front that names who may answer, through a router process on both cores: only those
// serve, also when one of them does not answer; nobody else is asked, and no engine sees the header.

import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { after, before, test } from 'node:test';
import type { LoggedDecision } from '#contracts/decision.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { vllmAnswers } from '#test/support/fake-engine.js';
import { HttpEngine } from '#test/support/http-engine.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';

const HEADER = 'x-gateway-destination-endpoint-subset';
const MODEL = 'base';

/** An engine that notes the headers of what it is asked to generate. */
interface Engine {
  readonly http: HttpEngine;
  readonly name: string;
  readonly asked: IncomingHttpHeaders[];
  /** Answers 503, as an engine does that is full. */
  busy: boolean;
}

const files = new ConfigurationFiles();
let engines: readonly Engine[];

async function startEngine(): Promise<Engine> {
  const answers = vllmAnswers({ model: MODEL });
  const asked: IncomingHttpHeaders[] = [];
  const http = await HttpEngine.start((request, response) => {
    const known = answers[request.url ?? ''];
    if (request.method === 'GET') {
      response.statusCode = known === undefined ? 404 : 200;
      response.end(typeof known === 'string' ? known : JSON.stringify(known ?? {}));
      return;
    }
    asked.push(request.headers);
    response.statusCode = engine.busy ? 503 : 200;
    response.end(JSON.stringify({ model: MODEL, choices: [{ text: 'Yes.' }] }));
  });
  const engine: Engine = { http, name: new URL(http.url).host, asked, busy: false };
  return engine;
}

before(async () => {
  engines = await Promise.all([startEngine(), startEngine(), startEngine()]);
});

after(async () => {
  await Promise.all(engines.map(({ http }) => http.stop()));
  files.remove();
});

type Router = Awaited<ReturnType<typeof startRouterProcess>>;

function startRouter(core: string, endpointSubset: boolean): Promise<Router> {
  const urls = engines.map(({ http }) => `  - ${http.url}\n`).join('');
  // The policy decides, however late that is on a busy machine.
  const text = `endpoints:\n${urls}headers: {endpointSubset: ${endpointSubset}}\ntimeouts: {decide: 1m}\n`;
  const file = files.write(`${core}-${endpointSubset}.yaml`, text);
  const environment = { ...process.env, WARMPATH_CORE: core };
  return startRouterProcess([`--config=${file}`, '--policy=round-robin'], environment);
}

interface Answer {
  readonly status: number;
  readonly endpoint: string;
  readonly droppedReason: string | null;
  readonly error: { readonly code?: string; readonly message?: string };
}

async function ask(router: Router, subset: string | null): Promise<Answer> {
  const response = await fetch(`${router.url}/v1/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-of-the-client': 'kept',
      ...(subset === null ? {} : { [HEADER]: subset }),
    },
    body: JSON.stringify({ model: MODEL, prompt: 'Anybody there?' }),
  });
  const body = (await response.json()) as { readonly error?: Answer['error'] };
  return {
    status: response.status,
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    droppedReason: response.headers.get('x-llm-d-request-dropped-reason'),
    error: body.error ?? {},
  };
}

/** Who answers twelve requests. */
async function servedBy(router: Router, subset: string | null): Promise<ReadonlySet<string>> {
  const served = new Set<string>();
  for (let turn = 0; turn < 12; turn += 1) {
    const { status, endpoint } = await ask(router, subset);
    assert.equal(status, 200);
    served.add(endpoint);
  }
  return served;
}

/** What the engines were asked since the last time. */
function asked(): readonly (readonly IncomingHttpHeaders[])[] {
  return engines.map((engine) => engine.asked.splice(0));
}

for (const core of ['native', 'portable'] as const) {
  test(`${core}: a gateway's subset`, {
    skip: core === 'native' && nativeSkip,
  }, async (context) => {
    const trusting = await startRouter(core, true);
    const other = await startRouter(core, false);
    try {
      await context.test('two of three serve', () => twoOfThree(trusting));
      await context.test('who does not answer', () => unanswered(trusting));
      await context.test('nobody who is there', () => nobody(trusting));
      await context.test('not trusted', () => notTrusted(other));
    } finally {
      await trusting.end();
      await other.end();
    }
  });
}

async function twoOfThree(router: Router): Promise<void> {
  const [first, second, third] = engines.map(({ name }) => name);
  assert.deepEqual(await servedBy(router, `${first}, ${third}`), new Set([first, third]));
  const [byFirst = [], bySecond = [], byThird = []] = asked();
  assert.deepEqual([byFirst.length, bySecond.length, byThird.length], [6, 0, 6]);
  for (const headers of [...byFirst, ...byThird]) {
    assert.equal(headers['x-of-the-client'], 'kept');
    assert.equal(headers[HEADER], undefined);
  }
  const response = await fetch(`${router.adminUrl}/debug/decisions?last=1`);
  const body = (await response.json()) as { readonly decisions: readonly LoggedDecision[] };
  const candidates = body.decisions[0]?.decision.candidates ?? [];
  const excluded = candidates.filter(({ excludedBy }) => excludedBy !== null);
  assert.deepEqual(
    excluded.map(({ endpoint, excludedBy }) => [endpoint, excludedBy]),
    [[second, 'endpoint-subset']],
  );
  assert.deepEqual(await servedBy(router, null), new Set([first, second, third]));
  asked();
}

/** Another of those named is tried, and never one that is not. */
async function unanswered(router: Router): Promise<void> {
  const [first, second, third] = engines;
  assert.ok(first && second && third);
  first.busy = true;
  assert.deepEqual(await servedBy(router, `${first.name},${second.name}`), new Set([second.name]));
  assert.equal((await ask(router, first.name)).status, 503);
  first.busy = false;
  const [byFirst = [], bySecond = [], byThird = []] = asked();
  assert.ok(byFirst.length > 1, `${byFirst.length} were tried there`);
  assert.deepEqual([bySecond.length, byThird.length], [12, 0]);
  assert.ok([...byFirst, ...bySecond].every((headers) => headers[HEADER] === undefined));
}

async function nobody(router: Router): Promise<void> {
  for (const subset of ['10.9.9.9:8000', '', 'no address']) {
    const { status, error, droppedReason } = await ask(router, subset);
    assert.deepEqual([status, error.code], [503, 'no_endpoints']);
    assert.equal(
      error.message,
      `no endpoint of those named in ${HEADER} serving \`base\` is healthy`,
    );
    assert.equal(droppedReason, 'rejected-no-endpoints');
  }
  assert.deepEqual(asked(), [[], [], []]);
}

/** By default it has no effect, and is not passed on either. */
async function notTrusted(router: Router): Promise<void> {
  const names = engines.map(({ name }) => name);
  assert.deepEqual(await servedBy(router, names[0] ?? ''), new Set(names));
  assert.deepEqual(await servedBy(router, '10.9.9.9:8000'), new Set(names));
  const headers = asked().flat();
  assert.equal(headers.length, 24);
  assert.ok(headers.every((sent) => sent[HEADER] === undefined));
}
