// vLLM's `sha256_cbor` block hashes (wire-formats §3): H_i = SHA-256 of canonical CBOR of
// [parent, token ids, extra keys]. The engine model keys its cache with them and publishes them.
// Shares nothing with the router's hashing, so that tests compare two independent programs.

import { hash } from 'node:crypto';
import { assert } from '#contracts/assert.js';

/** One extra key as it enters the hash; nested arrays stand for Python tuples. */
export type ExtraKey = string | number | readonly ExtraKey[];
/** Extra keys of one block, null for none. */
export type ExtraKeys = readonly ExtraKey[] | null;

/** A LoRA adapter as the engine knows it. `id` counts from 1. */
export interface LoraAdapter {
  readonly name: string;
  readonly id: number;
  readonly path: string;
}

/** What separates the blocks of equal token ids. */
export interface SequenceIdentity {
  readonly lora: LoraAdapter | null;
  readonly cacheSalt: string | null;
}

/** `tagged`: vLLM ≥ 0.31, `("lora", name, path)`; `plain`: older releases, `name`. */
export type ExtraKeyForm = 'tagged' | 'plain';

/** A block's digest and the same as a string, the key of the cache's map. */
export interface BlockHash {
  readonly digest: Buffer;
  readonly key: string;
}

/** What releases ≥ 0.29 hash when PYTHONHASHSEED is unset. */
const UNSEEDED_TEXT = 'vllm-none-hash';

/** Parent of every first block; `seed` is PYTHONHASHSEED exactly as text, null when unset. */
export function noneHash(seed: string | null): Buffer {
  const writer = new CborWriter(64);
  writer.text(seed ?? UNSEEDED_TEXT);
  return hash('sha256', writer.bytes(), 'buffer');
}

/** Hashes token ids `start` … `start + count − 1` after `parent`. */
export function hashBlock(
  parent: Buffer,
  tokenIds: readonly number[],
  range: { readonly start: number; readonly count: number },
  extraKeys: ExtraKeys,
): BlockHash {
  const { start, count } = range;
  assert(start + count <= tokenIds.length, 'only full blocks are hashed');
  const writer = new CborWriter(64 + count * 5);
  writer.head(4, 3);
  writer.byteString(parent);
  writer.head(4, count);
  for (let i = start; i < start + count; i++) writer.integer(tokenIds[i] ?? 0);
  if (extraKeys === null) writer.nil();
  else writer.extra(extraKeys);
  const digest = hash('sha256', writer.bytes(), 'buffer');
  return { digest, key: digest.toString('latin1') };
}

/** Extra keys that enter the hash of block `block`: adapter on every block, salt on the first. */
export function hashedExtraKeys(
  identity: SequenceIdentity,
  block: number,
  form: ExtraKeyForm,
): ExtraKeys {
  const { lora, cacheSalt } = identity;
  const keys: ExtraKey[] = [];
  if (lora !== null) keys.push(form === 'tagged' ? ['lora', lora.name, lora.path] : lora.name);
  if (cacheSalt !== null && block === 0) {
    keys.push(form === 'tagged' ? ['cache_salt', cacheSalt] : cacheSalt);
  }
  return keys.length === 0 ? null : keys;
}

/** The low 64 bits that events carry by default (VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES=1). */
export function integerHash(block: BlockHash): bigint {
  return block.digest.readBigUInt64BE(block.digest.length - 8);
}

/** Canonical CBOR of the few types that a preimage holds, into a buffer that grows. */
class CborWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Initial byte of `major` with its argument in the shortest form. */
  head(major: number, argument: number): void {
    this.#reserve(9);
    const top = major << 5;
    if (argument < 24) this.#bigEndian(top | argument, 1);
    else if (argument < 0x100) this.#tagged(top | 24, argument, 1);
    else if (argument < 0x1_0000) this.#tagged(top | 25, argument, 2);
    else if (argument < 0x1_0000_0000) this.#tagged(top | 26, argument, 4);
    else {
      this.#bigEndian(top | 27, 1);
      this.#length = this.#buffer.writeBigUInt64BE(BigInt(argument), this.#length);
    }
  }

  integer(value: number): void {
    if (value >= 0) this.head(0, value);
    else this.head(1, -1 - value);
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value, 'utf8');
    this.head(3, bytes);
    this.#reserve(bytes);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  byteString(value: Buffer): void {
    this.head(2, value.length);
    this.#reserve(value.length);
    this.#length += value.copy(this.#buffer, this.#length);
  }

  nil(): void {
    this.#reserve(1);
    this.#length = this.#buffer.writeUInt8(0xf6, this.#length);
  }

  extra(value: ExtraKey): void {
    if (typeof value === 'number') this.integer(value);
    else if (typeof value === 'string') this.text(value);
    else {
      this.head(4, value.length);
      for (const part of value) this.extra(part);
    }
  }

  #tagged(tag: number, value: number, bytes: number): void {
    this.#buffer[this.#length++] = tag;
    this.#bigEndian(value, bytes);
  }

  /** Plain stores: a 7,000-token prompt writes as many integers at once. */
  #bigEndian(value: number, bytes: number): void {
    for (let shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
      this.#buffer[this.#length++] = value >>> shift;
    }
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
