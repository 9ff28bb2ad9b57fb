// Speculative residencies, for every core: what they add to a match, and when they end.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Clock } from '#contracts/clock.js';
import { SPECULATIVE_ENTRIES, SPECULATIVE_TTL_MS } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import {
  REQUEST_MEMORY,
  requestMemoryLayout,
  SPECULATIVE,
  SPECULATIVE_ROW,
} from '#contracts/shared-layout.js';
import type { SpeculativeReader, SpeculativeWriter } from '#core/portable/index/speculative.js';
import { type Chain, chainOf, randomChain } from '#test/support/index-checks.js';
import { VirtualClock } from '#test/support/time.js';

/** A core's way to open the table. */
export interface SpeculativeCore {
  readonly writer: (requests: SharedArrayBuffer, time: Clock) => SpeculativeWriter;
  readonly reader: (requests: SharedArrayBuffer, time: Clock) => SpeculativeReader;
}

const SLOTS = 8;

function openTable(core: SpeculativeCore) {
  const layout = requestMemoryLayout(SLOTS);
  // The slab behind the table is not needed here, and is large.
  const requests = new SharedArrayBuffer(layout.slab);
  new Uint32Array(requests)[REQUEST_MEMORY.endpointCapacity] = SLOTS;
  const clock = new VirtualClock();
  const writer = core.writer(requests, clock);
  const reader = core.reader(requests, clock);
  const match = (chain: Chain, usable: readonly number[] = [], limit = chain.keys.length) => {
    const blocks = new Uint32Array(SLOTS).fill(99);
    const resident = new Uint32Array(SLOTS);
    resident.set(usable);
    reader.match(chain.words, limit, resident, blocks);
    return [...blocks];
  };
  return { requests, clock, writer, reader, match, random: seededRandom(3) };
}

function expected(...depths: readonly (readonly [slot: number, depth: number])[]): number[] {
  const blocks = new Array<number>(SLOTS).fill(0);
  for (const [slot, depth] of depths) blocks[slot] = depth;
  return blocks;
}

export function speculativeSuite(name: string, core: SpeculativeCore): void {
  const open = () => openTable(core);

  describe(`speculative residencies, ${name} core`, () => {
    test('an empty table leaves what is resident', () => {
      const { match, random } = open();
      assert.deepEqual(match(randomChain(random, 10), [3, 0, 7]), expected([0, 3], [2, 7]));
    });

    test('a routed prompt is expected at its endpoint only, as far as it was recorded', () => {
      const { writer, match, random } = open();
      const chain = randomChain(random, 20);
      writer.add(2, chain.words, 20);
      writer.add(5, chain.words, 12);
      assert.deepEqual(match(chain), expected([2, 20], [5, 12]));
      const longer = chainOf([...chain.keys, ...randomChain(random, 5).keys]);
      assert.deepEqual(match(longer), expected([2, 20], [5, 12]));
      assert.deepEqual(match(randomChain(random, 20)), expected());
    });

    test('a run goes on beyond the resident blocks, at different depths', () => {
      const { writer, match, random } = open();
      const chain = randomChain(random, 20);
      writer.add(0, chain.words.subarray(2 * 8), 12);
      writer.add(1, chain.words.subarray(2 * 15), 5);
      writer.add(2, chain.words.subarray(2 * 9), 2);
      assert.deepEqual(match(chain, [8, 15, 9, 4]), expected([0, 20], [1, 20], [2, 11], [3, 4]));
      assert.deepEqual(match(chain, [7, 14, 8, 4]), expected([0, 7], [1, 14], [2, 8], [3, 4]));
      assert.deepEqual(match(chain, [8], 10), expected([0, 10]));
    });

    test('expectations end after their lifetime, and are renewed by a repeated prompt', () => {
      const { clock, writer, match, random } = open();
      const chain = randomChain(random, 4);
      const other = randomChain(random, 4);
      writer.add(0, chain.words, 4);
      clock.advance(SPECULATIVE_TTL_MS - 1);
      assert.deepEqual(match(chain), expected([0, 4]));
      writer.add(0, other.words, 4);
      clock.advance(1);
      assert.deepEqual(match(chain), expected());
      writer.add(0, chain.words, 4);
      clock.advance(SPECULATIVE_TTL_MS - 1);
      assert.deepEqual(match(chain), expected([0, 4]));
      assert.deepEqual(match(other), expected());
    });

    test('the clock may pass 2^31 and 2^32 ms', () => {
      for (const start of [2 ** 31, 2 ** 32]) {
        const { clock, writer, match, random } = open();
        const chain = randomChain(random, 4);
        clock.advance(start - SPECULATIVE_TTL_MS / 2);
        writer.add(0, chain.words, 4);
        clock.advance(SPECULATIVE_TTL_MS - 1);
        assert.deepEqual(match(chain), expected([0, 4]));
        clock.advance(1);
        assert.deepEqual(match(chain), expected());
      }
    });

    test('withdrawing takes back one endpoint and no other', () => {
      const { writer, match, random } = open();
      const chain = randomChain(random, 6);
      writer.add(0, chain.words, 6);
      writer.add(1, chain.words, 6);
      writer.withdraw(0, chain.words, 6);
      writer.withdraw(3, chain.words, 6);
      assert.deepEqual(match(chain), expected([1, 6]));
    });

    test('a full row gives up the entry that ends first', () => {
      const { clock, writer, match } = open();
      const rows = SPECULATIVE_ENTRIES / SPECULATIVE_ROW;
      const row = Array.from({ length: SPECULATIVE_ROW + 1 }, (_, i) =>
        chainOf([{ low: 7 + i * rows, high: i }]),
      );
      for (const chain of row) {
        writer.add(0, chain.words, 1);
        clock.advance(1);
      }
      assert.deepEqual(
        row.map((chain) => match(chain)[0]),
        [0, ...new Array<number>(SPECULATIVE_ROW).fill(1)],
      );
    });

    test('a reader survives any bytes in the table', () => {
      const { requests, writer, match, random } = open();
      const layout = requestMemoryLayout(SLOTS);
      const chain = randomChain(random, 50);
      writer.add(0, chain.words, 50);
      const table = new Uint32Array(requests, layout.speculative, SPECULATIVE_ENTRIES * 4);
      for (const [i, word] of table.entries()) {
        const isSlot = i % SPECULATIVE.rowWords >= SPECULATIVE.slot;
        if (isSlot && word !== 0) table[i] = Math.floor(random.next() * 2 ** 32);
      }
      for (const depth of match(chain)) assert.ok(depth >= 0 && depth <= 50);
    });
  });
}
