// KV events after decoding, the same for every engine (wire-formats §2).

import type { EngineKey, TierNumber } from './block.js';

/** Extra keys of one block that entered the engine's hash; null for none. */
export type BlockExtraKeys = readonly (string | number | Uint8Array | readonly unknown[])[] | null;

export interface BlockStoredEvent {
  readonly type: 'BlockStored';
  readonly blockHashes: readonly EngineKey[];
  /** null: first block of a sequence. */
  readonly parentBlockHash: EngineKey | null;
  /** Flat token ids; empty for a placeholder (rule 5). */
  readonly tokenIds: readonly number[];
  readonly blockSize: number;
  readonly tier: TierNumber;
  readonly loraName: string | null;
  /** SGLang only: salt of the whole sequence. */
  readonly cacheSalt: string | null;
  readonly extraKeys: readonly BlockExtraKeys[] | null;
  /** KV group, 0 when absent. */
  readonly group: number;
  readonly specKind: string | null;
  /** Tokens of the sliding window, null when the group has none. */
  readonly slidingWindow: number | null;
}

export interface BlockRemovedEvent {
  readonly type: 'BlockRemoved';
  readonly blockHashes: readonly EngineKey[];
  readonly tier: TierNumber;
  readonly group: number;
}

export interface AllBlocksClearedEvent {
  readonly type: 'AllBlocksCleared';
}

export type KvEvent = BlockStoredEvent | BlockRemovedEvent | AllBlocksClearedEvent;

export interface EventBatch {
  /** Engine wall clock, seconds. */
  readonly timestamp: number;
  readonly events: readonly KvEvent[];
  readonly dataParallelRank: number | null;
  /** Events left out because this program does not know their tag. */
  readonly unknownEvents: number;
}

/** One frame as it came from a publisher's PUB or replay socket. */
export interface EventFrame {
  /** Topic text; empty when the frame had none. */
  readonly topic: string;
  readonly seq: bigint;
  readonly payload: Uint8Array;
}
