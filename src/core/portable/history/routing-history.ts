// The portable RoutingHistory: histories by endpoint slot, their requests by handle. Used on the main
// thread alone; keys come from the encode records.

import { assert } from '#contracts/assert.js';
import type { RequestKeys } from '#contracts/block.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import { HISTORY_BLOCKS_MAX, HISTORY_SLICE_BLOCKS } from '#contracts/limits.js';
import type { RequestHandle } from '#contracts/request.js';
import type {
  HistoryShape,
  HistoryTokens,
  HistoryUsage,
  HistoryWork,
  RoutingHistory,
} from '#contracts/routing-history.js';
import { VirtualEndpoints } from '../index/endpoints.js';
import { openMemory } from '../index/memory.js';
import { openIndexWriter } from '../index/writer.js';
import { type Budget, EndpointHistory, type Filling, type Run } from './endpoint-history.js';

export interface RoutingHistoryOptions {
  readonly index: SharedArrayBuffer;
  /** Of the index, for this history alone. */
  readonly writerId: number;
  /** Keys of an encoded prompt; empty when the handle is stale. */
  readonly keysOf: (handle: RequestHandle) => RequestKeys;
}

export function createRoutingHistory(options: RoutingHistoryOptions): RoutingHistory {
  return new EndpointHistories(options);
}

class EndpointHistories implements RoutingHistory {
  readonly #index: BlockIndexWriter;
  readonly #endpoints: VirtualEndpoints;
  readonly #keysOf: (handle: RequestHandle) => RequestKeys;
  readonly #histories = new Map<number, EndpointHistory>();
  /** By handle slot. */
  readonly #runs = new Map<number, Run>();

  constructor({ index, writerId, keysOf }: RoutingHistoryOptions) {
    this.#index = openIndexWriter(index, writerId);
    this.#endpoints = new VirtualEndpoints(openMemory(index));
    this.#keysOf = keysOf;
  }

  open(slot: number, shape: HistoryShape): void {
    assert(shape.blockSize >= 1 && shape.alignmentBlocks >= 1, 'a block holds a token');
    this.close(slot);
    const capacityBlocks = Math.min(Math.max(1, shape.capacityBlocks), HISTORY_BLOCKS_MAX);
    const virtualId = this.#index.openEndpoint(slot);
    if (virtualId >= 0 && shape.alignmentBlocks > 1) {
      this.#index.setHitAlignment(virtualId, shape.alignmentBlocks);
    }
    const history = new EndpointHistory({ ...shape, capacityBlocks }, virtualId, this.#index);
    this.#histories.set(slot, history);
  }

  close(slot: number): void {
    const history = this.#histories.get(slot);
    if (history === undefined) return;
    this.#histories.delete(slot);
    if (history.virtualId >= 0) this.#index.dropEndpoint(history.virtualId);
  }

  begin(handle: RequestHandle, slot: number, promptTokens: number): HistoryWork {
    // A handle slot comes back only when its request is over.
    const before = this.#runs.get(handle.slot);
    if (before !== undefined) this.withdraw(before);
    const history = this.#renewed(slot);
    if (history === null) return 'done';
    const { blockSize, capacityBlocks } = history.shape;
    const keys = this.#keysOf(handle).length / 2;
    const run: Run = {
      generation: handle.generation,
      slot: handle.slot,
      endpoint: slot,
      history,
      blocks: [],
      hits: 0,
      keys: Math.min(keys, Math.floor(promptTokens / blockSize), capacityBlocks),
      wanted: Math.min(Math.ceil(promptTokens / blockSize), capacityBlocks),
      reusable: Math.floor(Math.max(0, promptTokens - 1) / blockSize),
      hitting: true,
    };
    this.#runs.set(handle.slot, run);
    history.requests += 1;
    history.pending.push(run);
    return this.#fill(history);
  }

  end(handle: RequestHandle, { computed, cached }: HistoryTokens): HistoryWork {
    const run = this.#current(handle);
    if (run === null) return 'done';
    const { history } = run;
    // One more slice of a request that has ended while it waited; what is left then is not
    // remembered.
    if (run.blocks.length < run.wanted) this.#fillOne(run, { blocks: HISTORY_SLICE_BLOCKS });
    this.#over(run);
    return history.finish(run, computed, cached) ? this.#fill(history) : 'stuck';
  }

  withdraw(handle: RequestHandle): HistoryWork {
    const run = this.#current(handle);
    if (run === null) return 'done';
    const { history } = run;
    this.#over(run);
    return history.withdraw(run) ? this.#fill(history) : 'stuck';
  }

  advance(): HistoryWork {
    const waiting = [...this.#histories.values()].filter(({ sliced }) => sliced);
    const [first] = waiting;
    if (first === undefined) return 'done';
    const work = this.#fill(first);
    return work === 'done' && waiting.length > 1 ? 'more' : work;
  }

  usage(slot: number): HistoryUsage | null {
    const history = this.#histories.get(slot);
    if (history === undefined) return null;
    const { pool, requests } = history;
    return { blocks: pool.known, capacityBlocks: pool.capacity, requests };
  }

  /** The slot's history, begun anew when somebody else dropped its residencies. */
  #renewed(slot: number): EndpointHistory | null {
    const history = this.#histories.get(slot);
    if (history === undefined) return null;
    if (history.virtualId < 0 || !this.#endpoints.isOpen(history.virtualId)) {
      this.open(slot, history.shape);
    }
    return this.#histories.get(slot) ?? null;
  }

  /** Takes in what waits, in order, until a slice is used up or nothing is free. */
  #fill(history: EndpointHistory): HistoryWork {
    const budget: Budget = { blocks: HISTORY_SLICE_BLOCKS };
    history.sliced = false;
    for (let run = history.pending[0]; run !== undefined; run = history.pending[0]) {
      const filling = this.#fillOne(run, budget);
      if (filling === 'stuck') return 'stuck';
      if (filling === 'blocked') return 'done';
      if (filling === 'sliced') {
        history.sliced = true;
        return 'more';
      }
      history.pending.shift();
    }
    return 'done';
  }

  #fillOne(run: Run, budget: Budget): Filling {
    const { slot, generation } = run;
    return run.history.fill(run, this.#keysOf({ slot, generation }), budget);
  }

  /** The handle's run in a history that goes on; null when there is none. */
  #current({ slot, generation }: RequestHandle): Run | null {
    const run = this.#runs.get(slot);
    if (run === undefined || run.generation !== generation) return null;
    return this.#histories.get(run.endpoint) === run.history ? run : null;
  }

  /** The run counts no more, whichever way its request ended. */
  #over(run: Run): void {
    const { pending } = run.history;
    const at = pending.indexOf(run);
    if (at >= 0) pending.splice(at, 1);
    run.history.requests -= 1;
    this.#runs.delete(run.slot);
  }
}
