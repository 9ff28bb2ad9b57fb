// What a publisher can cost and whom it can harm, for every core: frames as large as they may be,
// made to take time, memory or what other publishers need.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BLOCK_PARTS_MAX, NAMESPACE_LENGTH_KEPT, TAIL_EXTRA_BYTES_MAX } from '#contracts/limits.js';
import { countedBytes, digestOf, hashBlock, namespaceSeed } from '#core/portable/keys.js';
import type { ApplierCore } from '#test/support/applied-index.js';
import {
  BLOCK,
  frame,
  openRig,
  type Rig,
  removed,
  SECRET,
  SLOT,
  stored,
  tokens,
} from '#test/support/applier-rig.js';
import { encodeCbor } from '#wire/cbor.js';

/** Slots of other publishers. */
const OTHER = 5;
const NEW = 6;

export function eventApplierBoundsSuite(name: string, core: ApplierCore): void {
  describe(`bounds of the event applier, ${name} core`, () => {
    // Work that grows with the square of a frame would keep these busy for hours.
    const shapes: ReadonlyMap<string, (at: number) => number> = new Map([
      ['of one byte', (at) => at & 0x7f],
      [
        'of one, two, three and five bytes in turn',
        (at) => [5, 200, 300 + (at & 0xff), 70_000 + at][at & 3] ?? 0,
      ],
      ['of one and three bytes in turn', (at) => (at & 1) * (256 + (at & 0xff))],
    ]);
    for (const [shape, id] of shapes) {
      test(`a million token ids ${shape} in one event are read rightly`, () => {
        const blockSize = 1 << 18;
        const { apply, match } = openRig(core, blockSize);
        const prompt = Array.from({ length: 4 * blockSize }, (_, at) => id(at));
        assert.equal(
          apply(stored([1, 2, 3, 4], prompt, { block_size: blockSize })).blocksStored,
          4,
        );
        assert.equal(match(prompt), 4);
      });
    }

    test('extra keys wait for their canonical block to be whole, longer ones as a digest', () => {
      for (const length of [100, 505, 506, 100_000]) {
        const { apply, index } = openRig(core, BLOCK);
        const [first, second] = [Buffer.alloc(length, 1), Buffer.from([2])];
        const prompt = tokens(0, BLOCK);
        const extra_keys = [[first], [second]];
        apply(stored([1, 2], prompt, { block_size: BLOCK / 2, extra_keys }));
        const seed = namespaceSeed(SECRET, { pool: 'model', adapter: '', cacheSalt: '' });
        const held = countedBytes([encodeCbor(first)]);
        assert.equal(held.length > TAIL_EXTRA_BYTES_MAX, length > 505);
        const kept = length > 505 ? countedBytes([digestOf(held, seed)]) : held;
        const extra = Buffer.concat([kept, countedBytes([encodeCbor(second)])]);
        const key = hashBlock(seed, Uint32Array.from(prompt), extra);
        assert.ok(index.has(SLOT, 0, key.low, key.high), `${length} bytes`);
      }
    });

    test('a canonical block is made of so many engine blocks and no more', () => {
      const blockSize = 2 * BLOCK_PARTS_MAX;
      const { apply, match } = openRig(core, blockSize);
      const prompt = tokens(0, blockSize);
      const hashes = tokens(1000, blockSize);
      const result = apply(stored(hashes, prompt, { block_size: 1 }));
      assert.deepEqual([result.blocksStored, result.indexFull], [BLOCK_PARTS_MAX - 1, 1]);
      assert.equal(match(prompt), 0);
      apply(stored(hashes.slice(0, BLOCK_PARTS_MAX), prompt, { block_size: 2 }));
      assert.equal(match(prompt), 1);
    });

    test('adapters and salts of any length separate prompts', () => {
      const { apply, match } = openRig(core, BLOCK);
      const prompt = tokens(0, BLOCK);
      const long = 'x'.repeat(1_000_000);
      const names = [long, `${long}y`, '', 'x'.repeat(NAMESPACE_LENGTH_KEPT + 1)];
      for (const [at, cacheSalt] of names.entries()) {
        for (const adapter of at === 3 ? [] : names) {
          const namespace = { adapter, cacheSalt };
          assert.equal(match(prompt, namespace), 0);
          apply(stored([at], prompt, { cache_salt: cacheSalt, lora_name: adapter }));
          assert.equal(match(prompt, namespace), 1);
          apply(removed([at]));
        }
      }
    });

    const CLEAR = ['AllBlocksCleared'];
    /** Another publisher clears and stores, and a new one begins. */
    function othersGoOn({ applier, index }: Rig): void {
      for (const slot of [OTHER, NEW]) {
        if (slot === NEW) applier.open(NEW, { pool: 'model', blockSize: BLOCK });
        const result = applier.apply(slot, frame(CLEAR, stored([1], tokens(0, BLOCK))));
        assert.deepEqual([result.blocksStored, result.indexFull], [1, 0]);
        assert.equal(index.residencies(slot).length, 1);
      }
    }

    test('clears without end in one frame take nothing from other publishers', () => {
      const rig = openRig(core, BLOCK);
      const { applier, apply, match } = rig;
      applier.open(OTHER, { pool: 'model', blockSize: BLOCK });
      const prompt = tokens(0, BLOCK);
      const pairs = Array.from({ length: 2000 }, () => [stored([1], prompt), CLEAR]);
      const result = apply(...pairs.flat(), stored([2], tokens(500, BLOCK)));
      assert.deepEqual([result.cleared, result.blocksStored], [true, 1], 'what is left of it');
      assert.equal(match(prompt), 0);
      assert.equal(match(tokens(500, BLOCK)), 1);
      for (let i = 0; i < 200; i += 1) assert.ok(apply(CLEAR, CLEAR).cleared);
      assert.equal(apply(stored([3], prompt)).indexFull, 0, 'an empty generation goes on');
      assert.equal(match(prompt), 1);
      othersGoOn(rig);
    });

    test('clears in frame after frame wait for the sweep, and nobody else does', () => {
      const rig = openRig(core, BLOCK);
      const { applier, apply, match, index } = rig;
      applier.open(OTHER, { pool: 'model', blockSize: BLOCK });
      applier.apply(OTHER, frame(stored([1], tokens(0, BLOCK))));
      const prompt = tokens(0, BLOCK);
      let refused = 0;
      for (let i = 0; i < 200; i += 1) {
        refused += apply(CLEAR, stored([1], prompt)).indexFull;
        if (i % 50 === 49) applier.reset(SLOT);
      }
      assert.ok(refused > 150, `${refused} refused`);
      assert.deepEqual(index.residencies(SLOT), []);
      othersGoOn(rig);
      while (!applier.sweep(10_000));
      assert.equal(apply(stored([1], prompt)).indexFull, 0);
      assert.equal(match(prompt), 1);
      assert.equal(index.residencies(OTHER).length, 1);
    });
  });
}
