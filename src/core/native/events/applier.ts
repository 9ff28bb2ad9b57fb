// The native EventApplier's face: one crossing per frame; the counts come back in an array that the
// applier was made with, text only for a frame that was not applied.

import { assert } from '#contracts/assert.js';
import type { ApplyResult, EventApplier } from '#contracts/core.js';
import { ENDPOINTS_MAX } from '#contracts/limits.js';

export interface EventAddon {
  eventsCreate(
    index: Uint8Array,
    writerId: number,
    secretLow: number,
    secretHigh: number,
    counts: Uint32Array,
  ): number;
  eventsDestroy(applier: number): void;
  eventsOpen(applier: number, slot: number, pool: string, blockSize: number): void;
  eventsApply(applier: number, slot: number, payload: Uint8Array): number;
  eventsDetail(applier: number): string;
  eventsReset(applier: number, slot: number): void;
  eventsClose(applier: number, slot: number): void;
  eventsSweep(applier: number, bucketCount: number): boolean;
  /** Engine blocks known, bytes of the maps that hold them. */
  eventsUsage(applier: number): readonly number[];
}

export interface NativeApplierOptions {
  readonly index: SharedArrayBuffer;
  /** Of the writer the applier writes as, 0 … 63. */
  readonly writerId: number;
  /** The deployment's secret, the same for everything that computes request keys. */
  readonly hashSecret: bigint;
}

export interface NativeEventApplier extends EventApplier {
  /** Engine blocks known to all publishers, and the bytes of the maps that hold them. */
  usage(): { readonly blocks: number; readonly bytes: number };
  /** Gives the memory back; what was written stays in the index. */
  destroy(): void;
}

const STATUSES = ['applied', 'malformed', 'index-stuck'] as const;
const WORD = 0xffff_ffffn;

/** Creates an applier that writes into the index itself. */
export function createEventApplier(
  addon: EventAddon,
  { index, writerId, hashSecret }: NativeApplierOptions,
): NativeEventApplier {
  assert(hashSecret >= 0n && hashSecret < 1n << 64n, 'the secret is an unsigned 64-bit number');
  const counts = new Uint32Array(8);
  const [low, high] = [Number(hashSecret & WORD), Number(hashSecret >> 32n)];
  const applier = addon.eventsCreate(new Uint8Array(index), writerId, low, high, counts);
  return {
    open: (slot, { pool, blockSize }) => {
      assert(Number.isInteger(blockSize) && blockSize > 0, 'a block holds at least one token');
      addon.eventsOpen(applier, checkedSlot(slot), pool, blockSize);
    },
    apply: (slot, payload) => {
      const status = STATUSES[addon.eventsApply(applier, checkedSlot(slot), payload)];
      assert(status !== undefined, 'a frame ends with a known status');
      return resultOf(status, counts, () => addon.eventsDetail(applier));
    },
    reset: (slot) => addon.eventsReset(applier, checkedSlot(slot)),
    close: (slot) => addon.eventsClose(applier, checkedSlot(slot)),
    sweep: (bucketCount) => addon.eventsSweep(applier, bucketCount >>> 0),
    usage: () => {
      const [blocks = 0, bytes = 0] = addon.eventsUsage(applier);
      return { blocks, bytes };
    },
    destroy: () => addon.eventsDestroy(applier),
  };
}

function resultOf(
  status: ApplyResult['status'],
  counts: Uint32Array,
  detail: () => string,
): ApplyResult {
  const [stored = 0, removed = 0, cleared = 0, parents = 0, blocks = 0, ...rest] = counts;
  const [events = 0, full = 0, blockSize = 0] = rest;
  return {
    status,
    detail: status === 'applied' ? '' : detail(),
    blocksStored: stored,
    blocksRemoved: removed,
    cleared: cleared !== 0,
    unknownParents: parents,
    unknownBlocks: blocks,
    unknownEvents: events,
    indexFull: full,
    blockSize,
  };
}

function checkedSlot(slot: number): number {
  assert(Number.isInteger(slot) && slot >= 0 && slot < ENDPOINTS_MAX, 'the endpoint slot exists');
  return slot;
}
