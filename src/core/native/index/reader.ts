// The native BlockIndexReader's face, for `verify` and tests: prompts are matched inside the native
// encoder, without a crossing of their own.

import { assert } from '#contracts/assert.js';
import { TIER_COUNT } from '#contracts/block.js';
import type { BlockIndexReader } from '#contracts/block-index.js';

export interface IndexReaderAddon {
  indexReaderOpen(index: Uint8Array): number;
  indexReaderClose(reader: number): void;
  indexMatch(
    reader: number,
    keys: Uint32Array,
    blockCount: number,
    blockLimit: number,
    usableBlocks: Uint32Array,
    tierBlocks: Uint32Array,
    rawBlocks: Uint32Array,
  ): number;
}

/** A reader that gives its memory back when it is no longer used. */
export interface NativeIndexReader extends BlockIndexReader {
  close(): void;
}

/** Opens the index for matching. */
export function openIndexReader(
  addon: IndexReaderAddon,
  buffer: SharedArrayBuffer,
): NativeIndexReader {
  const reader = addon.indexReaderOpen(new Uint8Array(buffer));
  return {
    match: (keys, blockCount, blockLimit, { usableBlocks, tierBlocks, rawBlocks }) => {
      assert(keys.length >= 2 * blockCount, 'there is a key for every block');
      assert(blockLimit >= 0 && blockLimit <= blockCount, 'the limit is at most the blocks');
      const slots = usableBlocks.length;
      assert(tierBlocks.length === slots * TIER_COUNT && rawBlocks.length === slots, 'arrays fit');
      return addon.indexMatch(
        reader,
        keys,
        blockCount,
        blockLimit,
        usableBlocks,
        tierBlocks,
        rawBlocks,
      );
    },
    close: () => addon.indexReaderClose(reader),
  };
}
