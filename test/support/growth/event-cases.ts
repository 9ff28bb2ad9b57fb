// Event appliers: frames good and bad, publishers that come and go.

import assert from 'node:assert/strict';
import { createBlockIndex } from '#core/index-memory.js';
import type { Addon } from '#core/native/addon.js';
import { createEventApplier } from '#core/native/events/applier.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';
import type { GrowthCases } from './measure.js';

const TURNS = 60_000;
const MALFORMED = Uint8Array.of(0x92, 1);

/** Frames that store and remove eight blocks, of a canonical block size and across borders. */
function frames(): readonly Uint8Array[] {
  return ([16, 4] as const).map((blockSize) => {
    const tokens = Array.from({ length: 8 * blockSize }, (_, i) => i);
    const hashes = tokens.slice(0, 8).map((i) => i + blockSize * 100);
    const stored = ['BlockStored', hashes, null, tokens, blockSize, null, null, 'sql'];
    const events = [stored, ['BlockRemoved', hashes]];
    return encodeEventBatch({ timestamp: 1, events, dataParallelRank: 0 });
  });
}

/** Fifteen pages of one token with 10 KB of extra keys each, and a block under a salt of 400 KB. */
function longNames(turn: number): Uint8Array {
  const hash = (at: number) => 1_000_000 + 16 * turn + at;
  const pages = Array.from({ length: 15 }, (_, at) => at);
  const extraKeys = pages.map(() => [Buffer.alloc(10_000, turn)]);
  const stored = ['BlockStored', pages.map(hash), null, pages, 1, null, null, null, extraKeys];
  const salted = {
    type: 'BlockStored',
    block_hashes: [hash(15)],
    parent_block_hash: null,
    token_ids: Array.from({ length: 16 }, (_, at) => at),
    block_size: 16,
    cache_salt: `${turn}`.padStart(400_000),
  };
  return encodeEventBatch({ timestamp: 1, events: [stored, salted], dataParallelRank: 0 });
}

export function eventCases(addon: Addon): GrowthCases {
  const index = createBlockIndex({ blockCapacity: 4000, endpointCapacity: 64 });
  const applier = createEventApplier(addon, { index, writerId: 2, hashSecret: 3n });
  applier.open(0, { pool: 'm', blockSize: 16 });
  const [whole = MALFORMED, parts = MALFORMED] = frames();
  const appliers = (): void => {
    const one = createEventApplier(addon, { index, writerId: 3, hashSecret: 3n });
    one.open(5, { pool: 'm', blockSize: 16 });
    one.apply(5, parts);
    one.close(5);
    one.destroy();
  };
  return {
    cases: [
      {
        name: 'events: apply',
        turns: TURNS,
        call: (turn) => {
          const applied = applier.apply(0, turn % 2 === 0 ? whole : parts);
          assert.equal(applied.blocksRemoved, 8);
        },
      },
      {
        name: 'events: apply of malformed frames',
        turns: TURNS,
        call: () => assert.equal(applier.apply(0, MALFORMED).status, 'malformed'),
      },
      {
        name: 'events: open, reset, close, sweep, usage',
        turns: TURNS / 2,
        call: () => {
          applier.open(1, { pool: 'm', blockSize: 16 });
          applier.apply(1, parts);
          applier.reset(1);
          applier.close(1);
          applier.sweep(10_000);
          applier.usage();
        },
      },
      {
        name: 'events: extra keys and salts as long as a frame allows',
        turns: TURNS / 1500,
        call: (turn) => {
          assert.equal(applier.apply(0, longNames(turn)).blocksStored, 16);
        },
      },
      { name: 'events: appliers', turns: TURNS / 20, call: appliers },
    ],
    close: () => applier.destroy(),
  };
}
