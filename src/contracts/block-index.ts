// The block index: request key → residencies. One implementation per core works on the same
// bytes (index-layout.ts); test/contract/block-index.suite.ts states the laws for both:
//   1. A match never claims what the endpoint's own stream has removed.
//   2. The order of one writer's operations on one endpoint is kept.
//   3. Operations on one endpoint never change another's residencies.
//   4. A reader sees a block present or absent, nothing between.
//   5. After a writer died, readers report no match until main has recovered the index.

import type { RequestKeys, TierNumber } from './block.js';

/** Outcome of one write. */
export type IndexWriteStatus =
  | 'done'
  /** Already there (add) or not there (remove): nothing changed. */
  | 'unchanged'
  /** Table or set table full: not recorded, counted. */
  | 'full'
  /** A lock stayed taken beyond the spin bound: its owner died; main must recover. */
  | 'stuck';

/** Writes residencies. One per event worker; any number may write at the same time. */
export interface BlockIndexWriter {
  /**
   * Opens a generation of the endpoint in `slot`, returning its virtual id; matches are reported
   * under the slot. An earlier generation stays visible until `dropEndpoint`. −1 when all virtual
   * ids are taken.
   */
  openEndpoint(slot: number): number;
  /** Forgets everything of that generation at once: O(1), a later `sweep` frees the bits. */
  dropEndpoint(virtualId: number): void;
  /** Drops every generation of `slot`, whoever opened it: its writer may have died. */
  dropSlot(slot: number): void;
  /**
   * Declares KV group `group` (1…7) of this generation: a hit of L blocks also needs the last
   * min(L, windowBlocks) blocks before L resident in that group (wire-formats §2).
   */
  setGroupWindow(virtualId: number, group: number, windowBlocks: number): void;
  /**
   * Declares that hits of this generation are multiples of `alignmentBlocks`: its engine's blocks
   * are larger than ours, or its groups' blocks differ and only their common borders count.
   */
  setHitAlignment(virtualId: number, alignmentBlocks: number): void;
  add(
    virtualId: number,
    tier: TierNumber,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): IndexWriteStatus;
  remove(
    virtualId: number,
    tier: TierNumber,
    group: number,
    keyLow: number,
    keyHigh: number,
  ): IndexWriteStatus;
  /** Strips bits of dropped generations from up to `bucketCount` buckets; true when all is clean. */
  sweep(bucketCount: number): boolean;
}

/**
 * Result of one match. Arrays are indexed by endpoint slot (tier arrays: slot × 4 + tier) and may
 * be views into shared memory; `match` overwrites every element.
 */
export interface MatchResult {
  /** Leading blocks the engine will reuse, in any tier, all groups considered. */
  readonly usableBlocks: Uint32Array;
  /** Of those, how many have each tier as their fastest residency. */
  readonly tierBlocks: Uint32Array;
  /** Leading blocks of group 0 alone. */
  readonly rawBlocks: Uint32Array;
}

/** Finds, per endpoint, the leading blocks it holds. Lock-free. */
export interface BlockIndexReader {
  /**
   * Matches `keys[0 … 2·blockCount)`; `blockLimit` ≤ `blockCount` is the most an engine would
   * reuse (floor((tokens − 1) / blockSize)). Returns the index epoch it read in.
   */
  match(keys: RequestKeys, blockCount: number, blockLimit: number, result: MatchResult): number;
}

/** Counters of the index, read without a lock; they may lag by a few operations. */
export interface BlockIndexStats {
  readonly epoch: number;
  /** Distinct (block, group) slots in use, and the number of slots there are. */
  readonly blocks: number;
  readonly blockCapacity: number;
  /** Live interned endpoint sets and their capacity. */
  readonly sets: number;
  readonly setCapacity: number;
  /** Residencies not recorded because a table was full. */
  readonly rejected: number;
  /** Bytes of the buffer. */
  readonly bytes: number;
}

/** Geometry of an index, fixed when it is allocated. */
export interface BlockIndexGeometry {
  /** Distinct blocks to hold; the table is this ÷ 0.6. */
  readonly blockCapacity: number;
  /** Virtual endpoint ids, a multiple of 64, at most 1,024. */
  readonly endpointCapacity: number;
}
