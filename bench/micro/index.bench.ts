// The block index, operated by each core, beside the obvious alternative, a Map of Maps, in one run:
// a million residencies on 64 endpoints (`--conversations 13000` for ten), conversations of 450
// blocks (7,200 tokens), bytes held and CPU per operation; then what the publishers' engine-key maps
// add to it. Ratios are what to read: the machine varies.

import { parseArgs } from 'node:util';
import type { RequestKeys } from '#contracts/block.js';
import type { BlockIndexWriter, MatchResult } from '#contracts/block-index.js';
import { seededRandom } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { chainKeys } from '#core/portable/keys.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';
import { BENCH_CORES, type BenchCore } from '../support/cores.js';
import { ENGINE_BLOCK, storedEvent } from '../support/engine-stream.js';
import {
  heldBytes,
  type Measured,
  measure,
  printMachine,
  printTable,
  type Task,
} from '../support/measure.js';

const ENDPOINTS = 64;
const BLOCKS = 450;
const CONVERSATIONS: number = conversationsAsked();
/** Every conversation is on one endpoint, each second one on another too, one in 320 on all. */
const RESIDENT_EVERYWHERE = 320;
const GPU = 0;
/** The endpoint that conversations are added to and removed from while measuring. */
const SPARE = 63;

type MapIndex = Map<bigint, Map<number, number>>;

printMachine();
const conversations = Array.from({ length: CONVERSATIONS }, (_, at) => conversationKeys(at));
/** Prompts nobody holds yet, taken in turn: a Map that adds and deletes the same few keys slows down. */
const FRESH = 512;
const fresh = Array.from({ length: FRESH }, (_, at) => conversationKeys(CONVERSATIONS + at));
const NO_KEYS = new Uint32Array(0);
const bigintsOf = (keys: RequestKeys): readonly bigint[] =>
  Array.from(
    { length: BLOCKS },
    (_, i) => (BigInt(keys[2 * i + 1] ?? 0) << 32n) | BigInt(keys[2 * i] ?? 0),
  );

// Ours: sized for exactly what it holds, so at its designed load.
const memory = createBlockIndex({
  blockCapacity: CONVERSATIONS * BLOCKS,
  endpointCapacity: ENDPOINTS,
});
const writer = openIndexWriter(memory, 0);
const ids = Array.from({ length: ENDPOINTS }, (_, slot) => writer.openEndpoint(slot));
let residencies = 0;
let rejected = 0;
for (const [at, keys] of conversations.entries()) {
  for (const slot of holders(at)) residencies += addAll(writer, keys, ids[slot] ?? -1);
}
const { blocks, bytes } = openIndexOwner(memory).stats();

/** Beyond that the Maps do not fit into the heap. */
const withMaps = CONVERSATIONS <= 4000;
const beforeMaps = heldBytes();
const maps: MapIndex = new Map();
for (const [at, keys] of withMaps ? conversations.entries() : []) {
  const own = bigintsOf(keys);
  for (const slot of holders(at)) addToMaps(own, slot);
}
const mapBytes = heldBytes() - beforeMaps;

console.log(
  `${residencies} residencies of ${blocks} distinct blocks on ${ENDPOINTS} endpoints, GPU tier; ` +
    `${rejected} more found no room in a table at its designed load`,
);
console.log('\nBytes held');
const perDistinct = residencies / blocks;
printTable(
  ['', 'per (block, endpoint)', 'per distinct block'],
  [
    ['block index', bytes / residencies, bytes / blocks],
    ...(withMaps
      ? [['Map<bigint, Map<number, tier>>', mapBytes / residencies, mapBytes / blocks]]
      : []),
    ...BENCH_CORES.flatMap((core) => {
      const own = engineMapBytes(core);
      return [
        [`engine-key map of a publisher, ${core.name}`, own, own * perDistinct],
        [
          `block index and engine-key maps, ${core.name}`,
          bytes / residencies + own,
          bytes / blocks + own * perDistinct,
        ],
      ];
    }),
  ],
);
if (withMaps) console.log(`  maps : index = ${(mapBytes / bytes).toFixed(1)}`);

