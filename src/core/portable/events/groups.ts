// KV groups of one publisher: which one decides the prefix, and how many blocks before the end of
// a hit every other one must hold (wire-formats §2). Learned from the events, kept over clears,
// because the model behind a publisher stays the same.

import type { BlockStoredEvent, KvEvent } from '#contracts/kv-event.js';
import { KV_GROUPS_MAX } from '#contracts/limits.js';

/** A window no prompt fills: the whole prefix must be resident. */
export const WHOLE_PREFIX_BLOCKS: number = 2 ** 31;

/** Groups by their number in the index: 0 is the one whose run is the prefix. */
export class KvGroups {
  readonly #windows = new Map<number, number>();
  /** The wire's number of the group that is 0 in the index; null before the first store. */
  #primary: number | null = null;

  /**
   * Chooses the primary group at the first batch that stores: group 0, unless that says that it is
   * of another kind and the lowest-numbered group with full attention is in the same batch. An
   * engine announces all groups of a request in one batch.
   */
  learn(events: readonly KvEvent[]): void {
    if (this.#primary !== null) return;
    const stored = events.filter((event) => event.type === 'BlockStored');
    if (stored.length === 0) return;
    const full = stored.filter((event) => isFullAttention(event)).map((event) => event.group);
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

  /** Every known window, to be declared again for a new generation. */
  windows(): ReadonlyMap<number, number> {
    return this.#windows;
  }
}

/** Whether only the state after the last token of a block is kept. */
export function isStateOnly(event: BlockStoredEvent): boolean {
  return event.specKind === 'mamba';
}

function isFullAttention({ specKind }: BlockStoredEvent): boolean {
  return specKind === 'full_attention' || specKind === 'mla_attention';
}

/** In canonical blocks; null when the event does not tell (a placeholder names no kind). */
function windowBlocks(event: BlockStoredEvent, blockSize: number): number | null {
  if (event.blockSize === 0 && event.specKind === null) return null;
  if (isStateOnly(event)) return 1;
  const isWindowed = event.specKind?.startsWith('sliding_window') ?? false;
  if (!isWindowed || event.slidingWindow === null) return WHOLE_PREFIX_BLOCKS;
  const engineBlockSize = event.blockSize === 0 ? blockSize : event.blockSize;
  const engineBlocks = Math.ceil((event.slidingWindow - 1) / engineBlockSize);
  // The index knows no empty window; a block more than needed only predicts less.
  return Math.max(1, Math.ceil((engineBlocks * engineBlockSize) / blockSize));
}
