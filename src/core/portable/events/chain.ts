// Follows one sequence of engine blocks and says where each lies among canonical blocks: inside
// one, spanning several, or across a border. Called by store.ts for every BlockStored. Token views
// are indexed within the event's token ids, whose number the caller has checked.

import type { BlockKey } from '../keys.js';
import { chainKeys, hashBlock } from '../keys.js';
import type { EngineBlock, Span } from './engine-blocks.js';
import { type ExtraBytes, NO_EXTRA } from './extra-keys.js';
import { concatTokens, partsOf, type Tail, tailOf } from './tail.js';

/** Position in a sequence: the prefix so far. */
export interface ChainPosition {
  readonly end: BlockKey;
  /** The engine block that ends there, where it has a tail. */
  readonly before: EngineBlock | null;
}

/** One engine block further. */
export interface ChainStep {
  readonly end: BlockKey;
  readonly tail: Tail | null;
  readonly span: Span;
}

/** Keys of the whole event at once; grown as needed, valid until the next call. */
let keyScratch = new Uint32Array(1024);

/**
 * Keys of consecutive canonical blocks from `end` on, for a run of engine blocks that begin and
 * end on canonical borders and have no extra keys. Valid until the next call.
 */
export function keysOfRun(end: BlockKey, tokenIds: Uint32Array, blockSize: number): Uint32Array {
  const words = 2 * Math.floor(tokenIds.length / blockSize);
  if (keyScratch.length < words) keyScratch = new Uint32Array(words * 2);
  chainKeys(end, tokenIds, blockSize, keyScratch);
  return keyScratch;
}

/**
 * Advances over one engine block. Extra keys enter the first canonical block that the engine block
 * overlaps, so that it and all after it differ from those of plain text.
 */
export function advance(
  from: ChainPosition,
  tokenIds: Uint32Array,
  blockSize: number,
  extra: ExtraBytes,
): ChainStep {
  const keys: number[] = [];
  const { before } = from;
  let { end } = from;
  let joint: Span['joint'] = null;
  let rest = tokenIds;
  let restExtra = extra;
  if (before !== null) {
    const missing = blockSize - (before.tail?.length ?? 0);
    if (rest.length < missing) {
      return { end, tail: tailOf(before, rest, extra, end), span: { keys, joint } };
    }
    const sources = partsOf(before);
    const tails = sources.flatMap(({ tail }) => tail ?? []);
    const joined = [...tails.map((tail) => tail.tokenIds), rest.subarray(0, missing)];
    const joinedExtra = [...tails.map((tail) => tail.extra), extra];
    end = hashBlock(end, concatTokens(joined), Buffer.concat(joinedExtra));
    joint = { key: end, sources };
    rest = rest.subarray(missing);
    restExtra = NO_EXTRA;
  }
  while (rest.length >= blockSize) {
    end = hashBlock(end, rest.subarray(0, blockSize), restExtra);
    keys.push(end.low, end.high);
    rest = rest.subarray(blockSize);
    restExtra = NO_EXTRA;
  }
  const tail = rest.length === 0 ? null : tailOf(null, rest, restExtra, end);
  return { end, tail, span: { keys, joint } };
}

/** The position after `block`, whose own token ids are part of the tail from now on. */
export function after(block: EngineBlock): ChainPosition {
  return { end: block.end, before: block.tail === null ? null : block };
}
