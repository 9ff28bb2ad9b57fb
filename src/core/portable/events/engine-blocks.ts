// What one publisher's stream has told: engine key → prefix it stands for, with the number of
// physical copies per (KV group, tier), and the residencies that follow from it. The applier calls
// it; every index write of the portable core comes from here. Invariant: a residency is in the
// index exactly while every engine block that overlaps it has a copy in that group and tier.

import { type EngineKey, TIER_COUNT, type TierNumber } from '#contracts/block.js';
import type { BlockIndexWriter, IndexWriteStatus } from '#contracts/block-index.js';
import { BLOCK_PARTS_MAX, ENGINE_BLOCKS_MAX } from '#contracts/limits.js';
import type { BlockKey } from '../keys.js';
import { isSameTail, type Tail } from './tail.js';

/** The prefix that ends with an engine block. */
export interface EngineBlock {
  readonly engineKey: EngineKey;
  /** Key of the last whole canonical block (the namespace's seed when there is none yet). */
  readonly end: BlockKey;
  readonly tail: Tail | null;
  /** First of its copies per group; a list, because most models have one group. */
  copies: Copies | null;
}

/** Physical copies of an engine block in one KV group. */
interface Copies {
  readonly block: EngineBlock;
  readonly group: number;
  readonly next: Copies | null;
  /** Whole canonical blocks inside it, low and high words; null until a store has told. */
  keys: readonly number[] | null;
  /** Canonical blocks it is only a part of. */
  joints: Joint[] | null;
  readonly byTier: number[];
}

/** A canonical block made of several engine blocks. */
interface Joint {
  readonly key: BlockKey;
  readonly group: number;
  readonly parts: readonly Copies[];
  /** Parts with a copy, by tier. */
  readonly present: number[];
}

/** Where one engine block lies among canonical blocks. */
export interface Span {
  /** Whole canonical blocks inside it: low word, high word, … */
  readonly keys: readonly number[];
  /** Canonical block that it completes together with earlier engine blocks. */
  readonly joint: { readonly key: BlockKey; readonly sources: readonly EngineBlock[] } | null;
}

/** Failures of writing, collected over one frame. */
export interface WriteTally {
  indexFull: number;
  stuck: boolean;
}

const NO_KEYS: readonly number[] = [];

/** All engine blocks of one publisher's generation. */
export class EngineBlocks {
  readonly #writer: BlockIndexWriter;
  readonly #tally: WriteTally;
  readonly #byKey = new Map<EngineKey, EngineBlock>();
  /** Residencies that more than one engine block stands for → number of the others. */
  readonly #otherOwners = new Map<string, number>();
  virtualId: number;

  constructor(writer: BlockIndexWriter, virtualId: number, tally: WriteTally) {
    this.#writer = writer;
    this.virtualId = virtualId;
    this.#tally = tally;
  }

  get size(): number {
    return this.#byKey.size;
  }

  find(engineKey: EngineKey): EngineBlock | undefined {
    return this.#byKey.get(engineKey);
  }

  /** Forgets everything; the caller has dropped the generation in the index. */
  clear(virtualId: number): void {
    this.#byKey.clear();
    this.#otherOwners.clear();
    this.virtualId = virtualId;
  }

  /**
   * Returns the block of that engine key, made when it is new; null when there are too many, or too
   * many that one canonical block would be made of. An
   * engine key that stood for another prefix (SGLang ≤ 0.5.5 hashes a page without its context)
   * now stands for this one; what it told before is taken back.
   */
  ensure(engineKey: EngineKey, end: BlockKey, tail: Tail | null): EngineBlock | null {
    const known = this.#byKey.get(engineKey);
    if (known !== undefined) {
      if (isSamePrefix(known, end, tail)) return known;
      this.#forget(known);
    }
    if (this.#byKey.size >= ENGINE_BLOCKS_MAX || (tail?.parts ?? 0) >= BLOCK_PARTS_MAX) {
      this.#tally.indexFull += 1;
      return null;
    }
    const block: EngineBlock = { engineKey, end, tail, copies: null };
    this.#byKey.set(engineKey, block);
    return block;
  }

  /** Counts one more physical copy, whose place among canonical blocks is known. */
  addCopy(block: EngineBlock, group: number, tier: TierNumber, span: Span): void {
    const copies = this.#copiesOf(block, group);
    if (copies.keys === null) {
      copies.keys = span.keys;
      if (span.joint !== null) this.#join(copies, span.joint.key, span.joint.sources);
    }
    this.#increase(copies, tier);
  }

  /**
   * Counts one more copy of a block known by its hash alone: it ends where that of group 0 ends,
   * and reaches back over `keyCount` canonical blocks, if that one does.
   */
  addCopyByHash(block: EngineBlock, group: number, tier: TierNumber, keyCount: number): void {
    const copies = this.#copiesOf(block, group);
    copies.keys ??= this.primaryKeys(block).slice(-2 * keyCount);
    this.#increase(copies, tier);
  }

  /** Whole canonical blocks inside the block of group 0 with that hash; empty when not known. */
  primaryKeys(block: EngineBlock): readonly number[] {
    return findCopies(block, 0)?.keys ?? NO_KEYS;
  }

  /** Counts one copy less; false when none was known. */
  removeCopy(engineKey: EngineKey, group: number, tier: TierNumber): boolean {
    const block = this.#byKey.get(engineKey);
    if (block === undefined) return false;
    const copies = findCopies(block, group);
    const count = copies?.byTier[tier] ?? 0;
    if (copies === null || count === 0) return false;
    copies.byTier[tier] = count - 1;
    if (count === 1) {
      this.#vanish(copies, tier);
      this.#releaseUnused(block);
    }
    return true;
  }

