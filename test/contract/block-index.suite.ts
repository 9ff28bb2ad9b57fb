// The laws of the block index (contracts/block-index.ts), for every core, with the plain-map model
// as specification. A core hands in its four functions.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TierNumber } from '#contracts/block.js';
import type {
  BlockIndexGeometry,
  BlockIndexReader,
  BlockIndexWriter,
} from '#contracts/block-index.js';
import type { BlockIndexOwner } from '#contracts/core.js';
import type { Random } from '#contracts/random.js';
import { seededRandom } from '#contracts/random.js';
import {
  addChain,
  type Chain,
  chainOf,
  matchAll,
  NO_RESIDUE,
  randomChain,
  removeChain,
  residue,
  sweepAll,
  usableOf,
} from '#test/support/index-checks.js';
import { ModelIndex } from '#test/support/model-index.js';

/** A core's way to make and open an index. */
export interface BlockIndexCore {
  readonly create: (geometry: BlockIndexGeometry) => SharedArrayBuffer;
  readonly owner: (buffer: SharedArrayBuffer) => BlockIndexOwner;
  readonly writer: (buffer: SharedArrayBuffer, writerId: number) => BlockIndexWriter;
  readonly reader: (buffer: SharedArrayBuffer) => BlockIndexReader;
}

/** Random sequences per run; raise it to search longer. */
const SEQUENCES = 6;
const STEPS = 4000;
const SLOTS = 5;

export function blockIndexSuite(name: string, core: BlockIndexCore): void {
  describe(`block index, ${name} core`, () => {
    matching(core);
    groups(core);
    generations(core);
    bounds(core);
    recovery(core);
    againstModel(core);
  });
}

function open(core: BlockIndexCore, geometry?: Partial<BlockIndexGeometry>) {
  const buffer = core.create({ blockCapacity: 1000, endpointCapacity: 64, ...geometry });
  return {
    buffer,
    owner: core.owner(buffer),
    writer: core.writer(buffer, 0),
    reader: core.reader(buffer),
    random: seededRandom(1),
  };
}

function matching(core: BlockIndexCore): void {
  test('counts the leading blocks of each endpoint, by fastest tier', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 10);
    const first = writer.openEndpoint(0);
    const second = writer.openEndpoint(2);
    addChain(writer, first, chain, 0);
    addChain(writer, second, chainOf(chain.keys.slice(0, 6)), 2);
    addChain(writer, second, chainOf(chain.keys.slice(2, 4)), 1);
    assert.deepEqual(matchAll(reader, chain, 3), [
      { usable: 10, raw: 10, tiers: [10, 0, 0, 0] },
      { usable: 0, raw: 0, tiers: [0, 0, 0, 0] },
      { usable: 6, raw: 6, tiers: [0, 2, 4, 0] },
    ]);
  });

  test('the limit caps what is usable, not the raw run', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 10);
    addChain(writer, writer.openEndpoint(0), chain, 1);
    assert.deepEqual(matchAll(reader, chain, 1, 7), [{ usable: 7, raw: 10, tiers: [0, 7, 0, 0] }]);
    assert.deepEqual(matchAll(reader, chain, 1, 0), [{ usable: 0, raw: 10, tiers: [0, 0, 0, 0] }]);
  });

  test('a missing block ends the run, and blocks behind it count again once it is back', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 8);
    const endpoint = writer.openEndpoint(0);
    addChain(writer, endpoint, chain);
    const hole = chainOf(chain.keys.slice(3, 4));
    removeChain(writer, endpoint, hole);
    assert.equal(usableOf(reader, chain), 3);
    addChain(writer, endpoint, hole);
    assert.equal(usableOf(reader, chain), 8);
  });

  test('an empty prompt and an unknown one match nothing', () => {
    const { writer, reader, random } = open(core);
    addChain(writer, writer.openEndpoint(0), randomChain(random, 8));
    assert.equal(usableOf(reader, chainOf([])), 0);
    assert.equal(usableOf(reader, randomChain(random, 50)), 0);
  });

  test('keys with zero words and the highest words are keys like any other', () => {
    const { writer, reader } = open(core);
    const words = [0, 1, 0x40000000, 0x80000000, 0xffffffff];
    const lows = words.filter((word) => word !== 1);
    const chain = chainOf(lows.flatMap((low) => words.map((high) => ({ low, high }))));
    const endpoint = writer.openEndpoint(0);
    for (const { low, high } of chain.keys) {
      // High words 0 and 1 share a tag: the second of them is there already.
      assert.equal(writer.add(endpoint, 0, 0, low, high), high === 1 ? 'unchanged' : 'done');
    }
    assert.equal(usableOf(reader, chain), chain.keys.length);
  });

  test('adding twice and removing twice change nothing, and say so', () => {
    const { writer, owner, random } = open(core);
    const { low, high } = randomChain(random, 1).keys[0] ?? { low: 0, high: 0 };
    const endpoint = writer.openEndpoint(0);
    const statuses = [
      writer.remove(endpoint, 0, 0, low, high),
      writer.add(endpoint, 0, 0, low, high),
      writer.add(endpoint, 0, 0, low, high),
      writer.add(endpoint, 3, 0, low, high),
      writer.remove(endpoint, 0, 0, low, high),
      writer.remove(endpoint, 0, 0, low, high),
    ];
    assert.deepEqual(statuses, ['unchanged', 'done', 'unchanged', 'done', 'done', 'unchanged']);
    assert.equal(owner.stats().blocks, 1);
  });
}

