// What a routing history costs the main thread: a call when a request is sent and one when it has
// ended, at an engine of 40,000 blocks whose cache is full and turns over. Calls are timed one by one:
// the longest is what everything else waits for.

import type { RequestHandle } from '#contracts/request.js';
import type { RoutingHistory } from '#contracts/routing-history.js';
import {
  HISTORY_BLOCK,
  type HistoryWorld,
  nativeWorld,
  portableWorld,
} from '#test/support/history-world.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { printMachine, printTable } from '../support/measure.js';

const CAPACITY = 40_000;
const SLOT = 1;
const INDEX_BLOCKS = 200_000;
const ANSWER_TOKENS = 200;
/** Blocks sent in one case: the cache is filled, and code compiled, in the first half. */
const BLOCKS_SENT = 2_000_000;
/** Blocks of a prompt, and how many prompts are sent in turn. */
const CASES = [
  { name: '500 blocks, evicted since', blocks: 500, prompts: 200 },
  { name: '500 blocks, held', blocks: 500, prompts: 20 },
  { name: '8,192 blocks, evicted since', blocks: 8192, prompts: 12 },
  { name: '8,192 blocks, held', blocks: 8192, prompts: 2 },
] as const;

interface Sent {
  readonly handle: RequestHandle;
  readonly tokens: number;
}

printMachine();
console.log(`\nMain thread, elapsed µs; a request is begin, its slices, and end`);
const rows: (readonly (string | number)[])[] = [];
for (const core of nativeSkip === false ? ['native', 'portable'] : ['portable']) {
  for (const one of CASES) {
    const world = await (core === 'native' ? nativeWorld : portableWorld)(INDEX_BLOCKS);
    rows.push([core, one.name, ...(await run(world, one))]);
    await world.stop();
  }
}
printTable(['core', 'prompt', 'a request', 'a call p50', 'p99', 'longest'], rows);

async function run(
  world: HistoryWorld,
  { blocks, prompts }: (typeof CASES)[number],
): Promise<readonly number[]> {
  const { history } = world;
  history.open(SLOT, {
    capacityBlocks: CAPACITY,
    blockSize: HISTORY_BLOCK,
    alignmentBlocks: 1,
  });
  const sent: Sent[] = [];
  for (let prompt = 0; prompt < prompts; prompt += 1) {
    const tokens = blocks * HISTORY_BLOCK + 1;
    const ids = Array.from({ length: tokens }, (_, at) => prompt * 1_000_000 + at);
    sent.push({ handle: await world.request(ids), tokens });
  }
  const requests = Math.ceil(BLOCKS_SENT / blocks / 2);
  for (let turn = 0; turn < requests; turn += 1) send(history, sent[turn % prompts]);
  const calls: number[] = [];
  for (let turn = 0; turn < requests; turn += 1) calls.push(...send(history, sent[turn % prompts]));
  const sum = calls.reduce((total, call) => total + call, 0);
  calls.sort((a, b) => a - b);
  const at = (share: number): number => calls[Math.floor(share * (calls.length - 1))] ?? 0;
  return [sum / requests, at(0.5), at(0.99), at(1)];
}

/** µs of each call of one request. */
function send(history: RoutingHistory, sent: Sent | undefined): readonly number[] {
  if (sent === undefined) return [];
  const { handle, tokens } = sent;
  const calls: number[] = [];
  const timed = (call: () => string): string => {
    const before = performance.now();
    const work = call();
    calls.push((performance.now() - before) * 1000);
    return work;
  };
  let work = timed(() => history.begin(handle, SLOT, tokens));
  while (work === 'more') work = timed(() => history.advance());
  timed(() => history.end(handle, { computed: tokens + ANSWER_TOKENS, cached: -1 }));
  return calls;
}
