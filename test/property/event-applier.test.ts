// A random legal stream of one publisher, against a model that knows nothing of request keys: the
// engine blocks of every sequence, and their copies. After every frame the index must hold exactly
// the canonical blocks under which every engine block has a copy.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Random } from '#contracts/random.js';
import { seededRandom } from '#contracts/random.js';
import { createEventApplier as createNativeApplier } from '#core/native/events/applier.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import {
  type AppliedIndex,
  type ApplierCore,
  plainCore,
  sharedCore,
} from '#test/support/applied-index.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { goldenFile } from '#test/support/paths.js';
import { encodeEventBatch, type MsgpackValue } from '#wire/msgpack-encode.js';

const CANONICAL = 16;
const GROUPS = 2;
const MEDIA = ['GPU', 'CPU'] as const;
const SECRET = 5n;

interface ModelBlock {
  readonly hash: number;
  readonly parent: ModelBlock | null;
  /** All token ids of the prefix that ends with this block. */
  readonly path: readonly number[];
  readonly start: number;
  readonly salt: string;
  /** [group][tier] → copies */
  readonly copies: number[][];
}

class Model {
  readonly blocks: ModelBlock[] = [];
  #nextHash = 1;

  child(parent: ModelBlock | null, page: readonly number[], salt: string): ModelBlock {
    const path = [...(parent?.path ?? []), ...page];
    const same = this.blocks.find(
      (block) =>
        block.parent === parent && block.salt === salt && block.path.join() === path.join(),
    );
    if (same !== undefined) return same;
    const copies = Array.from({ length: GROUPS }, () => MEDIA.map(() => 0));
    const start = parent?.path.length ?? 0;
    const block = { hash: this.#nextHash, parent, path, start, salt, copies };
    this.#nextHash += 1;
    this.blocks.push(block);
    return block;
  }

  resident(): readonly ModelBlock[] {
    return this.blocks.filter((block) => block.copies.flat().some((count) => count > 0));
  }

  clear(): void {
    for (const { copies } of this.blocks) for (const tiers of copies) tiers.fill(0);
  }

  /** Names of every canonical block whose engine blocks all have a copy. */
  residencies(index: AppliedIndex): ReadonlySet<string> {
    const expected = new Set<string>();
    for (const block of this.blocks) {
      const first = Math.floor(block.start / CANONICAL);
      const last = Math.floor(block.path.length / CANONICAL);
      const keys = new Uint32Array(2 * last);
      const namespace = { pool: 'm', adapter: '', cacheSalt: block.salt };
      const seed = namespaceSeed(SECRET, namespace);
      chainKeys(seed, Uint32Array.from(block.path), CANONICAL, keys);
      for (let i = first; i < last; i += 1) {
        for (let group = 0; group < GROUPS; group += 1) {
          for (const tier of MEDIA.keys()) {
            if (isCovered(block, i * CANONICAL, group, tier)) {
              expected.add(index.nameOf(group, tier, keys[2 * i] ?? 0, keys[2 * i + 1] ?? 0));
            }
          }
        }
      }
    }
    return expected;
  }
}

/** Whether all engine blocks from the one ending at or after the border back to `from` have copies. */
function isCovered(last: ModelBlock, from: number, group: number, tier: number): boolean {
  for (let block: ModelBlock | null = last; block !== null; block = block.parent) {
    if (block.path.length <= from) return true;
    if ((block.copies[group]?.[tier] ?? 0) === 0) return false;
  }
  return true;
}

function pick<T>(random: Random, values: readonly T[]): T | undefined {
  return values[Math.floor(random.next() * values.length)];
}

function randomStore(model: Model, random: Random, pageSize: number): MsgpackValue {
  const parent = random.next() < 0.2 ? null : (pick(random, model.resident()) ?? null);
  const salt = parent?.salt ?? (random.next() < 0.3 ? 'salt' : '');
  const group = random.next() < 0.7 ? 0 : 1;
  const tier = random.next() < 0.7 ? 0 : 1;
  const chain: ModelBlock[] = [];
  let last = parent;
  const pages = 1 + Math.floor(random.next() * (2 + 48 / pageSize));
  for (let page = 0; page < pages; page += 1) {
    // Few different pages, so that branches, duplicates and re-stores are common.
    const first = Math.floor(random.next() * 2) * 1000;
    last = model.child(
      last,
      Array.from({ length: pageSize }, (_, i) => first + i),
      salt,
    );
    chain.push(last);
  }
  for (const block of chain) {
    const tiers = block.copies[group];
    if (tiers !== undefined) tiers[tier] = (tiers[tier] ?? 0) + 1;
  }
  const start = chain[0]?.start ?? 0;
  return {
    type: 'BlockStored',
    block_hashes: chain.map((block) => block.hash),
    parent_block_hash: parent?.hash ?? null,
    token_ids: (last?.path ?? []).slice(start),
    block_size: pageSize,
    medium: MEDIA[tier] ?? null,
    cache_salt: salt === '' ? null : salt,
    group_idx: group,
  };
}

function randomRemove(model: Model, random: Random): MsgpackValue | null {
  const block = pick(random, model.resident());
  if (block === undefined) return null;
  const held = block.copies.flatMap((tiers, group) =>
    tiers.flatMap((count, tier) => (count > 0 ? [{ group, tier }] : [])),
  );
  const copy = pick(random, held);
  const tiers = block.copies[copy?.group ?? 0];
  if (copy === undefined || tiers === undefined) return null;
  tiers[copy.tier] = (tiers[copy.tier] ?? 0) - 1;
  const medium = MEDIA[copy.tier] ?? null;
  return { type: 'BlockRemoved', block_hashes: [block.hash], medium, group_idx: copy.group };
}

interface Core {
  readonly name: string;
  readonly skip: string | false;
  readonly create: ApplierCore;
}

const CORES: readonly Core[] = [
  { name: 'portable', skip: false, create: plainCore },
  {
    name: 'native',
    skip: nativeSkip,
    create: sharedCore((index, writerId, hashSecret) =>
      createNativeApplier(nativeAddon(), { index, writerId, hashSecret }),
    ),
  },
];

const seed = 20_260_731;
for (const { core, pageSize } of CORES.flatMap((core) =>
  [1, 4, 10, 16, 24, 32].map((pageSize) => ({ core, pageSize })),
)) {
  const title = `${core.name}, pages of ${pageSize}: the index always equals the model`;
  test(`${title} (seed ${seed})`, { skip: core.skip }, () => {
    const random = seededRandom(seed + pageSize);
    const { applier, index } = core.create(SECRET);
    applier.open(0, { pool: 'm', blockSize: CANONICAL });
    let model = new Model();
    let mostResidencies = 0;
    for (let step = 0; step < (pageSize < 10 ? 80 : 200); step += 1) {
      const events: MsgpackValue[] = [];
      const count = 1 + Math.floor(random.next() * 3);
      for (let i = 0; i < count; i += 1) {
        const stores = random.next() < 0.45;
        const event = stores ? randomStore(model, random, pageSize) : randomRemove(model, random);
        if (event !== null) events.push(event);
      }
      if (random.next() < 0.01) {
        model.clear();
        model = new Model();
        events.push(['AllBlocksCleared']);
      }
      const payload = encodeEventBatch({ timestamp: step, events, dataParallelRank: 0 });
      const result = applier.apply(0, payload);
      const context = `seed ${seed}, page size ${pageSize}, step ${step}`;
      assert.equal(result.status, 'applied', context);
      assert.deepEqual([result.unknownBlocks, result.unknownParents], [0, 0], context);
      const expected = model.residencies(index);
      assert.deepEqual(new Set(index.residencies(0)), expected, context);
      mostResidencies = Math.max(mostResidencies, expected.size);
    }
    assert.ok(mostResidencies > 10, 'the stream stored something');
  });
}

for (const core of CORES) {
  const title = `${core.name}: damaged engine frames never throw and never disturb another publisher`;
  test(`${title} (seed ${seed})`, { skip: core.skip }, () => damagedFrames(core));
}

function damagedFrames(core: Core): void {
  const random = seededRandom(seed);
  const { applier, index } = core.create(SECRET);
  const file = goldenFile('vllm-0.33.0-event-batches.json');
  const cases: readonly { payload_hex: string }[] = JSON.parse(readFileSync(file, 'utf8')).cases;
  const payloads = cases.map(({ payload_hex }) => Buffer.from(payload_hex, 'hex'));
  applier.open(0, { pool: 'm', blockSize: CANONICAL });
  applier.open(1, { pool: 'm', blockSize: CANONICAL });
  for (const payload of payloads) applier.apply(1, payload);
  const untouched = index.residencies(1);
  let applied = 0;
  for (let round = 0; round < 5000; round += 1) {
    const damaged = Buffer.from(pick(random, payloads) ?? []);
    const changes = Math.floor(random.next() * 3);
    for (let change = 0; change < changes; change += 1) {
      damaged[Math.floor(random.next() * damaged.length)] = Math.floor(random.next() * 256);
    }
    const result = applier.apply(0, damaged);
    if (result.status === 'applied') applied += 1;
    else assert.ok(result.detail.length > 0, `round ${round}`);
  }
  assert.ok(applied > 500 && applied < 5000, `${applied} applied`);
  assert.deepEqual(index.residencies(1), untouched);
}
