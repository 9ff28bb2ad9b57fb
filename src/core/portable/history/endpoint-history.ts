// The history of one endpoint: leads its pool of blocks through the requests that were sent there and
// writes what they hold into the block index. contracts/routing-history.ts states the rule.

import type { RequestKeys } from '#contracts/block.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import { HISTORY_SLICE_BLOCKS } from '#contracts/limits.js';
import type { HistoryShape } from '#contracts/routing-history.js';
import { NONE, Pool } from './pool.js';

/** One request inside a history. */
export interface Run {
  /** The handle that names the request. */
  readonly generation: number;
  readonly slot: number;
  /** Slot of the endpoint, and which history of it. */
  readonly endpoint: number;
  readonly history: EndpointHistory;
  /** Referenced blocks in order: hits, then its own ones, the last of which may be partial. */
  readonly blocks: number[];
  /** Leading blocks that were hit. */
  hits: number;
  /** Blocks of the prompt that have a key, and all of them. */
  readonly keys: number;
  readonly wanted: number;
  /** Most blocks it may hit: never the last token. */
  readonly reusable: number;
  /** Whether all blocks so far were hits. */
  hitting: boolean;
}

/** How far a prompt was taken in. */
export type Filling =
  | 'filled'
  /** The slice has been used up. */
  | 'sliced'
  /** No block is free. */
  | 'blocked'
  | 'stuck';

/** Blocks that may still be taken in now. */
export interface Budget {
  blocks: number;
}

export class EndpointHistory {
  readonly shape: HistoryShape;
  readonly pool: Pool;
  /** −1 while all virtual ids of the index are taken. */
  readonly virtualId: number;
  /** Requests that are not filled yet, in the order they were sent. */
  readonly pending: Run[] = [];
  /** Whether `pending` waits for a later turn only. */
  sliced = false;
  requests = 0;
  readonly #index: BlockIndexWriter;

  constructor(shape: HistoryShape, virtualId: number, index: BlockIndexWriter) {
    this.shape = shape;
    this.pool = new Pool(shape.capacityBlocks);
    this.virtualId = virtualId;
    this.#index = index;
  }

  /** Takes in blocks of a prompt with these keys, as many as the budget allows. */
  fill(run: Run, keys: RequestKeys, budget: Budget): Filling {
    const { pool } = this;
    const known = Math.min(run.keys, keys.length / 2);
    while (run.blocks.length < run.wanted) {
      if (budget.blocks === 0) return 'sliced';
      budget.blocks -= 1;
      const at = run.blocks.length;
      if (run.hitting && at < run.reusable && at < known) {
        const block = pool.find((keys[2 * at] as number) | 0, (keys[2 * at + 1] as number) | 0);
        if (block !== NONE) {
          pool.take(block);
          run.blocks.push(block);
          run.hits += 1;
          continue;
        }
        if (!this.#takeOver(run, keys)) return 'stuck';
        run.hitting = false;
        if (run.blocks.length > at) continue;
      }
      run.hitting = false;
      const block = pool.allocate();
      if (block === NONE) return 'blocked';
      if (!this.#forget(block)) return 'stuck';
      run.blocks.push(block);
      if (at < known && !this.#hold(block, keys, at)) return 'stuck';
    }
    return 'filled';
  }

  /**
   * Gives the blocks of an earlier answer the keys of the prompt that goes on behind it. Only a
   * prompt long enough to hold all of the answer can be its continuation. False when stuck.
   */
  #takeOver(run: Run, keys: RequestKeys): boolean {
    const { pool } = this;
    const at = run.blocks.length;
    const last = run.blocks[at - 1];
    if (last === undefined) return true;
    let block = pool.answer(last);
    const count = pool.answerBlocks(last);
    if (block === NONE || at + count > Math.min(run.reusable, run.keys)) return true;
    for (let position = at; position < at + count && block !== NONE; position++) {
      const next = pool.answer(block);
      pool.take(block);
      pool.forget(block);
      run.blocks.push(block);
      run.hits += 1;
      if (!this.#hold(block, keys, position)) return false;
      block = next;
    }
    return true;
  }

  /**
   * The engine has answered: blocks for the answer, and for what it had to compute although it was a
   * hit here; then all are free. `cached` is −1 where the engine does not tell. False when stuck.
   */
  finish(run: Run, computed: number, cached: number): boolean {
    const { blockSize, alignmentBlocks } = this.shape;
    const expected = run.hits - (run.hits % alignmentBlocks);
    const found = cached < 0 ? expected : Math.floor(cached / blockSize);
    const missed = Math.min(Math.max(0, expected - found), HISTORY_SLICE_BLOCKS);
    for (let count = 0; count < missed; count++) {
      const block = this.pool.allocate();
      if (block === NONE) break;
      if (!this.#forget(block)) return false;
      this.pool.hide(block);
      this.pool.release(block);
    }
    if (run.blocks.length >= run.wanted && !this.#addAnswer(run, computed)) return false;
    this.#release(run);
    return true;
  }

  #addAnswer(run: Run, computed: number): boolean {
    const { pool } = this;
    const { blockSize } = this.shape;
    const full = Math.floor(computed / blockSize);
    let behind = run.keys > 0 ? (run.blocks[run.keys - 1] ?? NONE) : NONE;
    // An answer that no prompt can take over in one slice is not kept as one.
    if (!pool.isPrompt(behind) || full > run.keys + HISTORY_SLICE_BLOCKS) behind = NONE;
    let answerBlocks = Math.max(0, full - run.keys);
    const most = run.blocks.length + HISTORY_SLICE_BLOCKS;
    const end = Math.min(Math.ceil(computed / blockSize), most);
    for (let at = run.keys; at < end; at++) {
      let block = run.blocks[at] ?? NONE;
      if (block === NONE) {
        block = pool.allocate();
        if (block === NONE) return true;
        if (!this.#forget(block)) return false;
        run.blocks.push(block);
      }
      if (at >= full) return true;
      if (behind === NONE) pool.hide(block);
      else {
        pool.answerBehind(block, behind, answerBlocks);
        behind = block;
        answerBlocks = 0;
      }
    }
    return true;
  }

  /**
   * The engine did not compute the prompt: what it alone brought is forgotten, the first blocks of
   * it, without which the others cannot be hit. False when stuck.
   */
  withdraw(run: Run): boolean {
    const end = Math.min(run.blocks.length, run.hits + HISTORY_SLICE_BLOCKS);
    for (let at = run.hits; at < end; at++) {
      const block = run.blocks[at] as number;
      if (this.pool.references(block) === 1 && !this.#forget(block)) return false;
    }
    this.#release(run);
    return true;
  }

  /** Last block first, so that the head of a prefix outlives its tail. */
  #release(run: Run): void {
    for (let at = run.blocks.length - 1; at >= 0; at--) {
      this.pool.release(run.blocks[at] as number);
    }
    run.blocks.length = 0;
  }

  #hold(block: number, keys: RequestKeys, at: number): boolean {
    const low = (keys[2 * at] as number) | 0;
    const high = (keys[2 * at + 1] as number) | 0;
    if (!this.pool.hold(block, low, high) || this.virtualId < 0) return true;
    const status = this.#index.add(this.virtualId, 0, 0, low, high);
    if (status === 'full') this.pool.hide(block);
    return status !== 'stuck';
  }

  #forget(block: number): boolean {
    const { pool } = this;
    if (!pool.forget(block) || this.virtualId < 0) return true;
    const low = pool.keyLow[block] as number;
    const high = pool.keyHigh[block] as number;
    return this.#index.remove(this.virtualId, 0, 0, low, high) !== 'stuck';
  }
}