function groups(core: BlockIndexCore): void {
  test('a group with a window needs its last blocks too', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 10);
    const endpoint = writer.openEndpoint(0);
    writer.setGroupWindow(endpoint, 1, 3);
    addChain(writer, endpoint, chain);
    const usable = (): number => usableOf(reader, chain);
    assert.equal(usable(), 0);
    addChain(writer, endpoint, chainOf(chain.keys.slice(7)), 0, 1);
    assert.equal(usable(), 10);
    removeChain(writer, endpoint, chainOf(chain.keys.slice(9)), 0, 1);
    assert.equal(usable(), 0);
    addChain(writer, endpoint, chainOf(chain.keys.slice(0, 2)), 0, 1);
    assert.deepEqual(matchAll(reader, chain, 1), [{ usable: 2, raw: 10, tiers: [2, 0, 0, 0] }]);
  });

  test('every group has its say, and an endpoint without windows is not asked', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 8);
    const hybrid = writer.openEndpoint(0);
    const plain = writer.openEndpoint(1);
    for (const endpoint of [hybrid, plain]) addChain(writer, endpoint, chain);
    writer.setGroupWindow(hybrid, 1, 2);
    writer.setGroupWindow(hybrid, 7, 1);
    addChain(writer, hybrid, chainOf(chain.keys.slice(2, 6)), 0, 1);
    addChain(writer, hybrid, chainOf(chain.keys.slice(4, 5)), 0, 7);
    assert.deepEqual(
      matchAll(reader, chain, 2).map(({ usable }) => usable),
      [5, 8],
    );
  });

  test('hits are multiples of the alignment, also below a missing block of a window', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 11);
    const endpoint = writer.openEndpoint(0);
    addChain(writer, endpoint, chain);
    writer.setHitAlignment(endpoint, 4);
    assert.deepEqual(matchAll(reader, chain, 1), [{ usable: 8, raw: 11, tiers: [8, 0, 0, 0] }]);
    assert.equal(matchAll(reader, chain, 1, 7)[0]?.usable, 4);
    assert.equal(matchAll(reader, chain, 1, 3)[0]?.usable, 0);
    writer.setGroupWindow(endpoint, 1, 2);
    addChain(writer, endpoint, chainOf(chain.keys.slice(0, 7)), 0, 1);
    assert.equal(usableOf(reader, chain), 4);
    writer.dropEndpoint(endpoint);
    addChain(writer, writer.openEndpoint(0), chain);
    assert.equal(usableOf(reader, chain), 11);
  });

  test('residencies of one group are not seen in another', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 4);
    const endpoint = writer.openEndpoint(0);
    for (let group = 1; group < 8; group++) addChain(writer, endpoint, chain, 0, group);
    assert.equal(usableOf(reader, chain), 0);
  });
}

