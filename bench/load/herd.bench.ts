// A herd before the real router: 8 engine-sim processes, 1,000 prompts of 7,200 token ids that share
// few prefixes, all sent within 50 ms of the engines' time, policy by policy over the same engines. The
// whole is slowed down, engines and herd alike, so that two cores can play nine processes and a
// thousand clients; figures are in the engines' time.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { repositoryRoot } from '#test/support/paths.js';
import { printTable } from '../support/measure.js';
import { loadOptions } from './options.js';
import { type StartedChild, startChild, stopChild, until, untilOutput } from './processes.js';
import { printSetting } from './tables.js';

const ENGINES = 8;
const PROMPTS = 1000;
const PROMPT_TOKENS = 7200;
const OUTPUT_TOKENS = 16;
const WITHIN_MS = 50;
/** Real milliseconds of one of the engines' time. */
const SLOWED = 10;
const PROGRAM = path.join(repositoryRoot, 'scripts/warmpath.js');

interface Answer {
  readonly endpoint: string;
  readonly cold: boolean;
  readonly firstTokenMs: number;
}

/** By id: prompts of one prefix are one session, the hardest competitor there is. */
const SESSION_PROFILE = {
  name: 'session',
  filters: [{ type: 'session-affinity-filter', parameters: { strategy: 'session_id' } }],
  scorers: [{ type: 'active-request-scorer', weight: 1 }],
  picker: { type: 'max-score-picker' },
};
const POLICIES = {
  'load-aware': { policy: 'load-aware' },
  session: { scheduling: { profile: SESSION_PROFILE } },
  precise: { policy: 'precise' },
} as const;
const CASES = { 'one prefix': 1, 'ten prefixes': 10 } as const;

printSetting();
const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-herd-'));
const engines = await startEngineSims();
const { only, cases } = loadOptions();
/** Every herd has prefixes of its own, so that the caches of the one before do not count. */
let herds = 0;
try {
  // Until the engines' JavaScript is compiled they cost several times as much.
  await runHerd(POLICIES['load-aware'], 2);
  for (const [name, prefixes] of Object.entries(CASES)) {
    if (!name.includes(cases)) continue;
    const rows: (readonly (string | number)[])[] = [];
    for (const [policy, settings] of Object.entries(POLICIES)) {
      if (only.length > 0 && !only.some((part) => policy.includes(part))) continue;
      rows.push([policy, ...figures(await runHerd(settings, prefixes))]);
    }
    console.log(`\n${PROMPTS} prompts of ${PROMPT_TOKENS} tokens within ${WITHIN_MS} ms, ${name}`);
    printTable(['policy', 'used', 'cold', 'most / mean', 'TTFT p50 ms', 'p90', 'p99'], rows);
  }
} finally {
  await Promise.all(engines.map(({ child }) => stopChild(child)));
  rmSync(folder, { recursive: true });
}

async function startEngineSims(): Promise<readonly { child: StartedChild; url: string }[]> {
  const started = Array.from({ length: ENGINES }, () =>
    startChild('engines', [
      process.execPath,
      PROGRAM,
      'engine-sim',
      '--port=0',
      `--time-scale=${1 / SLOWED}`,
    ]),
  );
  return Promise.all(
    started.map(async (child) => {
      const line = await untilOutput(child, /^http/);
      return { child, url: line.split(' ')[0] ?? '' };
    }),
  );
}

async function runHerd(settings: object, prefixes: number): Promise<readonly Answer[]> {
  const file = path.join(folder, 'warmpath.yaml');
  // YAML takes JSON as it is.
  writeFileSync(file, JSON.stringify({ endpoints: engines.map(({ url }) => url), ...settings }));
  const router = startChild('contender', [
    process.execPath,
    PROGRAM,
    'serve',
    '--listen=127.0.0.1:0',
    '--admin=127.0.0.1:0',
    '--log-level=warn',
    `--config=${file}`,
  ]);
  try {
    const line = await untilOutput(router, /ready on/);
    const [port = '', admin = ''] = [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, own]) => own);
    await until(router, () => followsAll(`http://127.0.0.1:${admin}`));
    herds += 1;
    const bodies = Array.from({ length: prefixes }, (_, prefix) => bodyOf(herds * 10 + prefix));
    return await sendHerd(Number(port), bodies);
  } finally {
    await stopChild(router);
  }
}

/** Whether every engine is healthy and its events are followed. */
async function followsAll(adminUrl: string): Promise<boolean> {
  const { endpoints } = (await (await fetch(`${adminUrl}/status`)).json()) as {
    readonly endpoints: readonly {
      readonly healthy: boolean;
      readonly events: { readonly state: string } | null;
    }[];
  };
  const ready = endpoints.filter(({ healthy, events }) => healthy && events?.state === 'live');
  return ready.length === ENGINES;
}

async function sendHerd(port: number, bodies: readonly string[]): Promise<readonly Answer[]> {
  const agent = new Agent({ keepAlive: true });
  const startMs = performance.now();
  const answers: Promise<Answer>[] = [];
  for (let number = 0; number < PROMPTS; number += 1) {
    const dueMs = startMs + (number * WITHIN_MS * SLOWED) / PROMPTS;
    if (dueMs > performance.now()) await pause(dueMs - performance.now());
    const prefix = number % bodies.length;
    answers.push(ask(agent, port, bodies[prefix] ?? '', `session-${herds}-${prefix}`));
  }
  const all = await Promise.all(answers);
  agent.destroy();
  return all;
}

function ask(agent: Agent, port: number, body: string, session: string): Promise<Answer> {
  const sentMs = performance.now();
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    'x-session-id': session,
  };
  return new Promise((resolve, reject) => {
    const options = { port, path: '/v1/completions', method: 'POST', headers, agent };
    const sent = request(options, (response) => {
      let firstTokenMs = Number.NaN;
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (Number.isNaN(firstTokenMs)) firstTokenMs = (performance.now() - sentMs) / SLOWED;
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        const cached = /"cached_tokens": ?(\d+)/.exec(text)?.[1];
        if (response.statusCode !== 200) reject(new Error(`${response.statusCode}: ${text}`));
        const endpoint = String(response.headers['x-warmpath-endpoint']);
        resolve({ endpoint, cold: Number(cached ?? 0) < PROMPT_TOKENS / 2, firstTokenMs });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A completion of token ids: no tokenizer has a part in it. */
function bodyOf(prefix: number): string {
  const prompt = Array.from(
    { length: PROMPT_TOKENS },
    (_, at) => (prefix * 7919 + at * 31) % 50_000,
  );
  return JSON.stringify({
    model: 'Qwen/Qwen2.5-7B-Instruct',
    prompt,
    max_tokens: OUTPUT_TOKENS,
    stream: true,
    stream_options: { include_usage: true },
  });
}

function figures(answers: readonly Answer[]): readonly (string | number)[] {
  const loads = new Map<string, number>();
  for (const { endpoint } of answers) loads.set(endpoint, (loads.get(endpoint) ?? 0) + 1);
  const times = answers.map(({ firstTokenMs }) => firstTokenMs).sort((a, b) => a - b);
  const at = (share: number): number => times[Math.ceil(share * times.length) - 1] ?? Number.NaN;
  return [
    loads.size,
    answers.filter(({ cold }) => cold).length,
    (Math.max(...loads.values()) * loads.size) / answers.length,
    at(0.5),
    at(0.9),
    at(0.99),
  ];
}
