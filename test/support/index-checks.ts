// What the tests of the block index share: chains of keys, matches as plain objects, and the check
// that a drained table holds nothing at all.

import assert from 'node:assert/strict';
import type { TierNumber } from '#contracts/block.js';
import type { BlockIndexReader, BlockIndexWriter } from '#contracts/block-index.js';
import { BUCKET, BUCKET_SLOTS, PREAMBLE, SLOT } from '#contracts/index-layout.js';
import type { Random } from '#contracts/random.js';
import type { ModelKey, ModelMatch } from '#test/support/model-index.js';

/** A chain of keys as tests use it: pairs for the model, packed words for the index. */
export interface Chain {
  readonly keys: readonly ModelKey[];
  readonly words: Uint32Array;
}

/** `length` random keys. */
export function randomChain(random: Random, length: number): Chain {
  const word = (): number => Math.floor(random.next() * 2 ** 32);
  return chainOf(Array.from({ length }, () => ({ low: word(), high: word() })));
}

export function chainOf(keys: readonly ModelKey[]): Chain {
  return { keys, words: Uint32Array.from(keys.flatMap(({ low, high }) => [low, high])) };
}

/** Matches every endpoint slot below `slots`; arrays begin dirty, so that a gap would show. */
export function matchAll(
  reader: BlockIndexReader,
  chain: Chain,
  slots: number,
  blockLimit: number = chain.keys.length,
): readonly ModelMatch[] {
  const usableBlocks = new Uint32Array(slots).fill(77);
  const rawBlocks = new Uint32Array(slots).fill(77);
  const tierBlocks = new Uint32Array(slots * 4).fill(77);
  reader.match(chain.words, chain.keys.length, blockLimit, { usableBlocks, tierBlocks, rawBlocks });
  return Array.from({ length: slots }, (_, slot) => ({
    usable: usableBlocks[slot] ?? -1,
    raw: rawBlocks[slot] ?? -1,
    tiers: [...tierBlocks.subarray(slot * 4, slot * 4 + 4)],
  }));
}

/** Usable blocks of one endpoint slot. */
export function usableOf(reader: BlockIndexReader, chain: Chain, slot = 0): number {
  return matchAll(reader, chain, slot + 1)[slot]?.usable ?? -1;
}

export function addChain(
  writer: BlockIndexWriter,
  virtualId: number,
  chain: Chain,
  tier: TierNumber = 0,
  group = 0,
): void {
  for (const { low, high } of chain.keys) {
    assert.equal(writer.add(virtualId, tier, group, low, high), 'done');
  }
}

export function removeChain(
  writer: BlockIndexWriter,
  virtualId: number,
  chain: Chain,
  tier: TierNumber = 0,
  group = 0,
): void {
  for (const { low, high } of chain.keys) {
    assert.equal(writer.remove(virtualId, tier, group, low, high), 'done');
  }
}

/** Sweeps until clean; the bound only stops a broken sweep from hanging the test. */
export function sweepAll(writer: BlockIndexWriter): void {
  for (let call = 0; call < 1000; call++) if (writer.sweep(4096)) return;
  assert.fail('the sweep does not end');
}

/** What a table still holds: slots in use, overflow counts, locks. All zero when drained. */
export function residue(buffer: SharedArrayBuffer): {
  readonly slots: number;
  readonly overflow: number;
  readonly locks: number;
} {
  const words = new Int32Array(buffer);
  const found = { slots: 0, overflow: 0, locks: 0 };
  const buckets = words[PREAMBLE.buckets] ?? 0;
  for (let i = 0; i < (words[PREAMBLE.bucketCount] ?? 0); i++) {
    const bucket = buckets + i * BUCKET.words;
    if (words[bucket + BUCKET.lock] !== 0) found.locks++;
    if (words[bucket + BUCKET.overflow] !== 0) found.overflow++;
    for (let slot = 0; slot < BUCKET_SLOTS; slot++) {
      const at = bucket + BUCKET.slots + slot * SLOT.words;
      if (words[at + SLOT.tag] !== 0 || words[at + SLOT.set] !== 0) found.slots++;
    }
  }
  return found;
}

export const NO_RESIDUE = { slots: 0, overflow: 0, locks: 0 } as const;