console.log(`\nCPU µs for ${BLOCKS} blocks (CPU ns per block)`);
// Each operation on all sides, one right after the other: the machine changes within seconds.
const sides = [
  ...BENCH_CORES.map((core) => ({ name: core.name, tasks: tasksOf(indexSide(core)) })),
  ...(withMaps ? [{ name: 'Map of Maps', tasks: tasksOf(mapSide()) }] : []),
];
printTable(
  ['operation', ...sides.map(({ name }) => name), 'last : first'],
  (sides[0]?.tasks ?? []).map(({ name: operation }, at) => {
    const tasks = sides.flatMap(({ name, tasks: own }) => {
      const task = own[at];
      return task === undefined ? [] : [{ ...task, name }];
    });
    const results = measure(tasks, 500);
    const [first, last] = [results[0]?.runUs ?? Number.NaN, results.at(-1)?.runUs ?? Number.NaN];
    return [operation, ...results.map(cell), (last / first).toFixed(1)];
  }),
);

function conversationsAsked(): number {
  const { values } = parseArgs({
    options: { conversations: { type: 'string', default: '1280' } },
    strict: false,
  });
  const count = Number(values.conversations);
  if (Number.isInteger(count) && count >= 320 && count <= 50_000) return count;
  throw new Error('--conversations: 320 to 50000');
}

function cell({ runUs, unitNs }: Measured): string {
  return `${runUs.toFixed(0)} (${unitNs.toFixed(0)})`;
}

function holders(conversation: number): readonly number[] {
  if (conversation % RESIDENT_EVERYWHERE === 0) return [...ids.keys()];
  const first = conversation % ENDPOINTS;
  return conversation % 2 === 0 ? [first] : [first, (first + 7) % ENDPOINTS];
}

function conversationKeys(at: number): RequestKeys {
  const keys = new Uint32Array(2 * BLOCKS);
  chainKeys({ low: 1, high: 2 }, tokensOf(at), ENGINE_BLOCK, keys);
  return keys;
}

function tokensOf(conversation: number): Uint32Array {
  const random = seededRandom(conversation);
  return Uint32Array.from({ length: BLOCKS * ENGINE_BLOCK }, () =>
    Math.floor(random.next() * 150_000),
  );
}

function addAll(by: BlockIndexWriter, keys: RequestKeys, virtualId: number): number {
  let added = 0;
  for (let i = 0; i < 2 * BLOCKS; i += 2) {
    const status = by.add(virtualId, GPU, 0, keys[i] as number, keys[i + 1] as number);
    if (status === 'done') added += 1;
    else if (status === 'full') rejected += 1;
    else throw new Error(`add: ${status}`);
  }
  return added;
}

function removeAll(by: BlockIndexWriter, keys: RequestKeys, virtualId: number): void {
  for (let i = 0; i < 2 * BLOCKS; i += 2) {
    const status = by.remove(virtualId, GPU, 0, keys[i] as number, keys[i + 1] as number);
    if (status === 'stuck') throw new Error('remove: stuck');
  }
}

function addToMaps(keys: readonly bigint[], slot: number): void {
  for (const key of keys) {
    const known = maps.get(key);
    if (known === undefined) maps.set(key, new Map([[slot, GPU]]));
    else known.set(slot, GPU);
  }
}

function removeFromMaps(keys: readonly bigint[], slot: number): void {
  for (const key of keys) {
    const known = maps.get(key);
    known?.delete(slot);
    if (known?.size === 0) maps.delete(key);
  }
}

/** The usual walk: endpoints of the first block, fewer with every block that follows. */
function matchMaps(keys: readonly bigint[], usable: Uint32Array): void {
  usable.fill(0);
  let active = [...(maps.get(keys[0] ?? 0n)?.keys() ?? [])];
  for (const key of keys) {
    const known = maps.get(key);
    if (known === undefined) return;
    active = active.filter((slot) => known.has(slot));
    if (active.length === 0) return;
    for (const slot of active) usable[slot] = (usable[slot] ?? 0) + 1;
  }
}

/** The tasks of both sides, so that they do the same; `Keys` is how a side wants its keys. */
interface Side<Keys> {
  readonly conversations: readonly Keys[];
  readonly fresh: readonly Keys[];
  readonly none: Keys;
  readonly add: (keys: Keys) => void;
  readonly remove: (keys: Keys) => void;
  /** Blocks matched on `slot`. */
  readonly match: (keys: Keys, slot: number) => number;
}

