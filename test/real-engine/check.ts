// Puts the router before two real vLLM servers and holds its predictions against what they report.
// On demand, on the core WARMPATH_CORE asks for: see README.md here. Exit code 1 when anything is not
// exact.

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ModelDescriptor } from '#contracts/core.js';
import { seededRandom } from '#contracts/random.js';
import { parseRequest } from '#core/portable/prompt/parse.js';
import { loadTokenizer } from '#core/portable/prompt/tokenize.js';
import { coreOrExplain } from '#main/core-choice.js';
import { type WorkloadRequest, workload } from '#test/support/conversations.js';
import { freePort } from '#test/support/free-port.js';
import { nativeEncoder } from '#test/support/native-encoder.js';
import { inAllApis } from '#test/support/other-apis.js';
import { repositoryRoot } from '#test/support/paths.js';
import {
  type CheckedEngine,
  checkPredictions,
  type PredictionSample,
} from '#test/support/prediction.js';
import { type RunningProcess, startProcess, startRouterProcess } from '#test/support/processes.js';
import { readStatus, untilMatched } from '#test/support/status.js';

const REQUESTS = 240;
const MODEL = 'qwen-tiny';
const BLOCK_SIZE = 32;
const SEED = 20261121;
const CHATS_COMPARED = 100;

interface RealEngine extends CheckedEngine {
  readonly process: RunningProcess;
  /** What the router is told about it. */
  readonly flag: string;
}

const folder = process.argv[2];
const chosen = await coreOrExplain();
if (folder === undefined || chosen === null) {
  console.error('usage: node dist/test/real-engine/check.js FOLDER (made by install.sh)');
  process.exit(2);
}

const core = chosen.core.name;
console.log(`core ${core}`);

const engines = [await startEngine(folder, 'binds'), await startEngine(folder, 'dials')];
console.log(`two vLLM servers: ${engines.map((engine) => engine.url).join(', ')}`);
const flags = engines.map((engine) => `--endpoint=${engine.flag}`);
flags.push(`--tokenizer=${MODEL}=${path.join(folder, 'model')}`);
let failed = false;
// Before the router: a socket that an engine dials can be listened at by one process only.
console.log(`doctor:\n${await runDoctor(flags)}`);
const router = await startRouterProcess(flags);
try {
  await untilMatched(router.adminUrl);
  const running = (await readStatus(router.adminUrl)).core.name;
  if (running !== core) throw new Error(`the router runs the ${running} core`);
  const sameIds = await compareTokenIds(folder, engines[0]?.url ?? '');
  const quiet = await run(router.url, router.adminUrl, 1, SEED);
  const loaded = await run(router.url, router.adminUrl, 6, SEED + 1);
  failed = report(sameIds, quiet, loaded) || failed;
} finally {
  await router.end();
  await Promise.all(engines.map((engine) => engine.process.end('SIGINT')));
}
process.exit(failed ? 1 : 0);

async function run(
  routerUrl: string,
  adminUrl: string,
  concurrency: number,
  seed: number,
): Promise<readonly PredictionSample[]> {
  return checkPredictions({
    routerUrl,
    adminUrl,
    engines,
    requests: REQUESTS,
    workload: inAllApis(requestsOf(seed), seededRandom(seed)),
    concurrency,
  });
}

function requestsOf(seed: number): Generator<WorkloadRequest> {
  return workload({
    model: MODEL,
    random: seededRandom(seed),
    conversations: 24,
    systemWords: 120,
    turnWords: 40,
    blockSize: BLOCK_SIZE,
    maxTokens: 8,
    turnsMax: 8,
  });
}

