// What the engine model emits, before any wire encoding. Blocks appear as hashes of the engine's
// own chain; media and groups are those of a model with one full-attention group on the GPU.

import type { BlockHash, ExtraKeys, LoraAdapter } from './block-hash.js';

export interface StoredBlocks {
  readonly type: 'BlockStored';
  readonly hashes: readonly BlockHash[];
  /** null: first block of the sequence. */
  readonly parent: BlockHash | null;
  readonly tokenIds: readonly number[];
  readonly blockSize: number;
  readonly lora: LoraAdapter | null;
  /** One entry per block, in the untagged form of events. */
  readonly extraKeys: readonly ExtraKeys[];
}

export interface RemovedBlock {
  readonly type: 'BlockRemoved';
  readonly hash: BlockHash;
}

export interface AllBlocksCleared {
  readonly type: 'AllBlocksCleared';
}

export type EngineEvent = StoredBlocks | RemovedBlock | AllBlocksCleared;
