// The block index as plain maps: what the real one must answer, with nothing shared, packed or
// concurrent. Virtual ids are given by the index under test, so that both speak of the same ones.

import type { IndexWriteStatus } from '#contracts/block-index.js';

/** A key as one comparable value. */
export interface ModelKey {
  readonly low: number;
  readonly high: number;
}

export interface ModelMatch {
  readonly usable: number;
  readonly raw: number;
  readonly tiers: readonly number[];
}

interface Generation {
  readonly slot: number;
  readonly windows: Map<number, number>;
  /** Group and key → tiers that hold it. */
  readonly residencies: Map<string, Set<number>>;
  alignment: number;
}

/** Ties between generations of one slot go to the lower bit, which is the id modulo 1,024. */
const BITS = 1024;

export class ModelIndex {
  readonly #generations: Map<number, Generation> = new Map();

  open(virtualId: number, slot: number): void {
    const [windows, residencies] = [new Map(), new Map()];
    this.#generations.set(virtualId, { slot, windows, residencies, alignment: 1 });
  }

  drop(virtualId: number): void {
    this.#generations.delete(virtualId);
  }

  dropSlot(slot: number): void {
    for (const [virtualId, generation] of this.#generations) {
      if (generation.slot === slot) this.#generations.delete(virtualId);
    }
  }

  setWindow(virtualId: number, group: number, windowBlocks: number): void {
    this.#generations.get(virtualId)?.windows.set(group, windowBlocks);
  }

  setAlignment(virtualId: number, alignment: number): void {
    const generation = this.#generations.get(virtualId);
    if (generation !== undefined) generation.alignment = alignment;
  }

  add(virtualId: number, tier: number, group: number, key: ModelKey): IndexWriteStatus {
    const generation = this.#generations.get(virtualId);
    if (generation === undefined) return 'unchanged';
    const name = nameOf(group, key);
    const tiers = generation.residencies.get(name) ?? new Set();
    if (tiers.has(tier)) return 'unchanged';
    generation.residencies.set(name, tiers.add(tier));
    return 'done';
  }

  remove(virtualId: number, tier: number, group: number, key: ModelKey): IndexWriteStatus {
    const tiers = this.#generations.get(virtualId)?.residencies.get(nameOf(group, key));
    return tiers?.delete(tier) ? 'done' : 'unchanged';
  }

  /** Distinct (block, group) pairs some generation holds. */
  blocks(): number {
    const held = new Set<string>();
    for (const { residencies } of this.#generations.values()) {
      for (const [name, tiers] of residencies) if (tiers.size > 0) held.add(name);
    }
    return held.size;
  }

  match(keys: readonly ModelKey[], blockLimit: number, slot: number): ModelMatch {
    let best: ModelMatch = { usable: 0, raw: 0, tiers: [0, 0, 0, 0] };
    const ids = [...this.#generations.keys()].sort((a, b) => (a % BITS) - (b % BITS));
    for (const id of ids) {
      const generation = this.#generations.get(id);
      if (generation?.slot !== slot) continue;
      const found = matchGeneration(generation, keys, blockLimit);
      const better = found.usable > best.usable;
      if (better || (found.usable === best.usable && found.raw > best.raw)) best = found;
    }
    return best;
  }
}

function matchGeneration(
  generation: Generation,
  keys: readonly ModelKey[],
  blockLimit: number,
): ModelMatch {
  const holds = (block: number, group: number): boolean => {
    const key = keys[block];
    return key !== undefined && (generation.residencies.get(nameOf(group, key))?.size ?? 0) > 0;
  };
  let raw = 0;
  while (raw < keys.length && holds(raw, 0)) raw++;
  const fits = (length: number): boolean =>
    length % generation.alignment === 0 &&
    [...generation.windows].every(([group, window]) => {
      for (let i = Math.max(0, length - window); i < length; i++)
        if (!holds(i, group)) return false;
      return true;
    });
  let usable = Math.min(raw, blockLimit);
  while (!fits(usable)) usable--;
  const tiers = [0, 0, 0, 0];
  for (const key of keys.slice(0, usable)) {
    const fastest = Math.min(...(generation.residencies.get(nameOf(0, key)) ?? []));
    tiers[fastest] = (tiers[fastest] ?? 0) + 1;
  }
  return { usable, raw, tiers };
}

function nameOf(group: number, key: ModelKey): string {
  return `${group}/${key.high}/${key.low}`;
}
