// What of a prefix lies after its last whole canonical block. Every engine block keeps only its own
// part of it, so that memory grows with what was told and not with its square.

import { TAIL_EXTRA_BYTES_MAX } from '#contracts/limits.js';
import type { BlockKey } from '../keys.js';
import { countedBytes, digestOf } from '../keys.js';
import type { EngineBlock } from './engine-blocks.js';
import type { ExtraBytes } from './extra-keys.js';

/** Token ids of one engine block after the last border of canonical blocks. */
export interface Tail {
  readonly tokenIds: Uint32Array;
  readonly extra: ExtraBytes;
  /** The engine block before it, where that reaches behind the border too. */
  readonly before: EngineBlock | null;
  /** Token ids from the border on, those of the blocks before included. */
  readonly length: number;
  /** Engine blocks that it lies in, this one included. */
  readonly parts: number;
}

/**
 * The tail of a block behind `before`. `seed` is the key of the canonical block before it. Of longer
 * extra keys than engines send, a digest stands for them, so that the whole canonical block still
 * has a key of its own.
 */
export function tailOf(
  before: EngineBlock | null,
  tokenIds: Uint32Array,
  extra: ExtraBytes,
  seed: BlockKey,
): Tail {
  const isLong = extra.length > TAIL_EXTRA_BYTES_MAX;
  return {
    tokenIds: tokenIds.slice(),
    // A copy: a small buffer holds on to the pool it lies in.
    extra: new Uint8Array(isLong ? countedBytes([digestOf(extra, seed)]) : extra),
    before,
    length: (before?.tail?.length ?? 0) + tokenIds.length,
    parts: (before?.tail?.parts ?? 0) + 1,
  };
}

/** The engine blocks whose token ids lie after the last border, first to last; the last is `block`. */
export function partsOf(block: EngineBlock): readonly EngineBlock[] {
  const parts: EngineBlock[] = [];
  for (let part: EngineBlock | null = block; part !== null; part = part.tail?.before ?? null) {
    parts.push(part);
  }
  return parts.reverse();
}

export function isSameTail(left: Tail, right: Tail): boolean {
  if (left.length !== right.length) return false;
  if (left.before === right.before) return areEqual(left.tokenIds, right.tokenIds);
  return areEqual(allTokenIds(left), allTokenIds(right));
}

export function concatTokens(lists: readonly Uint32Array[]): Uint32Array {
  const joined = new Uint32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    joined.set(list, at);
    at += list.length;
  }
  return joined;
}

function allTokenIds({ before, tokenIds }: Tail): Uint32Array {
  const parts = before === null ? [] : partsOf(before);
  return concatTokens([...parts.flatMap(({ tail }) => tail?.tokenIds ?? []), tokenIds]);
}

function areEqual(left: Uint32Array, right: Uint32Array): boolean {
  return left.length === right.length && left.every((tokenId, i) => tokenId === right[i]);
}
