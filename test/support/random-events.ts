// Random event frames: mostly what an engine could send, with every field and form there is, some
// of what none would send, and damaged bytes. Everything comes from one seed.

import { Encoder } from '@msgpack/msgpack';
import type { Random } from '#contracts/random.js';
import { encodeEventBatch, type MsgpackValue } from '#wire/msgpack-encode.js';

const MEDIA = [null, 'GPU', 'gpu', 'CPU', 'cpu_pinned', 'DISK', 'STORAGE', 'EXTERNAL', 'Tape'];
const KINDS = [
  null,
  'full_attention',
  'mla_attention',
  'sliding_window',
  'sliding_window_mla',
  'mamba',
  'chunked_local_attention',
];
const STORED_ORDER = [
  'block_hashes',
  'parent_block_hash',
  'token_ids',
  'block_size',
  'lora_id',
  'medium',
  'lora_name',
  'extra_keys',
  'group_idx',
  'kv_cache_spec_kind',
  'kv_cache_spec_sliding_window',
];
const REMOVED_ORDER = ['block_hashes', 'medium', 'group_idx'];
const floatsForIntegers = new Encoder({ forceIntegerToFloat: true, useBigInt64: true });

/** One publisher's habits, so that its frames have something to do with each other. */
export interface Habits {
  readonly blockSizes: readonly number[];
  readonly groups: number;
  readonly hashes: 'small' | 'signed' | 'bytes' | 'mixed';
}

type Fields = { [name: string]: MsgpackValue };

/** Hashes that were stored, with the place to remove them from. */
interface Held {
  readonly hashes: readonly MsgpackValue[];
  readonly medium: MsgpackValue;
  readonly group: MsgpackValue;
}

/** Stores remembered to go on from and to remove. */
const HELD_MAX = 40;

/** Makes the frames of one publisher. */
export class RandomEvents {
  readonly #random: Random;
  readonly #habits: Habits;
  readonly #held: Held[] = [];
  #fresh = 0;

  constructor(random: Random, habits: Habits) {
    this.#random = random;
    this.#habits = habits;
  }