/** Tokenises chats of the workload here and by the engine; how many ids lists were equal. */
async function compareTokenIds(
  home: string,
  url: string,
): Promise<{ chats: number; equal: number }> {
  const ours = await openTokenizer(path.join(home, 'model'));
  let chats = 0;
  let equal = 0;
  try {
    for (const { path: route, body, turn } of requestsOf(SEED + 2)) {
      if (chats === CHATS_COMPARED) break;
      turn('An answer: naïve café, 你好, 1234567.');
      if (route !== '/v1/chat/completions') continue;
      chats += 1;
      const text = JSON.stringify(body);
      const response = await fetch(`${url}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: text,
      });
      const { tokens } = (await response.json()) as { tokens: number[] };
      if (String([...(await ours.ids(text))]) === String(tokens)) equal += 1;
    }
  } finally {
    await ours.close();
  }
  return { chats, equal };
}

interface ChatTokenizer {
  ids(body: string): Promise<Uint32Array>;
  close(): Promise<void>;
}

/** Token ids of chats by the core under test. */
async function openTokenizer(directory: string): Promise<ChatTokenizer> {
  if (core === 'native') {
    const { encoder } = nativeEncoder(1);
    await encoder.start();
    await encoder.setModels([descriptorOf(directory)]);
    return {
      ids: (body) => encoder.tokenize(0, 'chat-completions', body),
      close: () => encoder.stop(),
    };
  }
  const sources = { today: () => new Date(), random: seededRandom(SEED) };
  const tokenizer = await loadTokenizer(directory, sources);
  return {
    ids: async (body) => {
      const parsed = parseRequest(Buffer.from(body), 'chat-completions');
      if (!parsed.ok || parsed.request.prompt.kind !== 'chat') return new Uint32Array();
      return tokenizer.encode(tokenizer.renderer?.renderChat(parsed.request.prompt) ?? '', false);
    },
    close: async () => {},
  };
}

function descriptorOf(directory: string): ModelDescriptor {
  return {
    index: 0,
    id: MODEL,
    pool: MODEL,
    adapter: '',
    tokenizer: { kind: 'configured', directory },
    proven: true,
    matched: true,
    implied: false,
    blockSize: BLOCK_SIZE,
    maxModelLen: null,
  };
}

/** Prints and keeps the figures; true when the quiet run was not exact. */
function report(
  sameIds: { chats: number; equal: number },
  quiet: readonly PredictionSample[],
  loaded: readonly PredictionSample[],
): boolean {
  const summary = {
    engine: 'vLLM 0.32.0 (CPU), two servers',
    core,
    tokenIds: sameIds,
    quiet: summarise(quiet),
    underLoad: summarise(loaded),
    samples: quiet,
  };
  const results = path.join(repositoryRoot, 'test/real-engine/results');
  mkdirSync(results, { recursive: true });
  const file = path.join(results, `vllm-0.32.0-cpu-${core}.json`);
  writeFileSync(file, `${JSON.stringify(summary, null, 1)}\n`);
  console.log(
    JSON.stringify(
      { core, tokenIds: sameIds, quiet: summary.quiet, underLoad: summary.underLoad },
      null,
      2,
    ),
  );
  const { exact, requests, sameTokenCount, withHits } = summary.quiet;
  if (sameIds.equal < sameIds.chats) return true;
  return exact < requests || sameTokenCount < requests || withHits * 2 < requests;
}

function summarise(samples: readonly PredictionSample[]): {
  readonly requests: number;
  readonly exact: number;
  readonly over: number;
  readonly under: number;
  readonly withHits: number;
  readonly sameTokenCount: number;
  readonly byKind: Record<string, number>;
  readonly byEndpoint: Record<string, number>;
} {
  const count = (test: (sample: PredictionSample) => boolean): number =>
    samples.filter(test).length;
  const tally = (key: (sample: PredictionSample) => string): Record<string, number> => {
    const totals: Record<string, number> = {};
    for (const sample of samples) totals[key(sample)] = (totals[key(sample)] ?? 0) + 1;
    return totals;
  };
  return {
    requests: samples.length,
    exact: count((sample) => sample.predicted === sample.reported),
    over: count((sample) => sample.predicted > sample.reported),
    under: count((sample) => sample.predicted < sample.reported),
    withHits: count((sample) => sample.reported > 0),
    sameTokenCount: count((sample) => sample.promptTokens === sample.reportedPromptTokens),
    byKind: tally((sample) => sample.kind),
    byEndpoint: tally((sample) => sample.endpoint),
  };
}

async function startEngine(home: string, mode: 'binds' | 'dials'): Promise<RealEngine> {
  const [http = 0, events = 0, replay = 0] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
  ]);
  const name = `127.0.0.1:${http}`;
  const kvEvents = {
    enable_kv_cache_events: true,
    // An address without a wildcard makes the engine dial, so the router listens there.
    endpoint: mode === 'binds' ? `tcp://*:${events}` : `tcp://127.0.0.1:${events}`,
    replay_endpoint: `tcp://127.0.0.1:${replay}`,
    topic: `kv@${name}@${MODEL}`,
  };
  const engine = startProcess(
    path.join(home, 'venv/bin/vllm'),
    [
      ...['serve', path.join(home, 'model'), '--load-format', 'dummy', '--host', '127.0.0.1'],
      ...['--port', String(http), '--enforce-eager', '--dtype', 'bfloat16'],
      ...['--block-size', String(BLOCK_SIZE), '--max-model-len', '8192', '--max-num-seqs', '8'],
      ...['--enable-prompt-tokens-details', '--enable-request-id-headers'],
      ...['--num-gpu-blocks-override', '600', '--served-model-name', MODEL],
      ...['--enable-auto-tool-choice', '--tool-call-parser', 'hermes'],
      ...['--kv-events-config', JSON.stringify(kvEvents)],
    ],
    {
      ...process.env,
      PATH: `${path.join(home, 'venv/bin')}:${process.env['PATH'] ?? ''}`,
      VLLM_CPU_KVCACHE_SPACE: '1',
      HF_HUB_OFFLINE: '1',
      TRANSFORMERS_OFFLINE: '1',
      VLLM_NO_USAGE_STATS: '1',
      DO_NOT_TRACK: '1',
      VLLM_CPU_OMP_THREADS_BIND: 'nobind',
      OMP_NUM_THREADS: '1',
      VLLM_HOST_IP: '127.0.0.1',
    },
  );
  await engine.waitForLine(/Application startup complete/);
  const url = `http://${name}`;
  return { name, url, replayAddress: `tcp://127.0.0.1:${replay}`, process: engine, flag: url };
}

async function runDoctor(args: readonly string[]): Promise<string> {
  const doctor = startProcess(process.execPath, [
    path.join(repositoryRoot, 'scripts/warmpath.js'),
    'doctor',
    ...args,
  ]);
  const code = await doctor.exited;
  if (code !== 0) failed = true;
  return `${doctor.lines.join('\n')}\n(exit code ${code})`;
}