function tasksOf<Keys>(side: Side<Keys>): readonly Task[] {
  let turn = 0;
  const next = (list: readonly Keys[]): Keys => list[turn % list.length] ?? side.none;
  const known = side.conversations.filter((_, at) => !holders(at).includes(SPARE));
  const match = (name: string, pick: () => number): Task => ({
    name,
    units: BLOCKS,
    run: () => {
      turn += 1;
      const at = pick();
      const matched = side.match(side.conversations[at] ?? side.none, holders(at)[0] ?? 0);
      if (matched !== BLOCKS && rejected === 0) throw new Error(`matched ${matched} at ${at}`);
    },
  });
  const write = (name: string, task: Omit<Task, 'name' | 'units'>): Task => ({
    name,
    units: BLOCKS,
    ...task,
  });
  return [
    write('add, new blocks', {
      before: () => {
        turn += 1;
      },
      run: () => side.add(next(side.fresh)),
      after: () => side.remove(next(side.fresh)),
    }),
    write('add, blocks known elsewhere', {
      before: () => {
        turn += 1;
      },
      run: () => side.add(next(known)),
      after: () => side.remove(next(known)),
    }),
    write('remove', {
      before: () => {
        turn += 1;
        side.add(next(side.fresh));
      },
      run: () => side.remove(next(side.fresh)),
    }),
    match('match, the same prompt, 2 endpoints', () => 1),
    match('match, changing prompts, 1-2 endpoints', () => changing(turn)),
    match('match, on all 64 endpoints', () => 0),
  ];
}

function indexSide(core: BenchCore): Side<RequestKeys> {
  const reader = core.openIndexReader(memory);
  const ownWriter = core.openIndexWriter(memory, 1 + BENCH_CORES.indexOf(core));
  const result: MatchResult = {
    usableBlocks: new Uint32Array(ENDPOINTS),
    tierBlocks: new Uint32Array(4 * ENDPOINTS),
    rawBlocks: new Uint32Array(ENDPOINTS),
  };
  const id = ids[SPARE] ?? -1;
  return {
    conversations,
    fresh,
    none: NO_KEYS,
    add: (keys) => addAll(ownWriter, keys, id),
    remove: (keys) => removeAll(ownWriter, keys, id),
    match: (keys, slot) => {
      reader.match(keys, BLOCKS, BLOCKS, result);
      return result.usableBlocks[slot] ?? 0;
    },
  };
}

/** Keys are given as bigints, as the hash function returns them. */
function mapSide(): Side<readonly bigint[]> {
  const usable = new Uint32Array(ENDPOINTS);
  return {
    conversations: conversations.map(bigintsOf),
    fresh: fresh.map(bigintsOf),
    none: [],
    add: (keys) => addToMaps(keys, SPARE),
    remove: (keys) => removeFromMaps(keys, SPARE),
    match: (keys, slot) => {
      matchMaps(keys, usable);
      return usable[slot] ?? 0;
    },
  };
}

/** Prompts in an order that caches cannot know, none of those on every endpoint. */
function changing(turn: number): number {
  const at = (turn * 611) % CONVERSATIONS;
  return at % RESIDENT_EVERYWHERE === 0 ? at + 1 : at;
}

/** Bytes per engine block of what the applier keeps about publishers, the index left out. */
function engineMapBytes(core: BenchCore): number {
  const publishers = 4;
  const each = 100;
  const ownMemory = createBlockIndex({
    blockCapacity: publishers * each * BLOCKS,
    endpointCapacity: ENDPOINTS,
  });
  const { applier, bytesHeld } = core.openApplier(ownMemory, 0);
  const before = heldBytes();
  let engineBlocks = 0;
  for (let slot = 0; slot < publishers; slot += 1) {
    applier.open(slot, { pool: 'bench', blockSize: ENGINE_BLOCK });
    for (let at = 0; at < each; at += 1) {
      const conversation = slot * each + at;
      const hashes = bigintsOf(conversations[conversation] ?? NO_KEYS);
      const events = [storedEvent(hashes, null, [...tokensOf(conversation)])];
      const { blocksStored } = applier.apply(
        slot,
        encodeEventBatch({ timestamp: 0, events, dataParallelRank: 0 }),
      );
      engineBlocks += blocksStored;
    }
  }
  const grown = bytesHeld() ?? heldBytes() - before;
  // Keeps the applier alive until here.
  applier.sweep(1);
  return grown / engineBlocks;
}
