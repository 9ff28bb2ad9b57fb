// Speculative residencies: blocks an endpoint will hold once it has worked off a prompt that was
// just sent to it. Main alone writes them, when it routes; prompt workers read them beside the
// block index, without a lock: a torn read costs at most one wrong guess. They end by themselves
// after SPECULATIVE_TTL_MS, when events have confirmed them or never will. Rows and entries are
// indexed below the constants of shared-layout.ts.

import { assert } from '#contracts/assert.js';
import type { RequestKeys } from '#contracts/block.js';
import type { Clock } from '#contracts/clock.js';
import { SPECULATIVE_ENTRIES, SPECULATIVE_TTL_MS } from '#contracts/limits.js';
import {
  REQUEST_MEMORY,
  requestMemoryLayout,
  SPECULATIVE,
  SPECULATIVE_ROW,
} from '#contracts/shared-layout.js';

const ROWS = SPECULATIVE_ENTRIES / SPECULATIVE_ROW;
/** Expiry of an entry that was never used, or is withdrawn. */
const FREE = 0;
/** Blocks recorded of one prompt: under 1 ms of the main thread, and few others are evicted. */
const BLOCKS_MAX = SPECULATIVE_ENTRIES / 64;

/** Time all threads of the process agree on: expiries cross threads. */
export type SharedTime = Pick<Clock, 'nowMs'>;

/** Records and withdraws expectations; main's side. */
export interface SpeculativeWriter {
  /** Expects the first `blockCount` blocks of `keys` at endpoint `slot` for SPECULATIVE_TTL_MS. */
  readonly add: (slot: number, keys: RequestKeys, blockCount: number) => void;
  /** No longer expects them: the endpoint failed. */
  readonly withdraw: (slot: number, keys: RequestKeys, blockCount: number) => void;
}

/** Reads expectations; a prompt worker's side. */
export interface SpeculativeReader {
  /**
   * Sets `blocks[slot]` to the leading blocks, up to `blockLimit`, that the endpoint holds
   * (`usable`) or is expected to hold from there on.
   */
  readonly match: (
    keys: RequestKeys,
    blockLimit: number,
    usable: Uint32Array,
    blocks: Uint32Array,
  ) => void;
}

/** Opens the table inside the `requests` buffer for writing; one per buffer. */
export function openSpeculativeWriter(
  requests: SharedArrayBuffer,
  time: SharedTime,
): SpeculativeWriter {
  const table = openTable(requests);
  return {
    add: (slot, keys, blockCount) => {
      const now = time.nowMs() | 0;
      const expiry = expiryFrom(now);
      const count = Math.min(blockCount, BLOCKS_MAX);
      for (let block = 0; block < count; block++) {
        const low = keys[2 * block] as number;
        const high = keys[2 * block + 1] as number;
        store(table, low | 0, high | 0, slot + 1, now, expiry);
      }
      Atomics.store(table.words, REQUEST_MEMORY.speculativeUntil, expiry);
    },
    withdraw: (slot, keys, blockCount) => {
      const count = Math.min(blockCount, BLOCKS_MAX);
      for (let block = 0; block < count; block++) {
        const low = keys[2 * block] as number;
        const at = find(table, low | 0, (keys[2 * block + 1] as number) | 0, slot + 1);
        if (at < 0) continue;
        Atomics.store(table.words, at + SPECULATIVE.slot, 0);
        table.words[at + SPECULATIVE.expiry] = FREE;
      }
    },
  };
}

/** Opens the table inside the `requests` buffer for reading. */
export function openSpeculativeReader(
  requests: SharedArrayBuffer,
  time: SharedTime,
): SpeculativeReader {
  const table = openTable(requests);
  return {
    match: (keys, blockLimit, usable, blocks) => {
      blocks.set(usable);
      const now = time.nowMs() | 0;
      const until = Atomics.load(table.words, REQUEST_MEMORY.speculativeUntil);
      if (!isLive(until, now)) return;
      let block = nextDepth(blocks, 0);
      while (block < blockLimit) {
        block = extend(table, keys, block, now, blocks) ? block + 1 : nextDepth(blocks, block + 1);
      }
    },
  };
}

