// KV groups of one publisher: which one decides the prefix, how many blocks before the end of a hit
// every other one must hold, and what hits are multiples of (wire-formats §2, §3). Learned from the
// events; kept over clears, because the model behind a publisher stays the same, but for block sizes.

import type { TierNumber } from '#contracts/block.js';
import type { BlockStoredEvent, KvEvent } from '#contracts/kv-event.js';
import { KV_GROUPS_MAX } from '#contracts/limits.js';

/** A window no prompt fills: the whole prefix must be resident. */
export const WHOLE_PREFIX_BLOCKS: number = 2 ** 31;

/** Offload tiers may store larger blocks than a hit ends at. */
const GPU: TierNumber = 0;

/** Groups by their number in the index: 0 is the one whose run is the prefix. */
export class KvGroups {
  readonly #windows = new Map<number, number>();
  /** The wire's number of the group that is 0 in the index; null before the first store. */
  #primary: number | null = null;
  /** Tokens per GPU block, by the number in the index; 0 for a group that keeps states. */
  readonly #blockSizes = new Map<number, number>();

  /**
   * Chooses the primary group at the first batch that stores: group 0, unless that says that it is
   * of another kind and the lowest-numbered group with full attention is in the same batch. An
   * engine announces all groups of a request in one batch.
   */
  learn(events: readonly KvEvent[]): void {
    if (this.#primary !== null) return;
    const stored = events.filter((event) => event.type === 'BlockStored');
    if (stored.length === 0) return;
    const full = stored
      .filter((event) => isFullAttention(event) && event.group < KV_GROUPS_MAX)
      .map((event) => event.group);
    const first = stored.find((event) => event.group === 0);
    const swap = full.length > 0 && first !== undefined && first.specKind !== null;
    this.#primary = swap ? Math.min(...full) : 0;
  }

  /** Number of a wire group in the index; null for one that the index cannot hold. */
  indexGroup(group: number): number | null {
    if (group >= KV_GROUPS_MAX) return null;
    const primary = this.#primary ?? 0;
    if (group === primary) return 0;
    return group === 0 ? primary : group;
  }

  /** Window of the group the event is about, when it is not yet known like that; else null. */
  newWindow(indexGroup: number, event: BlockStoredEvent, blockSize: number): number | null {
    if (indexGroup === 0) return null;
    const window = windowBlocks(event, blockSize);
    if (window === null || this.#windows.get(indexGroup) === window) return null;
    this.#windows.set(indexGroup, window);
    return window;
  }

  /**
   * What hits are multiples of, in canonical blocks, when the event changes that; else null. An
   * engine reuses whole blocks of every group, thus up to their common borders. Groups that keep
   * states tell by where the states lie.
   */
  newAlignment(indexGroup: number, event: BlockStoredEvent, blockSize: number): number | null {
    if (event.tier !== GPU || event.blockSize === 0) return null;
    const size = isStateOnly(event) ? 0 : event.blockSize;
    const known = this.#blockSizes.get(indexGroup);
    // A smaller one is the partial last block of a prompt.
    if (known !== undefined && size <= known) return null;
    const before = this.#alignment(blockSize);
    this.#blockSizes.set(indexGroup, size);
    const after = this.#alignment(blockSize);
    return after === before ? null : after;
  }

  /**
   * For a group with a window: its blocks between two borders that hits can end at, and how many of
   * them, at least 1, before each border a hit can need. null where it keeps none, or all.
   */
  segment(event: BlockStoredEvent): { readonly blocks: number; readonly kept: number } | null {
    if (!isWindowed(event) || event.slidingWindow === null) return null;
    const blocks = this.#commonBorder() / event.blockSize;
    const kept = Math.ceil((event.slidingWindow - 1) / event.blockSize);
    return Number.isInteger(blocks) && kept >= 1 && kept < blocks ? { blocks, kept } : null;
  }

  /** 1 also where engine blocks lie across canonical borders: hits end between ours anyway. */
  #alignment(blockSize: number): number {
    const border = this.#commonBorder();
    const isOurs = border > 0 && border % blockSize === 0;
    return isOurs ? border / blockSize : 1;
  }

  /** Tokens between borders that all groups' blocks share; 0 with a group that keeps states. */
  #commonBorder(): number {
    return [...this.#blockSizes.values()].reduce(leastCommonMultiple, 1);
  }

  /** An engine that starts anew may do so with other block sizes. */
  forgetBlockSizes(): void {
    this.#blockSizes.clear();
  }

  /** Every known window, to be declared again for a new generation. */
  windows(): ReadonlyMap<number, number> {
    return this.#windows;
  }
}

/** Whether only the state after the last token of a block is kept. */
export function isStateOnly(event: BlockStoredEvent): boolean {
  return event.specKind === 'mamba';
}

function isWindowed({ specKind }: BlockStoredEvent): boolean {
  return specKind?.startsWith('sliding_window') ?? false;
}

function isFullAttention({ specKind }: BlockStoredEvent): boolean {
  return specKind === 'full_attention' || specKind === 'mla_attention';
}

/** 0 with a 0. */
function leastCommonMultiple(left: number, right: number): number {
  if (left === 0 || right === 0) return 0;
  let [divisor, rest] = [left, right];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  return (left / divisor) * right;
}

/** In canonical blocks; null when the event does not tell (a placeholder names no kind). */
function windowBlocks(event: BlockStoredEvent, blockSize: number): number | null {
  if (event.blockSize === 0 && event.specKind === null) return null;
  if (isStateOnly(event)) return 1;
  if (!isWindowed(event) || event.slidingWindow === null) return WHOLE_PREFIX_BLOCKS;
  const engineBlockSize = event.blockSize === 0 ? blockSize : event.blockSize;
  const engineBlocks = Math.ceil((event.slidingWindow - 1) / engineBlockSize);
  // The index knows no empty window; a block more than needed only predicts less.
  return Math.max(1, Math.ceil((engineBlocks * engineBlockSize) / blockSize));
}
