// The routing history: what was sent to an endpoint whose engine publishes no events counts as held
// there. A history is a paged cache of the engine's own size that is led through the same requests:
// it predicts what the engine stored and, by the engine's rule, what it has evicted since. One
// implementation per core writes it into the block index as ordinary residencies (tier GPU, group 0).
//
// The rule is vLLM's (wire-formats §2):
//   - Blocks of running requests are referenced and never evicted. What is not referenced waits in a
//     queue in the order in which it was freed; a new request first takes the blocks it hits out of
//     it, then fills its other blocks from the queue's head, which evicts what they held.
//   - A hit ends at the first missing block and never covers the last token.
//   - When a request ends its blocks are freed last first, so that the head of a prefix outlives its
//     tail. Blocks that are not full are filled first of all.
//   - Blocks of the answer have a content that the router does not know. A later prompt that is the
//     earlier one, its answer and more takes them over.
//   - Requests begin in the order in which they were sent; one for which nothing is free waits.
//
// Laws (test/contract/routing-history.suite.ts): both cores hold the same blocks after the same
// calls; never more than `capacityBlocks`; histories do not touch each other; a history whose
// residencies were dropped by another writer or by a recovery of the index begins anew with the next
// request.

import type { RequestHandle } from './request.js';

/** What one endpoint's engine can hold. */
export interface HistoryShape {
  /** Blocks of `blockSize` tokens that the engine can hold, at least 1. */
  readonly capacityBlocks: number;
  /** Canonical block size of the endpoint's pool, tokens. */
  readonly blockSize: number;
  /** Hits are multiples of this many blocks, because the engine's own blocks are larger. */
  readonly alignmentBlocks: number;
}

/** A history that an endpoint is to have. */
export interface HistoryPlan extends HistoryShape {
  /** Name of the endpoint: another one in the slot begins anew. */
  readonly endpoint: string;
}

/** Tokens of a request that has ended. */
export interface HistoryTokens {
  /** Those the engine holds keys and values of: prompt and answer but its last one; 0 if unknown. */
  readonly computed: number;
  /** Prompt tokens the engine says it found in its cache; −1 where it does not tell. */
  readonly cached: number;
}

/** What is left of the work of a call. */
export type HistoryWork =
  | 'done'
  /** A long prompt is taken in by slices: call `advance` in a later turn. */
  | 'more'
  /** A lock of the index stayed taken: its owner died; main must recover the index. */
  | 'stuck';

/** Histories by endpoint slot; on the main thread. No call costs more than a slice of blocks. */
export interface RoutingHistory {
  /** Begins an empty history of the slot; an earlier one is dropped. */
  open(slot: number, shape: HistoryShape): void;
  /** Drops the slot's history. */
  close(slot: number): void;
  /**
   * A request was sent to the slot's endpoint: the keys of its encoded prompt are held there from now
   * on. Its handle stays open until `end` or `withdraw`, of which one follows.
   */
  begin(handle: RequestHandle, slot: number, promptTokens: number): HistoryWork;
  /** The endpoint has answered it, wholly or in part. Ignored for a request that never began. */
  end(handle: RequestHandle, tokens: HistoryTokens): HistoryWork;
  /** The endpoint did not compute it: what it alone brought is forgotten. */
  withdraw(handle: RequestHandle): HistoryWork;
  /** Takes in the next slice of what waits. */
  advance(): HistoryWork;
  /** Of the slot's history; null where there is none. */
  usage(slot: number): HistoryUsage | null;
}

export interface HistoryUsage {
  /** Blocks held that a prompt can hit. */
  readonly blocks: number;
  readonly capacityBlocks: number;
  /** Requests running there, those that wait for free blocks included. */
  readonly requests: number;
}
