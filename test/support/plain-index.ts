// A block index in a few plain maps: what the appliers' tests write to, and the rule of
// wire-formats §2 spelled out for reading. Slow and obvious on purpose.

import assert from 'node:assert/strict';
import type { BlockIndexWriter, IndexWriteStatus } from '#contracts/block-index.js';

interface Generation {
  readonly slot: number;
  /** `group/tier/high/low` of every residency. */
  readonly residencies: Set<string>;
  readonly windows: Map<number, number>;
  alignment: number;
}

export class PlainIndex implements BlockIndexWriter {
  readonly #generations = new Map<number, Generation>();
  #next = 0;
  /** Answers of add and remove from now on, for failure tests. */
  failWith: IndexWriteStatus | null = null;

  openEndpoint(slot: number): number {
    const virtualId = this.#next;
    this.#next += 1;
    const windows = new Map<number, number>();
    this.#generations.set(virtualId, { slot, residencies: new Set(), windows, alignment: 1 });
    return virtualId;
  }

  dropEndpoint(virtualId: number): void {
    this.#generations.delete(virtualId);
  }

  dropSlot(slot: number): void {
    for (const [virtualId, generation] of this.#generations) {
      if (generation.slot === slot) this.#generations.delete(virtualId);
    }
  }

  setGroupWindow(virtualId: number, group: number, windowBlocks: number): void {
    assert.ok(windowBlocks >= 1 && group >= 1 && group < 8, `window ${windowBlocks} of ${group}`);
    this.#generations.get(virtualId)?.windows.set(group, windowBlocks);
  }

  setHitAlignment(virtualId: number, alignmentBlocks: number): void {
    const generation = this.#generations.get(virtualId);
    if (generation !== undefined) generation.alignment = alignmentBlocks;
  }

  add(virtualId: number, tier: number, group: number, low: number, high: number): IndexWriteStatus {
    const generation = this.#generations.get(virtualId);
    if (this.failWith !== null || generation === undefined) return this.failWith ?? 'unchanged';
    const residency = `${group}/${tier}/${high}/${low}`;
    if (generation.residencies.has(residency)) return 'unchanged';
    generation.residencies.add(residency);
    return 'done';
  }

  remove(
    virtualId: number,
    tier: number,
    group: number,
    low: number,
    high: number,
  ): IndexWriteStatus {
    const generation = this.#generations.get(virtualId);
    if (this.failWith !== null || generation === undefined) return this.failWith ?? 'unchanged';
    return generation.residencies.delete(`${group}/${tier}/${high}/${low}`) ? 'done' : 'unchanged';
  }

  sweep(): boolean {
    return true;
  }

  /** Residencies of the slot's generations. */
  residencies(slot: number): readonly string[] {
    return this.#of(slot).flatMap((generation) => [...generation.residencies]);
  }

  windows(slot: number): ReadonlyMap<number, number> {
    return new Map(this.#of(slot).flatMap((generation) => [...generation.windows]));
  }

  /** Whether a block is resident, in one tier or in any. */
  has(slot: number, group: number, low: number, high: number, tier?: number): boolean {
    const tiers = tier === undefined ? [0, 1, 2, 3] : [tier];
    return this.#of(slot).some((generation) =>
      tiers.some((one) => generation.residencies.has(`${group}/${one}/${high}/${low}`)),
    );
  }

  /** Greatest aligned L ≤ limit whose prefix and every group's window before L are resident. */
  usableBlocks(slot: number, keys: Uint32Array, limit: number): number {
    const holds = (group: number, block: number) =>
      this.has(slot, group, keys[2 * block] ?? 0, keys[2 * block + 1] ?? 0);
    let run = 0;
    while (run < limit && holds(0, run)) run += 1;
    for (let length = run; length > 0; length -= 1) {
      let usable = this.#of(slot).every(({ alignment }) => length % alignment === 0);
      for (const [group, window] of this.windows(slot)) {
        for (let block = Math.max(0, length - window); block < length; block += 1) {
          if (!holds(group, block)) usable = false;
        }
      }
      if (usable) return length;
    }
    return 0;
  }

  #of(slot: number): readonly Generation[] {
    return [...this.#generations.values()].filter((generation) => generation.slot === slot);
  }
}
