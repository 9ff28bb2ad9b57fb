// The portable data plane beside nginx: the same load through each in turn, CPU per request of the
// proxy process alone, all its threads. Rounds alternate and medians count, because both share
// their cores with load and engines. nginx is skipped aloud where it is not installed.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from '#test/support/free-port.js';
import { median, printMachine } from '../support/measure.js';
import { generateLoad, type LoadResult } from './generator.js';
import { processCpuNs } from './process-cpu.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../../..');
/** Rounds per proxy and case, and how long one is. */
const ROUNDS = 3;
const SECONDS = 2;
/** Until the router's code is compiled: figures of its first seconds are several times higher. */
const WARM_UP_SECONDS = 6;

interface Proxy {
  readonly name: string;
  readonly process: ChildProcess;
  readonly port: number;
}

interface Round {
  readonly result: LoadResult;
  readonly cpuUs: number;
}

interface Case {
  readonly name: string;
  readonly body: object;
  readonly connections: number;
}

const CASES: readonly [Case, ...Case[]] = [
  {
    name: '1 KB JSON',
    body: { model: 'bench', prompt: 'y'.repeat(900), max_tokens: 1 },
    connections: 32,
  },
  {
    name: '30 KB JSON',
    body: { model: 'bench', prompt: 'y'.repeat(30_000), max_tokens: 1 },
    connections: 16,
  },
  { name: 'streams', body: { model: 'bench', prompt: 'y', stream: true }, connections: 100 },
];

const engines = await Promise.all([startEngine(), startEngine()]);
const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-bench-'));
const proxies = [await startRouter(engines.map((engine) => engine.port))];
const nginx = await startNginx(engines.map((engine) => engine.port));
if (nginx === null) console.log('nginx is not installed: skipped');
else proxies.push(nginx);
try {
  printMachine();
  for (const proxy of proxies) await load(proxy, CASES[0], WARM_UP_SECONDS);
  for (const testCase of CASES) {
    console.log(`\n${testCase.name}, ${testCase.connections} connections`);
    const rounds = new Map<string, Round[]>(proxies.map(({ name }) => [name, []]));
    for (const proxy of proxies) await load(proxy, testCase, 1);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const proxy of proxies)
        rounds.get(proxy.name)?.push(await load(proxy, testCase, SECONDS));
    }
    const [router, other] = [...rounds].map(([name, own]) => report(name, own));
    if (router !== undefined && other !== undefined) {
      console.log(`  router : nginx = ${(router / other).toFixed(1)}`);
    }
  }
} finally {
  for (const child of [...proxies, ...engines]) child.process.kill();
  rmSync(folder, { recursive: true, force: true });
}

async function load(proxy: Proxy, testCase: Case, seconds: number): Promise<Round> {
  const pid = proxy.process.pid ?? 0;
  const before = processCpuNs(pid);
  const result = await generateLoad({
    port: proxy.port,
    path: '/v1/completions',
    body: JSON.stringify(testCase.body),
    connections: testCase.connections,
    seconds,
  });
  return { result, cpuUs: (processCpuNs(pid) - before) / 1000 };
}

/** Prints one proxy's medians; returns CPU µs per answer, or per chunk where answers are streams. */
function report(name: string, rounds: readonly Round[]): number {
  const streamed = rounds.some(({ result }) => result.chunks > 0);
  const of = (value: (round: Round) => number): number => median(rounds.map(value));
  const perUnitUs = of(({ cpuUs, result }) => cpuUs / (streamed ? result.chunks : result.answers));
  const rate = of(({ result }) => result.answers / result.seconds);
  const p50Ms = of(({ result }) => result.p50Ms);
  const p99Ms = of(({ result }) => result.p99Ms);
  const failures = rounds.reduce((sum, { result }) => sum + result.failures, 0);
  console.log(
    `  ${name.padEnd(8)} ${perUnitUs.toFixed(1).padStart(7)} µs CPU per ` +
      `${streamed ? 'chunk' : 'request'}, ${rate.toFixed(0)} requests/s, ` +
      `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, ${failures} failed`,
  );
  return perUnitUs;
}

async function startEngine(): Promise<Proxy> {
  const child = spawn(process.execPath, [path.join(here, 'mock-engine.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await firstLine(child, /^\d+$/);
  return { name: 'engine', process: child, port: Number(line) };
}

async function startRouter(ports: readonly number[]): Promise<Proxy> {
  const child = spawn(
    process.execPath,
    [
      path.join(root, 'scripts/warmpath.js'),
      'serve',
      '--listen=127.0.0.1:0',
      '--admin=127.0.0.1:0',
      '--policy=load-aware',
      // Decisions are logged one line each; nginx logs nothing here either.
      '--log-level=warn',
      ...ports.map((port) => `--endpoint=http://127.0.0.1:${port}`),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const line = await firstLine(child, /ready on/);
  const port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
  return { name: 'router', process: child, port };
}

async function startNginx(ports: readonly number[]): Promise<Proxy | null> {
  if (spawnSync('nginx', ['-v']).error !== undefined) return null;
  const port = await freePort();
  const file = path.join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off; client_body_buffer_size 256k; client_max_body_size 32m;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  upstream engines { ${ports.map((engine) => `server 127.0.0.1:${engine};`).join(' ')} keepalive 256; }
  server {
    listen 127.0.0.1:${port}; keepalive_requests 100000000;
    location / {
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`,
  );
  const child = spawn('nginx', ['-c', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  await new Promise((resolve) => setTimeout(resolve, 500));
  return { name: 'nginx', process: child, port };
}

function firstLine(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new Error('the child has no stdout');
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      if (pattern.test(line)) resolve(line);
    });
    child.once('exit', (code) => reject(new Error(`ended with ${code} before it was ready`)));
  });
}
