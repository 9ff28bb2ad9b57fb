// Main's side of the block index on the native core: counters, and recovery after a writer died.

import type { BlockIndexOwner } from '#contracts/core.js';

export interface IndexOwnerAddon {
  indexOwnerOpen(index: Uint8Array): number;
  indexOwnerClose(owner: number): void;
  /** Epoch, blocks, block capacity, sets, set capacity, rejected, bytes. */
  indexStats(owner: number): readonly number[];
  indexSuspend(owner: number): void;
  indexRecover(owner: number): void;
}

/** An owner that gives its memory back when it is no longer used. */
export interface NativeIndexOwner extends BlockIndexOwner {
  close(): void;
}

/** Opens the index as its owner; one per buffer, on the main thread. */
export function openIndexOwner(
  addon: IndexOwnerAddon,
  buffer: SharedArrayBuffer,
): NativeIndexOwner {
  const owner = addon.indexOwnerOpen(new Uint8Array(buffer));
  return {
    stats: () => {
      const [epoch = 0, blocks = 0, blockCapacity = 0, sets = 0, ...rest] = addon.indexStats(owner);
      const [setCapacity = 0, rejected = 0, bytes = 0] = rest;
      return { epoch, blocks, blockCapacity, sets, setCapacity, rejected, bytes };
    },
    suspend: () => addon.indexSuspend(owner),
    recover: () => addon.indexRecover(owner),
    close: () => addon.indexOwnerClose(owner),
  };
}
