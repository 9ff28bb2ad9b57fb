// Request keys: the identity of a block and everything before it, as a chain of XXH3-64 values.
// Prompt workers call it for whole prompts, event workers for published blocks; both must give the
// native core's keys, which test/vectors/request-keys.json binds. Token views are indexed within
// blockSize × block count, which is checked against their length first.

import { xxh3 } from '@node-rs/xxhash';
import { assert } from '#contracts/assert.js';
import type { KeyNamespace, RequestKeys } from '#contracts/block.js';

/** A 64-bit key as two unsigned 32-bit words. */
export interface BlockKey {
  readonly low: number;
  readonly high: number;
}

const scratch64 = new BigUint64Array(1);
const scratch32 = new Uint32Array(scratch64.buffer);
// Words are laid down as the host stores them, so the host must be little-endian like the format.
assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, 'the host is little-endian');

/**
 * Returns the key a chain starts from: XXH3-64, seeded with the deployment's secret, over pool,
 * adapter and cache salt, each as u32 little-endian UTF-8 byte count, then its bytes.
 */
export function namespaceSeed(secret: bigint, namespace: KeyNamespace): BlockKey {
  assert(secret >= 0n && secret < 1n << 64n, 'the secret is an unsigned 64-bit number');
  const names = [namespace.pool, namespace.adapter, namespace.cacheSalt];
  const input = countedBytes(names.map((name) => Buffer.from(name, 'utf8')));
  scratch64[0] = xxh3.xxh64(input, secret);
  return { low: scratch32[0] as number, high: scratch32[1] as number };
}

/**
 * Writes the keys of all whole blocks of `tokenIds` that follow `parent` (a namespace seed, or the
 * key of the block before) to `keys`, and returns their number. Token ids after the last whole
 * block are ignored. `keys` must hold two words per block.
 */
export function chainKeys(
  parent: BlockKey,
  tokenIds: Uint32Array,
  blockSize: number,
  keys: RequestKeys,
): number {
  assert(Number.isInteger(blockSize) && blockSize > 0, 'a block holds at least one token');
  const blockCount = Math.floor(tokenIds.length / blockSize);
  assert(keys.length >= 2 * blockCount, 'keys has room for every block');
  // No block is larger than the prompt, so an engine's absurd block size costs no memory.
  if (blockCount === 0) return 0;
  const { words, bytes } = blockBuffer(blockSize);
  let seed = toBigint(parent.low, parent.high);
  for (let block = 0; block < blockCount; block++) {
    const first = block * blockSize;
    for (let i = 0; i < blockSize; i++) words[i] = tokenIds[first + i] as number;
    seed = xxh3.xxh64(bytes, seed);
    scratch64[0] = seed;
    keys[2 * block] = scratch32[0] as number;
    keys[2 * block + 1] = scratch32[1] as number;
  }
  return blockCount;
}

/**
 * Returns the key of one block with extra keys (multimodal, prompt embeddings): its token ids,
 * then `extra`, the `countedBytes` of those. Without extra keys it gives what `chainKeys` gives.
 */
export function hashBlock(parent: BlockKey, tokenIds: Uint32Array, extra: Uint8Array): BlockKey {
  assert(tokenIds.length > 0, 'a block holds at least one token');
  const ids = new Uint8Array(tokenIds.buffer, tokenIds.byteOffset, tokenIds.byteLength);
  const input = extra.length === 0 ? ids : Buffer.concat([ids, extra]);
  scratch64[0] = xxh3.xxh64(input, toBigint(parent.low, parent.high));
  return { low: scratch32[0] as number, high: scratch32[1] as number };
}

/** Lays down of each part the u32 little-endian byte count and the bytes. */
export function countedBytes(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts.flatMap((part) => [lengthPrefix(part.length), part]));
}

/** XXH3-128 of `bytes`, seeded with a key; 16 bytes, little-endian. */
export function digestOf(bytes: Uint8Array, seed: BlockKey): Uint8Array {
  const digest = xxh3.xxh128(bytes, toBigint(seed.low, seed.high));
  const words = BigUint64Array.of(BigInt.asUintN(64, digest), digest >> 64n);
  return new Uint8Array(words.buffer);
}

function toBigint(low: number, high: number): bigint {
  scratch32[0] = low;
  scratch32[1] = high;
  return scratch64[0] as bigint;
}

function lengthPrefix(byteCount: number): Buffer {
  const prefix = Buffer.allocUnsafe(4);
  prefix.writeUInt32LE(byteCount);
  return prefix;
}

interface BlockBuffer {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
}

// One input buffer, reused: a view per block would cost as much as hashing it. A thread works
// for few block sizes, mostly one, so the last one is kept.
let lastBuffer: BlockBuffer = newBlockBuffer(16);

function blockBuffer(blockSize: number): BlockBuffer {
  if (lastBuffer.words.length !== blockSize) lastBuffer = newBlockBuffer(blockSize);
  return lastBuffer;
}

function newBlockBuffer(blockSize: number): BlockBuffer {
  const words = new Uint32Array(blockSize);
  return { words, bytes: new Uint8Array(words.buffer) };
}