  #increase(copies: Copies, tier: TierNumber): void {
    const count = copies.byTier[tier] ?? 0;
    copies.byTier[tier] = count + 1;
    if (count > 0) return;
    const keys = copies.keys ?? NO_KEYS;
    for (let i = 0; i < keys.length; i += 2) {
      this.#write('add', copies.group, tier, keys[i] as number, keys[i + 1] as number);
    }
    for (const joint of copies.joints ?? []) {
      const present = (joint.present[tier] ?? 0) + 1;
      joint.present[tier] = present;
      if (present === joint.parts.length) {
        this.#write('add', joint.group, tier, joint.key.low, joint.key.high);
      }
    }
  }

  /** The last copy in a tier has gone. */
  #vanish(copies: Copies, tier: TierNumber): void {
    const keys = copies.keys ?? NO_KEYS;
    for (let i = 0; i < keys.length; i += 2) {
      this.#write('remove', copies.group, tier, keys[i] as number, keys[i + 1] as number);
    }
    for (const joint of [...(copies.joints ?? [])]) {
      const present = joint.present[tier] ?? 0;
      if (present === joint.parts.length) {
        this.#write('remove', joint.group, tier, joint.key.low, joint.key.high);
      }
      joint.present[tier] = present - 1;
      if (joint.present.every((count) => count === 0)) this.#unjoin(joint);
    }
  }

  #join(last: Copies, key: BlockKey, sources: readonly EngineBlock[]): void {
    const parts = [
      ...sources.map((source) => this.#copiesOf(this.#current(source), last.group)),
      last,
    ];
    const present = new Array<number>(TIER_COUNT).fill(0);
    for (const part of parts) {
      for (let tier = 0; tier < TIER_COUNT; tier += 1) {
        if ((part.byTier[tier] ?? 0) > 0) present[tier] = (present[tier] ?? 0) + 1;
      }
    }
    const joint: Joint = { key, group: last.group, parts, present };
    for (const part of parts) {
      part.joints ??= [];
      part.joints.push(joint);
    }
  }

  /** The block of today for one that may have been forgotten since, or stored again. */
  #current(source: EngineBlock): EngineBlock {
    const known = this.#byKey.get(source.engineKey);
    if (known === undefined) this.#byKey.set(source.engineKey, source);
    else if (isSamePrefix(known, source.end, source.tail)) return known;
    return source;
  }

  /** Dissolves a joint without copies; the next store of its last block makes it anew. */
  #unjoin(joint: Joint): void {
    const last = joint.parts.at(-1);
    if (last !== undefined) last.keys = null;
    for (const part of joint.parts) {
      const others = (part.joints ?? []).filter((other) => other !== joint);
      part.joints = others.length === 0 ? null : others;
      this.#releaseUnused(part.block);
    }
  }

  #copiesOf(block: EngineBlock, group: number): Copies {
    const known = findCopies(block, group);
    if (known !== null) return known;
    const byTier = new Array<number>(TIER_COUNT).fill(0);
    const copies = { block, group, next: block.copies, keys: null, joints: null, byTier };
    block.copies = copies;
    return copies;
  }

  /** Forgets a block without copies, unless a canonical block still counts on it. */
  #releaseUnused(block: EngineBlock): void {
    for (let copies = block.copies; copies !== null; copies = copies.next) {
      if (copies.joints !== null || copies.byTier.some((count) => count > 0)) return;
    }
    if (this.#byKey.get(block.engineKey) === block) this.#byKey.delete(block.engineKey);
  }

  #forget(block: EngineBlock): void {
    for (let copies = block.copies; copies !== null; copies = copies.next) {
      for (const [tier, count] of copies.byTier.entries()) {
        if (count === 0) continue;
        copies.byTier[tier] = 0;
        this.#vanish(copies, tier as TierNumber);
      }
    }
    this.#byKey.delete(block.engineKey);
  }

  /**
   * Writes one residency. Two engine blocks may stand for the same one (an adapter loaded from
   * another path, look-ahead hashing): the index says so, and the last of them removes it.
   */
  #write(
    action: 'add' | 'remove',
    group: number,
    tier: TierNumber,
    low: number,
    high: number,
  ): void {
    if (this.#tally.stuck) return;
    if (action === 'remove' && this.#releaseOtherOwner(group, tier, low, high)) return;
    const status: IndexWriteStatus =
      this.virtualId < 0 ? 'full' : this.#writer[action](this.virtualId, tier, group, low, high);
    if (status === 'stuck') this.#tally.stuck = true;
    else if (action === 'add' && status === 'full') this.#tally.indexFull += 1;
    else if (action === 'add' && status === 'unchanged') {
      const residency = residencyOf(group, tier, low, high);
      this.#otherOwners.set(residency, (this.#otherOwners.get(residency) ?? 0) + 1);
    }
  }

  #releaseOtherOwner(group: number, tier: TierNumber, low: number, high: number): boolean {
    if (this.#otherOwners.size === 0) return false;
    const residency = residencyOf(group, tier, low, high);
    const others = this.#otherOwners.get(residency);
    if (others === undefined) return false;
    if (others === 1) this.#otherOwners.delete(residency);
    else this.#otherOwners.set(residency, others - 1);
    return true;
  }
}

function residencyOf(group: number, tier: TierNumber, low: number, high: number): string {
  return `${group}/${tier}/${high}/${low}`;
}

function findCopies(block: EngineBlock, group: number): Copies | null {
  let copies = block.copies;
  while (copies !== null && copies.group !== group) copies = copies.next;
  return copies;
}

function isSamePrefix(block: EngineBlock, end: BlockKey, tail: Tail | null): boolean {
  if (block.end.low !== end.low || block.end.high !== end.high) return false;
  if (block.tail === null || tail === null) return block.tail === tail;
  return isSameTail(block.tail, tail);
}
