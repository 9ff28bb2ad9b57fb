// Follows one sequence of engine blocks and says where each lies among canonical blocks: inside
// one, spanning several, or across a border. Called by store.ts for every BlockStored. Token views
// are indexed within the event's token ids, whose number the caller has checked.

import type { BlockKey } from '../keys.js';
import { chainKeys, hashBlock } from '../keys.js';
import type { EngineBlock, Span, Tail } from './engine-blocks.js';
import { type ExtraBytes, NO_EXTRA } from './extra-keys.js';

/** Position in a sequence: the prefix so far. */
export interface ChainPosition {
  readonly end: BlockKey;
  readonly tail: Tail | null;
}

/** One engine block further. `sources` are the earlier blocks its tail began in. */
export interface ChainStep {
  readonly position: ChainPosition;
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
  let { end } = from;
  let joint: Span['joint'] = null;
  let rest = tokenIds;
  let restExtra = extra;
  const { tail } = from;
  if (tail !== null) {
    const missing = blockSize - tail.tokenIds.length;
    const joined = concatTokens(tail.tokenIds, rest.subarray(0, missing));
    const joinedExtra = concatExtra(tail.extra, extra);
    if (rest.length < missing) {
      const longer = { tokenIds: joined, extra: joinedExtra, sources: tail.sources };
      return { position: { end, tail: longer }, span: { keys, joint } };
    }
    end = hashBlock(end, joined, joinedExtra);
    joint = { key: end, sources: tail.sources };
    rest = rest.subarray(missing);
    restExtra = NO_EXTRA;
  }
  while (rest.length >= blockSize) {
    end = hashBlock(end, rest.subarray(0, blockSize), restExtra);
    keys.push(end.low, end.high);
    rest = rest.subarray(blockSize);
    restExtra = NO_EXTRA;
  }
  const left = rest.length === 0 ? null : { tokenIds: rest.slice(), extra: restExtra, sources: [] };
  return { position: { end, tail: left }, span: { keys, joint } };
}

/** The position after `block`, whose own token ids are part of the tail from now on. */
export function after(block: EngineBlock): ChainPosition {
  const { end, tail } = block;
  if (tail === null) return { end, tail };
  return { end, tail: { ...tail, sources: [...tail.sources, block] } };
}

function concatTokens(left: Uint32Array, right: Uint32Array): Uint32Array {
  const joined = new Uint32Array(left.length + right.length);
  joined.set(left);
  joined.set(right, left.length);
  return joined;
}

function concatExtra(left: ExtraBytes, right: ExtraBytes): ExtraBytes {
  if (left.length === 0) return right;
  return right.length === 0 ? left : [...left, ...right];
}
