// One publisher on one applier, with what tests of every core say to it: frames of stores and
// removals, and what a prompt matches then.

import assert from 'node:assert/strict';
import type { ApplyResult, EventApplier } from '#contracts/core.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import type { AppliedIndex, ApplierCore } from '#test/support/applied-index.js';
import { encodeEventBatch, type MsgpackValue } from '#wire/msgpack-encode.js';

/** The publisher's endpoint slot. */
export const SLOT = 3;
/** Secret that request keys are made with. */
export const SECRET = 99n;
/** Canonical block size of most tests. */
export const BLOCK = 16;

export interface Rig {
  readonly index: AppliedIndex;
  readonly applier: EventApplier;
  /** Applies one frame and expects it to be applied. */
  readonly apply: (...events: MsgpackValue[]) => ApplyResult;
  /** Usable blocks of a prompt. */
  readonly match: (tokenIds: readonly number[], namespace?: Partial<Namespace>) => number;
}

export interface Namespace {
  readonly adapter: string;
  readonly cacheSalt: string;
}

/** Opens the slot on a fresh applier. */
export function openRig(core: ApplierCore, blockSize: number): Rig {
  const { applier, index } = core(SECRET);
  applier.open(SLOT, { pool: 'model', blockSize });
  return {
    index,
    applier,
    apply: (...events) => {
      const result = applier.apply(SLOT, frame(...events));
      assert.equal(result.status, 'applied', result.detail);
      return result;
    },
    match: (tokenIds, namespace = {}) => {
      const keys = keysOf(tokenIds, blockSize, namespace);
      return index.usableBlocks(SLOT, keys, keys.length / 2);
    },
  };
}

/** A batch of these events. */
export function frame(...events: MsgpackValue[]): Uint8Array {
  return encodeEventBatch({ timestamp: 1.25, events, dataParallelRank: 0 });
}

function keysOf(
  tokenIds: readonly number[],
  blockSize: number,
  { adapter = '', cacheSalt = '' }: Partial<Namespace>,
): Uint32Array {
  const keys = new Uint32Array(2 * Math.floor(tokenIds.length / blockSize));
  const seed = namespaceSeed(SECRET, { pool: 'model', adapter, cacheSalt });
  chainKeys(seed, Uint32Array.from(tokenIds), blockSize, keys);
  return keys;
}

/** Token ids `first … first + count − 1`. */
export function tokens(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

type Fields = { readonly [name: string]: MsgpackValue };

/** A BlockStored from a root, as a map, with `fields` in place of what that has. */
export function stored(
  hashes: MsgpackValue[],
  tokenIds: number[],
  fields: Fields = {},
): MsgpackValue {
  return {
    type: 'BlockStored',
    block_hashes: hashes,
    parent_block_hash: null,
    token_ids: tokenIds,
    block_size: BLOCK,
    ...fields,
  };
}

/** A BlockRemoved, as a map. */
export function removed(hashes: MsgpackValue[], fields: Fields = {}): MsgpackValue {
  return { type: 'BlockRemoved', block_hashes: hashes, ...fields };
}
