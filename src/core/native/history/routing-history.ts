// The native RoutingHistory's face: keys stay in the native request store, what crosses are handles
// and numbers, checked here because the boundary would turn a wrong one into another.

import { assert } from '#contracts/assert.js';
import { HISTORY_BLOCKS_MAX, PROMPT_TOKENS_MAX } from '#contracts/limits.js';
import type { HistoryWork, RoutingHistory } from '#contracts/routing-history.js';

export interface HistoryAddon {
  historyCreate(store: number, index: Uint8Array, writerId: number): number;
  historyDestroy(history: number): void;
  historyOpen(
    history: number,
    slot: number,
    capacityBlocks: number,
    blockSize: number,
    alignmentBlocks: number,
  ): void;
  historyClose(history: number, slot: number): void;
  historyBegin(
    history: number,
    slot: number,
    generation: number,
    endpoint: number,
    promptTokens: number,
  ): number;
  historyEnd(
    history: number,
    slot: number,
    generation: number,
    computed: number,
    cached: number,
  ): number;
  historyWithdraw(history: number, slot: number, generation: number): number;
  historyAdvance(history: number): number;
  /** Blocks, capacity, requests; empty where the slot has no history. */
  historyUsage(history: number, slot: number): readonly number[];
}

/** A history that gives its memory back when it is no longer used. */
export interface NativeRoutingHistory extends RoutingHistory {
  destroy(): void;
}

export interface NativeHistoryOptions {
  /** Number of the native request store. */
  readonly store: number;
  readonly index: SharedArrayBuffer;
  /** Of the index, for this history alone. */
  readonly writerId: number;
}

const WORK: readonly HistoryWork[] = ['done', 'more', 'stuck'];

export function createRoutingHistory(
  addon: HistoryAddon,
  { store, index, writerId }: NativeHistoryOptions,
): NativeRoutingHistory {
  const history = addon.historyCreate(store, new Uint8Array(index), writerId);
  return {
    open: (slot, { capacityBlocks, blockSize, alignmentBlocks }) => {
      assert(blockSize >= 1 && alignmentBlocks >= 1, 'a block holds a token');
      const capacity = Math.min(Math.max(1, capacityBlocks), HISTORY_BLOCKS_MAX);
      const alignment = Math.min(alignmentBlocks, HISTORY_BLOCKS_MAX);
      addon.historyOpen(history, slot, capacity, blockSize, alignment);
    },
    close: (slot) => addon.historyClose(history, slot),
    begin: ({ slot, generation }, endpoint, promptTokens) =>
      workOf(addon.historyBegin(history, slot, generation, endpoint, tokensOf(promptTokens))),
    end: ({ slot, generation }, { computed, cached }) => {
      const known = cached < 0 ? -1 : tokensOf(cached);
      return workOf(addon.historyEnd(history, slot, generation, tokensOf(computed), known));
    },
    withdraw: ({ slot, generation }) => workOf(addon.historyWithdraw(history, slot, generation)),
    advance: () => workOf(addon.historyAdvance(history)),
    usage: (slot) => {
      const [blocks, capacityBlocks = 0, requests = 0] = addon.historyUsage(history, slot);
      return blocks === undefined ? null : { blocks, capacityBlocks, requests };
    },
    destroy: () => addon.historyDestroy(history),
  };
}

function workOf(number: number): HistoryWork {
  const work = WORK[number];
  assert(work !== undefined, 'a call leaves a known kind of work');
  return work;
}

/** Engines report what they like; no request has more tokens than this. */
function tokensOf(tokens: number): number {
  return Math.min(Math.max(0, Math.floor(tokens)), 2 * PROMPT_TOKENS_MAX);
}
