// Speculative residencies on the native core: blocks an endpoint will hold once it has worked off a
// prompt that was just sent to it. Main writes them here; the native encoder's threads read the
// table themselves, tests read it through this face.

import { assert } from '#contracts/assert.js';
import type { RequestKeys } from '#contracts/block.js';
import type { Clock } from '#contracts/clock.js';

export interface SpeculativeAddon {
  speculativeOpen(requests: Uint8Array): number;
  speculativeClose(table: number): void;
  speculativeAdd(
    table: number,
    slot: number,
    keys: Uint32Array,
    blockCount: number,
    nowMs: number,
  ): void;
  speculativeWithdraw(table: number, slot: number, keys: Uint32Array, blockCount: number): void;
  speculativeMatch(
    table: number,
    keys: Uint32Array,
    blockLimit: number,
    usable: Uint32Array,
    blocks: Uint32Array,
    nowMs: number,
  ): void;
}

/** Time all threads of the process agree on: expiries cross threads. */
type SharedTime = Pick<Clock, 'nowMs'>;

/** Records and withdraws expectations; main's side. */
export interface NativeSpeculativeWriter {
  /** Expects the first `blockCount` blocks of `keys` at endpoint `slot` for SPECULATIVE_TTL_MS. */
  readonly add: (slot: number, keys: RequestKeys, blockCount: number) => void;
  /** No longer expects them: the endpoint failed. */
  readonly withdraw: (slot: number, keys: RequestKeys, blockCount: number) => void;
  readonly close: () => void;
}

/** Reads expectations. */
export interface NativeSpeculativeReader {
  /** Sets `blocks[slot]` to the leading blocks, up to `blockLimit`, held (`usable`) or expected. */
  readonly match: (
    keys: RequestKeys,
    blockLimit: number,
    usable: Uint32Array,
    blocks: Uint32Array,
  ) => void;
  readonly close: () => void;
}

/** Opens the table inside the `requests` buffer for writing; one per buffer. */
export function openSpeculativeWriter(
  addon: SpeculativeAddon,
  requests: SharedArrayBuffer,
  time: SharedTime,
): NativeSpeculativeWriter {
  const table = addon.speculativeOpen(new Uint8Array(requests));
  return {
    add: (slot, keys, blockCount) => {
      checkKeys(slot, keys, blockCount);
      addon.speculativeAdd(table, slot, keys, blockCount, time.nowMs());
    },
    withdraw: (slot, keys, blockCount) => {
      checkKeys(slot, keys, blockCount);
      addon.speculativeWithdraw(table, slot, keys, blockCount);
    },
    close: () => addon.speculativeClose(table),
  };
}

/** Opens the table inside the `requests` buffer for reading. */
export function openSpeculativeReader(
  addon: SpeculativeAddon,
  requests: SharedArrayBuffer,
  time: SharedTime,
): NativeSpeculativeReader {
  const table = addon.speculativeOpen(new Uint8Array(requests));
  return {
    match: (keys, blockLimit, usable, blocks) => {
      addon.speculativeMatch(table, keys, blockLimit, usable, blocks, time.nowMs());
    },
    close: () => addon.speculativeClose(table),
  };
}

function checkKeys(slot: number, keys: RequestKeys, blockCount: number): void {
  assert(Number.isInteger(slot) && slot >= 0, 'the endpoint slot exists');
  assert(blockCount >= 0 && keys.length >= 2 * blockCount, 'there is a key for every block');
}