function generations(core: BlockIndexCore): void {
  test('a dropped generation is forgotten at once, by any writer, and only it', () => {
    const { buffer, writer, reader, random } = open(core);
    const chain = randomChain(random, 8);
    const endpoints = [0, 1, 2].map((slot) => writer.openEndpoint(slot));
    for (const endpoint of endpoints) addChain(writer, endpoint, chain);
    writer.dropEndpoint(endpoints[0] ?? -1);
    core.writer(buffer, 1).dropSlot(1);
    const usable = (): number[] => matchAll(reader, chain, 3).map((match) => match.usable);
    assert.deepEqual(usable(), [0, 0, 8]);
    sweepAll(writer);
    assert.deepEqual(usable(), [0, 0, 8]);
  });

  test('writes to a generation that another thread dropped do nothing, even after a sweep', () => {
    const { buffer, writer, reader, random } = open(core);
    const other = core.writer(buffer, 1);
    const chain = randomChain(random, 4);
    const [key] = chain.keys;
    assert.ok(key !== undefined);
    const stale = writer.openEndpoint(0);
    other.dropSlot(0);
    assert.equal(writer.add(stale, 0, 0, key.low, key.high), 'unchanged');
    sweepAll(other);
    const reused = other.openEndpoint(1);
    addChain(other, reused, chain);
    assert.equal(writer.add(stale, 1, 0, key.low, key.high), 'unchanged');
    assert.equal(writer.remove(stale, 0, 0, key.low, key.high), 'unchanged');
    writer.setGroupWindow(stale, 1, 2);
    writer.dropEndpoint(stale);
    assert.equal(usableOf(reader, chain, 1), 4);
  });

  test('an earlier generation stays visible until it is dropped', () => {
    const { writer, reader, random } = open(core);
    const chain = randomChain(random, 8);
    const earlier = writer.openEndpoint(0);
    addChain(writer, earlier, chain);
    const later = writer.openEndpoint(0);
    addChain(writer, later, chainOf(chain.keys.slice(0, 3)), 1);
    assert.deepEqual(matchAll(reader, chain, 1), [{ usable: 8, raw: 8, tiers: [8, 0, 0, 0] }]);
    writer.dropEndpoint(earlier);
    assert.deepEqual(matchAll(reader, chain, 1), [{ usable: 3, raw: 3, tiers: [0, 3, 0, 0] }]);
  });

  test('virtual ids run out, and a sweep gives dropped ones back', () => {
    const { writer, reader, buffer, owner, random } = open(core);
    const chain = randomChain(random, 30);
    const ids = Array.from({ length: 64 }, (_, slot) => writer.openEndpoint(slot));
    assert.equal(new Set(ids).size, 64);
    assert.equal(writer.openEndpoint(0), -1);
    for (const id of ids) addChain(writer, id, chain);
    for (const id of ids) writer.dropEndpoint(id);
    assert.equal(writer.openEndpoint(0), -1);
    sweepAll(writer);
    assert.deepEqual(residue(buffer), NO_RESIDUE);
    assert.equal(owner.stats().blocks, 0);
    const again = writer.openEndpoint(0);
    assert.ok(again >= 0 && !ids.includes(again));
    assert.equal(usableOf(reader, chain), 0);
  });
}

