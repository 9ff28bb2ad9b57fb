// The hash stage: extends the chain of request keys while token ids come in piece by piece, keeping
// the ids of the last, unfinished block. Used by prefix-store.ts and encode.ts; the key function
// itself is keys.ts.

import type { RequestKeys } from '#contracts/block.js';
import { type BlockKey, chainKeys } from '../keys.js';

/** Where a chain stands after some tokens; immutable, so it can be kept and continued often. */
export interface ChainState {
  readonly tokenCount: number;
  /** Key of the last whole block, or the namespace's seed. */
  readonly parent: BlockKey;
  /** Token ids after the last whole block, fewer than a block. */
  readonly leftover: Uint32Array;
}

export interface ChainStep {
  readonly state: ChainState;
  /** Keys of the blocks this step completed. */
  readonly keys: RequestKeys;
}

const NO_IDS = new Uint32Array(0);

export function chainStart(seed: BlockKey): ChainState {
  return { tokenCount: 0, parent: seed, leftover: NO_IDS };
}

/** Continues a chain by `tokenIds`. */
export function extendChain(
  state: ChainState,
  tokenIds: Uint32Array,
  blockSize: number,
): ChainStep {
  const ids = state.leftover.length === 0 ? tokenIds : joined(state.leftover, tokenIds);
  const blocks = Math.floor(ids.length / blockSize);
  const keys = new Uint32Array(2 * blocks);
  chainKeys(state.parent, ids, blockSize, keys);
  const parent =
    blocks === 0
      ? state.parent
      : { low: keys[2 * blocks - 2] ?? 0, high: keys[2 * blocks - 1] ?? 0 };
  return {
    state: {
      tokenCount: state.tokenCount + tokenIds.length,
      parent,
      leftover: ids.slice(blocks * blockSize),
    },
    keys,
  };
}

function joined(a: Uint32Array, b: Uint32Array): Uint32Array {
  const ids = new Uint32Array(a.length + b.length);
  ids.set(a);
  ids.set(b, a.length);
  return ids;
}
