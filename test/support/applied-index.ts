// What an event applier has written, seen two ways: in the plain maps that the portable applier can
// write to, and in the bytes of a real index, which is where the native one writes.

import type { TierNumber } from '#contracts/block.js';
import type { EventApplier } from '#contracts/core.js';
import {
  BUCKET,
  BUCKET_SLOTS,
  DISPLACEMENT_SHIFT,
  MASKS,
  OWNER_SLOT_MASK,
  SET_ID_MASK,
  SLOT,
  VIRTUAL_ENDPOINT,
} from '#contracts/index-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { groupHigh, groupLow, homeOf, tagOf } from '#core/portable/index/buckets.js';
import { type IndexMemory, openMemory } from '#core/portable/index/memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { PlainIndex } from '#test/support/plain-index.js';

/** What tests ask of an index. */
export interface AppliedIndex {
  /** Names of the residencies of the slot's generations. */
  residencies(slot: number): readonly string[];
  /** The name a residency has in `residencies`. */
  nameOf(group: number, tier: number, low: number, high: number): string;
  windows(slot: number): ReadonlyMap<number, number>;
  has(slot: number, group: number, low: number, high: number): boolean;
  /** Usable blocks of a prompt by the rule of wire-formats §2. */
  usableBlocks(slot: number, keys: Uint32Array, limit: number): number;
  /** From now on every write is refused: no room, or a lock whose owner has died. */
  refuse(how: 'full' | 'stuck'): void;
}

/** A way to make an applier and to see what it writes. */
export type ApplierCore = (secret: bigint) => {
  readonly applier: EventApplier;
  readonly index: AppliedIndex;
};

/** The portable applier over plain maps. */
export const plainCore: ApplierCore = (secret) => {
  const plain = new PlainIndex();
  const index: AppliedIndex = {
    residencies: (slot) => plain.residencies(slot),
    nameOf: (group, tier, low, high) => `${group}/${tier}/${high}/${low}`,
    windows: (slot) => plain.windows(slot),
    has: (slot, group, low, high) => plain.has(slot, group, low, high),
    usableBlocks: (slot, keys, limit) => plain.usableBlocks(slot, keys, limit),
    refuse: (how) => {
      plain.failWith = how;
    },
  };
  return { applier: createEventApplier(plain, secret), index };
};

/** An applier of any core over a real index. */
export function sharedCore(
  create: (index: SharedArrayBuffer, writerId: number, secret: bigint) => EventApplier,
): ApplierCore {
  return (secret) => {
    // 960 slots, and every bucket within reach of every other, so that it can be filled.
    const buffer = createBlockIndex({ blockCapacity: 720, endpointCapacity: 64 });
    return { applier: create(buffer, 0, secret), index: new SharedIndex(buffer) };
  };
}

const TIERS: readonly TierNumber[] = [0, 1, 2, 3];

/** Reads a real index slot by slot; a residency is named by tier, home bucket and tag. */
export class SharedIndex implements AppliedIndex {
  readonly #buffer: SharedArrayBuffer;
  readonly #memory: IndexMemory;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#buffer = buffer;
    this.#memory = openMemory(buffer);
    this.#words = this.#memory.words;
  }

  nameOf(group: number, tier: number, low: number, high: number): string {
    const home = homeOf(groupLow(low, group), this.#memory.bucketCount);
    return `${tier}/${home}/${tagOf(groupHigh(high, group))}`;
  }

  residencies(slot: number): readonly string[] {
    const ids = this.#idsOf(slot);
    const { buckets, bucketCount } = this.#memory;
    const found: string[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket += 1) {
      for (let i = 0; i < BUCKET_SLOTS; i += 1) {
        const at = buckets + bucket * BUCKET.words + BUCKET.slots + i * SLOT.words;
        const setWord = this.#words[at + SLOT.set] ?? 0;
        if (setWord === 0) continue;
        const home = (bucket + bucketCount - (setWord >>> DISPLACEMENT_SHIFT)) % bucketCount;
        for (const tier of TIERS) {
          const held = ids.some((id) => this.#setHolds(setWord & SET_ID_MASK, tier, id));
          if (held) found.push(`${tier}/${home}/${this.#words[at]}`);
        }
      }
    }
    return found;
  }

  windows(slot: number): ReadonlyMap<number, number> {
    const windows = new Map<number, number>();
    for (const id of this.#idsOf(slot)) {
      for (let group = 1; group < 8; group += 1) {
        const window = this.#words[this.#record(id) + VIRTUAL_ENDPOINT.windows + group - 1] ?? 0;
        if (window !== 0) windows.set(group, window);
      }
    }
    return windows;
  }

  /** What hits of the slot's generations are multiples of, 0 where nothing was declared. */
  alignment(slot: number): readonly number[] {
    return this.#idsOf(slot).map(
      (id) => this.#words[this.#record(id) + VIRTUAL_ENDPOINT.alignment] ?? 0,
    );
  }

  has(slot: number, group: number, low: number, high: number): boolean {
    const held = new Set(this.residencies(slot));
    return TIERS.some((tier) => held.has(this.nameOf(group, tier, low, high)));
  }

  usableBlocks(slot: number, keys: Uint32Array, limit: number): number {
    const slots = this.#memory.endpointCapacity;
    const result = {
      usableBlocks: new Uint32Array(slots),
      tierBlocks: new Uint32Array(slots * 4),
      rawBlocks: new Uint32Array(slots),
    };
    openIndexReader(this.#buffer).match(keys, keys.length / 2, limit, result);
    return result.usableBlocks[slot] ?? 0;
  }

  refuse(how: 'full' | 'stuck'): void {
    if (how === 'stuck') {
      openIndexOwner(this.#buffer).suspend();
      return;
    }
    const writer = openIndexWriter(this.#buffer, 63);
    const id = writer.openEndpoint(63);
    const { blockCapacity } = openIndexOwner(this.#buffer).stats();
    for (let key = 0; openIndexOwner(this.#buffer).stats().blocks < blockCapacity; key += 1) {
      writer.add(id, 0, 0, Math.imul(key, 0x9e3779b1), key + 2);
    }
  }

  #idsOf(slot: number): readonly number[] {
    const { masks, maskWords, endpointCapacity } = this.#memory;
    return [...Array(endpointCapacity).keys()].filter((id) => {
      const alive = this.#words[masks + MASKS.alive * maskWords + (id >> 5)] ?? 0;
      const owner = this.#words[this.#record(id) + VIRTUAL_ENDPOINT.owner] ?? 0;
      return ((alive >>> (id & 31)) & 1) === 1 && (owner & OWNER_SLOT_MASK) === slot + 1;
    });
  }

  #record(id: number): number {
    return this.#memory.endpoints + id * VIRTUAL_ENDPOINT.words;
  }

  #setHolds(setId: number, tier: number, id: number): boolean {
    const { setBits, maskWords } = this.#memory;
    const word = this.#words[setBits + (setId * 4 + tier) * maskWords + (id >> 5)] ?? 0;
    return ((word >>> (id & 31)) & 1) === 1;
  }
}