function bounds(core: BlockIndexCore): void {
  test('a full table refuses, counts it, and takes blocks again after removals', () => {
    const { buffer, writer, owner, reader, random } = open(core, { blockCapacity: 84 });
    const { blockCapacity } = owner.stats();
    const endpoint = writer.openEndpoint(0);
    const chain = randomChain(random, blockCapacity + 20);
    const status = chain.keys.map(({ low, high }) => writer.add(endpoint, 0, 0, low, high));
    const stored = chain.keys.filter((_, block) => status[block] === 'done');
    assert.equal(stored.length, blockCapacity);
    assert.equal(owner.stats().rejected, 20);
    assert.equal(owner.stats().blocks, blockCapacity);
    for (const key of stored) assert.equal(usableOf(reader, chainOf([key])), 1);
    removeChain(writer, endpoint, chainOf(stored));
    assert.deepEqual(residue(buffer), NO_RESIDUE);
    addChain(writer, endpoint, chainOf(chain.keys.slice(-40)));
  });

  test('as many blocks as the index was laid out for are all taken', () => {
    const blockCapacity = 150_000;
    const { writer, owner, random } = open(core, { blockCapacity });
    addChain(writer, writer.openEndpoint(0), randomChain(random, blockCapacity));
    assert.equal(owner.stats().blocks, blockCapacity);
    assert.equal(owner.stats().rejected, 0);
  });

  test('with the set table full, additions are refused and removals still hold', () => {
    const { writer, owner, reader, random } = open(core);
    const { setCapacity } = owner.stats();
    const ids = Array.from({ length: 64 }, (_, slot) => writer.openEndpoint(slot));
    const chain = randomChain(random, 1);
    const [{ low, high } = { low: 0, high: 0 }] = chain.keys;
    const held = new Set<number>();
    let refused = 0;
    // A random walk through the sets of one block: far more sets than there are ids.
    for (let step = 0; step < 4 * setCapacity; step++) {
      const slot = Math.floor(random.next() * 64);
      const id = ids[slot] ?? -1;
      if (held.has(slot)) {
        assert.equal(writer.remove(id, 0, 0, low, high), 'done');
        const left = matchAll(reader, chain, 64).flatMap((match, s) => (match.usable > 0 ? s : []));
        assert.ok(!left.includes(slot), 'the removed residency is not claimed');
        // When not even a removal finds an id, the whole block goes.
        for (const other of held) if (!left.includes(other)) held.delete(other);
      } else {
        const status = writer.add(id, 0, 0, low, high);
        if (status === 'done') held.add(slot);
        else refused++;
      }
    }
    assert.ok(refused > 0, 'the walk filled the set table');
    assert.ok(owner.stats().rejected >= refused);
    sweepAll(writer);
    assert.ok(owner.stats().sets <= 1, 'a sweep frees the sets nothing refers to');
    for (const slot of held) assert.equal(writer.remove(ids[slot] ?? -1, 0, 0, low, high), 'done');
    assert.equal(owner.stats().blocks, 0);
  });

  test('sets nobody holds are freed even when most of the set table is in use', () => {
    const { writer, owner, random } = open(core, { blockCapacity: 4000 });
    const ids = Array.from({ length: 13 }, (_, slot) => writer.openEndpoint(slot));
    const inUse = Math.floor(owner.stats().setCapacity * 0.6);
    for (const [block, key] of randomChain(random, inUse).keys.entries()) {
      for (let bit = 0; bit < 12; bit++) {
        if ((((block + 1) >> bit) & 1) === 1) {
          assert.equal(writer.add(ids[bit] ?? -1, 0, 0, key.low, key.high), 'done');
        }
      }
    }
    writer.dropEndpoint(ids[12] ?? -1);
    sweepAll(writer);
    assert.equal(owner.stats().sets, inUse);
    const others = ids.slice(0, 12);
    const walk = (): string => {
      const [key] = randomChain(random, 1).keys;
      const steps = others.flatMap((id) =>
        ([1, 2, 3] as const).filter(() => random.next() < 0.5).map((tier) => [id, tier] as const),
      );
      const statuses = steps.map(([id, tier]) =>
        writer.add(id, tier, 0, key?.low ?? 0, key?.high ?? 0),
      );
      for (const [id, tier] of steps) writer.remove(id, tier, 0, key?.low ?? 0, key?.high ?? 0);
      return statuses.at(-1) ?? 'done';
    };
    let tries = 0;
    while (walk() !== 'full') assert.ok(tries++ < 10_000, 'the walk fills the set table');
    sweepAll(writer);
    assert.equal(owner.stats().sets, inUse);
    assert.equal(walk(), 'done');
  });

  test('a geometry out of bounds is refused with the bound', () => {
    for (const [geometry, message] of [
      [{ blockCapacity: 0, endpointCapacity: 64 }, /blockCapacity 0 must be/],
      [
        { blockCapacity: 1e12, endpointCapacity: 64 },
        /blockCapacity 1000000000000 must be at most/,
      ],
      [{ blockCapacity: 100, endpointCapacity: 65 }, /endpointCapacity 65 must be/],
      [{ blockCapacity: 100, endpointCapacity: 1088 }, /up to 1024/],
    ] as const) {
      assert.throws(() => core.create(geometry), message);
    }
  });
}

function recovery(core: BlockIndexCore): void {
  test('suspended, readers report nothing and writers stop; recovered, the index is empty', () => {
    const { buffer, writer, owner, reader, random } = open(core);
    const chain = randomChain(random, 20);
    const endpoint = writer.openEndpoint(0);
    addChain(writer, endpoint, chain);
    const before = owner.stats().epoch;
    owner.suspend();
    assert.equal(usableOf(reader, chain), 0);
    const [{ low, high } = { low: 0, high: 0 }] = chain.keys;
    assert.equal(writer.add(endpoint, 1, 0, low, high), 'stuck');
    assert.equal(writer.remove(endpoint, 0, 0, low, high), 'stuck');
    assert.equal(writer.sweep(1), false);
    owner.recover();
    assert.ok(owner.stats().epoch > before);
    assert.equal(owner.stats().blocks, 0);
    assert.equal(owner.stats().sets, 0);
    assert.deepEqual(residue(buffer), NO_RESIDUE);
    assert.equal(usableOf(reader, chain), 0);
    assert.equal(writer.add(endpoint, 1, 0, low, high), 'unchanged');
    addChain(writer, writer.openEndpoint(0), chain);
    assert.equal(usableOf(reader, chain), 20);
  });
}

