// The native BlockIndexWriter's face: arguments are checked here, because the boundary would turn a
// negative or fractional number into another one without a word.

import { assert } from '#contracts/assert.js';
import { TIER_COUNT } from '#contracts/block.js';
import type { BlockIndexWriter, IndexWriteStatus } from '#contracts/block-index.js';
import { INDEX_WRITERS_MAX } from '#contracts/index-layout.js';
import { ENDPOINTS_MAX, KV_GROUPS_MAX } from '#contracts/limits.js';

export interface IndexWriterAddon {
  indexWriterOpen(index: Uint8Array, writerId: number, lockRounds: number): number;
  indexWriterClose(writer: number): void;
  indexOpenEndpoint(writer: number, slot: number): number;
  indexDropEndpoint(writer: number, virtualId: number): void;
  indexDropSlot(writer: number, slot: number): void;
  indexSetGroupWindow(writer: number, virtualId: number, group: number, windowBlocks: number): void;
  indexSetHitAlignment(writer: number, virtualId: number, alignmentBlocks: number): void;
  indexAdd(
    writer: number,
    virtualId: number,
    tier: number,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): number;
  indexRemove(
    writer: number,
    virtualId: number,
    tier: number,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): number;
  indexSweep(writer: number, bucketCount: number): boolean;
}

const STATUSES: readonly IndexWriteStatus[] = ['done', 'unchanged', 'full', 'stuck'];
/** More than any prompt has: the window of a group that needs its whole prefix. */
const BLOCKS_MAX = 0x7fff_ffff;

/** A writer that gives its memory back when it is no longer used. */
export interface NativeIndexWriter extends BlockIndexWriter {
  close(): void;
}

/**
 * Opens the index for writing as `writerId` (0 … 63). `lockRounds` is the patience with a lock
 * whose owner may be dead, in sleeps of 5 ms.
 */
export function openIndexWriter(
  addon: IndexWriterAddon,
  buffer: SharedArrayBuffer,
  writerId: number,
  lockRounds = 0,
): NativeIndexWriter {
  assert(
    Number.isInteger(writerId) && writerId >= 0 && writerId < INDEX_WRITERS_MAX,
    'the writer id is below INDEX_WRITERS_MAX',
  );
  const writer = addon.indexWriterOpen(new Uint8Array(buffer), writerId, lockRounds);
  return {
    openEndpoint: (slot) => addon.indexOpenEndpoint(writer, checkedSlot(slot)),
    dropEndpoint: (virtualId) => addon.indexDropEndpoint(writer, checkedId(virtualId)),
    dropSlot: (slot) => addon.indexDropSlot(writer, checkedSlot(slot)),
    setGroupWindow: (virtualId, group, windowBlocks) => {
      assert(Number.isInteger(group) && group >= 1 && group < KV_GROUPS_MAX, 'the group is 1 to 7');
      addon.indexSetGroupWindow(writer, checkedId(virtualId), group, checkedBlocks(windowBlocks));
    },
    setHitAlignment: (virtualId, alignmentBlocks) => {
      addon.indexSetHitAlignment(writer, checkedId(virtualId), checkedBlocks(alignmentBlocks));
    },
    add: (virtualId, tier, group, keyLow, keyHigh) => {
      checkResidency(tier, group);
      const id = checkedId(virtualId);
      return statusOf(addon.indexAdd(writer, id, tier, group, keyLow >>> 0, keyHigh >>> 0));
    },
    remove: (virtualId, tier, group, keyLow, keyHigh) => {
      checkResidency(tier, group);
      const id = checkedId(virtualId);
      return statusOf(addon.indexRemove(writer, id, tier, group, keyLow >>> 0, keyHigh >>> 0));
    },
    sweep: (bucketCount) => addon.indexSweep(writer, bucketCount >>> 0),
    close: () => addon.indexWriterClose(writer),
  };
}

function statusOf(number: number): IndexWriteStatus {
  const status = STATUSES[number];
  assert(status !== undefined, 'a write gives a known status');
  return status;
}

function checkedSlot(slot: number): number {
  assert(Number.isInteger(slot) && slot >= 0 && slot < ENDPOINTS_MAX, 'the endpoint slot exists');
  return slot;
}

function checkedId(virtualId: number): number {
  assert(Number.isInteger(virtualId) && virtualId >= 0, 'the virtual id exists');
  return virtualId;
}

function checkedBlocks(blocks: number): number {
  assert(blocks >= 1, 'at least one block');
  return Math.min(Math.floor(blocks), BLOCKS_MAX);
}

function checkResidency(tier: number, group: number): void {
  assert(Number.isInteger(tier) && tier >= 0 && tier < TIER_COUNT, 'the tier is 0 to 3');
  assert(Number.isInteger(group) && group >= 0 && group < KV_GROUPS_MAX, 'the group is 0 to 7');
}