interface Table {
  readonly words: Int32Array;
  /** Word offset of the first row. */
  readonly rows: number;
}

function openTable(requests: SharedArrayBuffer): Table {
  const words = new Int32Array(requests);
  const endpointCapacity = words[REQUEST_MEMORY.endpointCapacity] as number;
  assert(endpointCapacity > 0, 'the requests buffer has been laid out');
  return { words, rows: requestMemoryLayout(endpointCapacity).speculative / 4 };
}

/** Words compare modulo 2^32, so an age is told apart from a future only within the lifetime. */
function isLive(expiry: number, now: number): boolean {
  const left = (expiry - now) | 0;
  return left > 0 && left <= SPECULATIVE_TTL_MS;
}

/** When what is noted at `now` ends; a millisecond early where that would read as free. */
function expiryFrom(now: number): number {
  const expiry = (now + SPECULATIVE_TTL_MS) | 0;
  return expiry === FREE ? -1 : expiry;
}

function rowOf(table: Table, low: number): number {
  return table.rows + (low & (ROWS - 1)) * SPECULATIVE.rowWords;
}

/** Word offset of the entry of that key and slot + 1, −1 when there is none. */
function find(table: Table, low: number, high: number, owner: number): number {
  const { words } = table;
  const row = rowOf(table, low);
  for (let at = row; at < row + SPECULATIVE_ROW; at++) {
    if (words[at] !== low || words[at + SPECULATIVE.slot] !== owner) continue;
    if (words[at + SPECULATIVE.keyHigh] === high) return at;
  }
  return -1;
}

/** Renews the entry, or takes a free or ended one of its row, or the one that ends first. */
function store(
  table: Table,
  low: number,
  high: number,
  owner: number,
  now: number,
  expiry: number,
): void {
  const { words } = table;
  const known = find(table, low, high, owner);
  const at = known >= 0 ? known : leastNeeded(table, rowOf(table, low), now);
  Atomics.store(words, at + SPECULATIVE.slot, 0);
  words[at] = low;
  words[at + SPECULATIVE.keyHigh] = high;
  words[at + SPECULATIVE.expiry] = expiry;
  Atomics.store(words, at + SPECULATIVE.slot, owner);
}

function leastNeeded(table: Table, row: number, now: number): number {
  const { words } = table;
  let least = row;
  let leastLeft = SPECULATIVE_TTL_MS + 1;
  for (let at = row; at < row + SPECULATIVE_ROW; at++) {
    const expiry = words[at + SPECULATIVE.expiry] as number;
    if (expiry === FREE || !isLive(expiry, now)) return at;
    const left = (expiry - now) | 0;
    if (left < leastLeft) {
      least = at;
      leastLeft = left;
    }
  }
  return least;
}

/** Lengthens every run that ends right before `block` and is expected to go on; whether any is. */
function extend(
  table: Table,
  keys: RequestKeys,
  block: number,
  now: number,
  blocks: Uint32Array,
): boolean {
  const { words } = table;
  const low = (keys[2 * block] as number) | 0;
  const high = (keys[2 * block + 1] as number) | 0;
  const row = rowOf(table, low);
  let any = false;
  for (let at = row; at < row + SPECULATIVE_ROW; at++) {
    if (words[at] !== low || words[at + SPECULATIVE.keyHigh] !== high) continue;
    const owner = Atomics.load(words, at + SPECULATIVE.slot);
    const live = isLive(words[at + SPECULATIVE.expiry] as number, now);
    // The entry may have become another key's meanwhile; then its slot says nothing about this one.
    if (words[at] !== low || words[at + SPECULATIVE.keyHigh] !== high) continue;
    if (!live || owner < 1 || owner > blocks.length || blocks[owner - 1] !== block) continue;
    blocks[owner - 1] = block + 1;
    any = true;
  }
  return any;
}

/** The smallest depth from `from` on: the next block at which some run could go on. */
function nextDepth(blocks: Uint32Array, from: number): number {
  let next = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < blocks.length; slot++) {
    const depth = blocks[slot] as number;
    if (depth >= from && depth < next) next = depth;
  }
  return next;
}