function againstModel(core: BlockIndexCore): void {
  const start = Math.floor(Math.random() * 2 ** 31);
  for (let i = 0; i < SEQUENCES; i++) {
    const seed = start + i;
    const endpointCapacity = i % 2 === 0 ? 64 : 192;
    test(`random operations answer as the model does (seed ${seed})`, () => {
      randomOperations(core, seed, endpointCapacity);
    });
  }
}

/** Chains overlap in their first blocks, so that endpoints leave and sets change along the way. */
function overlappingChains(random: Random): readonly Chain[] {
  const chains: Chain[] = [];
  for (let i = 0; i < 12; i++) {
    const parent = chains[Math.floor(random.next() * chains.length)]?.keys ?? [];
    const shared = parent.slice(0, Math.floor(random.next() * 12));
    chains.push(chainOf([...shared, ...randomChain(random, 20 - shared.length).keys]));
  }
  return chains;
}

function randomOperations(core: BlockIndexCore, seed: number, endpointCapacity: number): void {
  const random = seededRandom(seed);
  const below = (count: number): number => Math.floor(random.next() * count);
  const buffer = core.create({ blockCapacity: 400, endpointCapacity });
  const writers = [core.writer(buffer, 0), core.writer(buffer, 1)] as const;
  const reader = core.reader(buffer);
  const owner = core.owner(buffer);
  const model = new ModelIndex();
  const chains = overlappingChains(random);
  const chain = (): Chain => chains[below(chains.length)] ?? chainOf([]);
  const ids: number[] = [];
  // Mostly open generations, some dropped ones.
  const endpoint = (): number => ids[ids.length - 1 - below(Math.min(ids.length, 16))] ?? -1;
  const writer = (): BlockIndexWriter => (random.next() < 0.5 ? writers[0] : writers[1]);
  const openOne = (): void => {
    const slot = below(SLOTS);
    const id = writer().openEndpoint(slot);
    if (id < 0) return;
    ids.push(id);
    model.open(id, slot);
  };
  for (let i = 0; i < SLOTS; i++) openOne();

  for (let step = 0; step < STEPS; step++) {
    const what = random.next();
    if (what < 0.5) writeRun(below, chain(), model, writer(), endpoint(), 'add');
    else if (what < 0.72) writeRun(below, chain(), model, writer(), endpoint(), 'remove');
    else if (what < 0.74) {
      const id = endpoint();
      const group = 1 + below(2);
      const window = 1 + below(6);
      writer().setGroupWindow(id, group, window);
      model.setWindow(id, group, window);
    } else if (what < 0.745) {
      const id = endpoint();
      const alignment = 1 + below(4);
      writer().setHitAlignment(id, alignment);
      model.setAlignment(id, alignment);
    } else if (what < 0.76) openOne();
    else if (what < 0.77) {
      const id = endpoint();
      writer().dropEndpoint(id);
      model.drop(id);
    } else if (what < 0.772) {
      const slot = below(SLOTS);
      writer().dropSlot(slot);
      model.dropSlot(slot);
    } else if (what < 0.82) writer().sweep(1 + below(60));
    else {
      const asked = chain();
      const limit = below(asked.keys.length + 1);
      assert.deepEqual(
        matchAll(reader, asked, SLOTS, limit),
        Array.from({ length: SLOTS }, (_, slot) => model.match(asked.keys, limit, slot)),
        `seed ${seed}, step ${step}`,
      );
    }
  }
  sweepAll(writers[0]);
  assert.equal(owner.stats().blocks, model.blocks());
  for (let slot = 0; slot < SLOTS; slot++) writers[1].dropSlot(slot);
  sweepAll(writers[1]);
  assert.deepEqual(residue(buffer), NO_RESIDUE);
  assert.equal(owner.stats().blocks, 0);
}

/** Adds or removes a few consecutive blocks; the index refuses only when it is full. */
function writeRun(
  below: (count: number) => number,
  chain: Chain,
  model: ModelIndex,
  writer: BlockIndexWriter,
  virtualId: number,
  operation: 'add' | 'remove',
): void {
  const from = below(2) === 0 ? 0 : below(chain.keys.length);
  const tier = below(4) as TierNumber;
  const group = below(3) === 0 ? 1 + below(2) : 0;
  for (const key of chain.keys.slice(from, from + 1 + below(10))) {
    const status = writer[operation](virtualId, tier, group, key.low, key.high);
    if (status === 'full') continue;
    assert.equal(model[operation](virtualId, tier, group, key), status);
  }
}