  /** A frame of a few events, now and then damaged. */
  frame(): Uint8Array {
    const events = Array.from({ length: 1 + this.#below(4) }, () => this.#event());
    const payload = this.#encode(events);
    return this.#chance(0.15) ? damaged(this.#random, payload) : payload;
  }

  #encode(events: readonly MsgpackValue[]): Uint8Array {
    if (this.#chance(0.04)) return floatsForIntegers.encode([1.5, events, 0]);
    return encodeEventBatch({ timestamp: 1.5, events, dataParallelRank: 0 });
  }

  #event(): MsgpackValue {
    const draw = this.#random.next();
    if (draw < 0.01) return ['AllBlocksCleared'];
    if (draw < 0.02) return ['BlockMoved', 1, { type: 'x' }];
    if (draw < 0.55) return this.#form('BlockStored', this.#stored(), STORED_ORDER);
    return this.#form('BlockRemoved', this.#removed(), REMOVED_ORDER);
  }

  /** Array form with fewer or more fields, or map form, both as engines of some release have it. */
  #form(tag: string, fields: Fields, order: readonly string[]): MsgpackValue {
    if (this.#chance(0.5)) {
      const map: Fields = { type: tag, ...fields, session_id: 'abc' };
      return this.#chance(0.1) ? { ...fields, type: tag } : map;
    }
    const values = order.map((name) => fields[name] ?? null);
    while (values.length > 4 && values.at(-1) === null && this.#chance(0.8)) values.pop();
    return [tag, ...values, ...(this.#chance(0.1) ? ['more', null] : [])];
  }

  #stored(): Fields {
    const blockSize = this.#pick(this.#habits.blockSizes);
    const count = this.#below(4 + Math.ceil(24 / blockSize));
    const spanned = this.#chance(0.1) ? count + this.#below(6) : count;
    const tokens = spanned * blockSize + (this.#chance(0.03) ? 1 : 0);
    const isPlaceholder = this.#chance(0.1);
    const isFresh = this.#chance(0.6);
    const hashes = Array.from({ length: count }, () => this.#hash(isFresh));
    const group = this.#chance(0.6) ? 0 : this.#below(this.#habits.groups);
    const medium = this.#chance(0.7) ? null : this.#pick(MEDIA);
    const last = this.#held.at(-1)?.hashes.at(-1) ?? null;
    this.#held.push({ hashes, medium, group });
    if (this.#held.length > HELD_MAX) this.#held.splice(this.#below(HELD_MAX), 1);
    return {
      block_hashes: hashes,
      parent_block_hash: this.#chance(0.35) ? null : this.#chance(0.7) ? last : this.#hash(false),
      token_ids: isPlaceholder ? [] : this.#tokens(tokens, blockSize),
      block_size: isPlaceholder && this.#chance(0.7) ? 0 : blockSize,
      lora_id: this.#chance(0.05) ? this.#below(3) : null,
      medium,
      lora_name: this.#chance(0.1) ? this.#pick(['sql', 'größe', '']) : null,
      extra_keys: this.#chance(0.2) ? this.#extraKeys(count) : null,
      group_idx: this.#chance(0.02) ? this.#pick([8, 9, 70_000]) : group,
      kv_cache_spec_kind: group > 0 || this.#chance(0.3) ? this.#pick(KINDS) : null,
      kv_cache_spec_sliding_window: this.#chance(0.4) ? this.#pick([0, 1, 17, 33, 64, 500]) : null,
      cache_salt: this.#chance(0.05) ? 'salt' : null,
      locality: this.#chance(0.05) ? 'REMOTE' : null,
    };
  }

  #removed(): Fields {
    const held = this.#chance(0.8) ? this.#held[this.#below(this.#held.length)] : undefined;
    if (held !== undefined) {
      const from = this.#below(held.hashes.length);
      const block_hashes = held.hashes.slice(from, from + 1 + this.#below(4));
      return { block_hashes, medium: held.medium, group_idx: held.group };
    }
    return {
      block_hashes: Array.from({ length: this.#below(4) }, () => this.#hash(false)),
      medium: this.#pick(MEDIA),
      group_idx: this.#below(this.#habits.groups),
    };
  }

  /** Few different pages, so that branches, duplicates and re-stores are common. */
  #tokens(count: number, blockSize: number): MsgpackValue[] {
    const tokens: MsgpackValue[] = [];
    while (tokens.length < count) {
      const first = this.#below(2) * 1000;
      for (let i = 0; i < blockSize && tokens.length < count; i += 1) tokens.push(first + i);
    }
    if (this.#chance(0.02)) tokens[0] = this.#pick([[1, 2], -1, 2 ** 33, 'a', 70_000]);
    return tokens;
  }

  #extraKeys(count: number): MsgpackValue {
    const length = this.#chance(0.1) ? this.#below(6) : count;
    return Array.from({ length }, () => {
      if (this.#chance(0.5)) return null;
      return Array.from({ length: this.#below(3) }, () => this.#extraKey());
    });
  }

  #extraKey(): MsgpackValue {
    return this.#pick<MsgpackValue>([
      'sql',
      'tenant',
      'größe',
      ['image', -4],
      ['image', [1, null, true, 70_000, -70_000, 'x'.repeat(30)]],
      Uint8Array.of(1, 2, 3),
      7,
      2n ** 60n,
      { a: 1 },
    ]);
  }

  /** Of few, or one after another out of many. */
  #hash(isFresh: boolean): MsgpackValue {
    if (isFresh) this.#fresh = (this.#fresh + 1) % 200;
    const number = isFresh ? this.#fresh : this.#below(24);
    switch (this.#habits.hashes) {
      case 'small':
        return number;
      case 'signed':
        return BigInt.asIntN(64, BigInt(number + 1) * 0x9e37_79b9_7f4a_7c15n);
      case 'bytes':
        return new Uint8Array(32).fill(number + 1);
      default:
        return this.#pick<MsgpackValue>([
          number,
          -number - 1,
          BigInt.asUintN(64, -BigInt(number + 1)),
          new Uint8Array(16).fill(number + 1),
          ...(this.#chance(0.02) ? [new Uint8Array(0), new Uint8Array(65), 'text', null] : []),
        ]);
    }
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }
}

/** A copy with some bytes changed, left out or put in. */
export function damaged(random: Random, payload: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(payload);
  const changes = 1 + Math.floor(random.next() * 3);
  for (let change = 0; change < changes; change += 1) {
    const at = Math.floor(random.next() * bytes.length);
    const byte = Math.floor(random.next() * 256);
    const draw = random.next();
    if (draw < 0.7) bytes[at] = byte;
    else if (draw < 0.8) bytes = bytes.slice(0, at);
    else if (draw < 0.9) bytes = Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1)]);
    else bytes = Uint8Array.from([...bytes.slice(0, at), byte, ...bytes.slice(at)]);
  }
  return bytes;
}
