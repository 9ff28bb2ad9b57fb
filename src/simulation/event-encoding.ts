// The payload of an event message in both encodings of vLLM (wire-formats §2): maps since 0.24,
// arrays until 0.23.0. Called by the publisher with what the engine model emitted. Key order and
// omitted defaults are those of the releases, byte for byte.

import { encodeEventBatch, type MsgpackValue, WideMap } from '#wire/msgpack-encode.js';
import { type BlockHash, type ExtraKey, integerHash } from './block-hash.js';
import type { EngineEvent } from './engine-event.js';

/** `map`: vLLM ≥ 0.24; `array`: vLLM 0.23.0. */
export type EventEncoding = 'map' | 'array';
/** `integer`: low 64 bits (vLLM's default); `bytes`: the whole digest. */
export type HashForm = 'integer' | 'bytes';

/** One event with vLLM's field names; null or absent is the default. */
export interface WireEvent {
  readonly type: EngineEvent['type'];
  readonly [field: string]: MsgpackValue | undefined;
}

/** msgspec writes a 16-bit map header for a struct with more declared fields than fit into 4 bits. */
const WIDE_FIELDS_MIN = 15;

/** Fields in wire order; the first `always` of them are in a map even at their default. */
const FIELDS: Readonly<
  Record<EngineEvent['type'], { always: number; inArray: number; names: readonly string[] }>
> = {
  BlockStored: {
    always: 7,
    inArray: 11,
    names: [
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
      'locality',
      'ownership',
      'session_id',
      'lookahead_token_ids',
    ],
  },
  BlockRemoved: {
    always: 2,
    inArray: 3,
    names: ['block_hashes', 'medium', 'group_idx', 'locality', 'ownership'],
  },
  AllBlocksCleared: { always: 0, inArray: 0, names: [] },
};

/** One batch `[timestamp, events, rank]`; `timestampSeconds` is the engine's wall clock. */
export function encodeBatch(
  batch: {
    readonly timestampSeconds: number;
    readonly events: readonly WireEvent[];
    readonly dataParallelRank: number | null;
  },
  encoding: EventEncoding,
): Uint8Array {
  return encodeEventBatch({
    timestamp: batch.timestampSeconds,
    events: batch.events.map(encoding === 'map' ? asMap : asArray),
    dataParallelRank: batch.dataParallelRank,
  });
}

/** What an engine with one full-attention group puts on the wire for an event of the model. */
export function toWireEvent(event: EngineEvent, form: HashForm): WireEvent {
  switch (event.type) {
    case 'AllBlocksCleared':
      return { type: event.type };
    case 'BlockRemoved':
      return {
        type: event.type,
        block_hashes: [wireHash(event.hash, form)],
        medium: 'GPU',
        group_idx: 0,
      };
    case 'BlockStored':
      return {
        type: event.type,
        block_hashes: event.hashes.map((hash) => wireHash(hash, form)),
        parent_block_hash: event.parent === null ? null : wireHash(event.parent, form),
        token_ids: event.tokenIds,
        block_size: event.blockSize,
        lora_id: event.lora?.id ?? null,
        medium: 'GPU',
        lora_name: event.lora?.name ?? null,
        extra_keys: event.extraKeys as readonly (readonly ExtraKey[] | null)[],
        group_idx: 0,
        kv_cache_spec_kind: 'full_attention',
      };
  }
}

function wireHash(hash: BlockHash, form: HashForm): bigint | Uint8Array {
  return form === 'integer' ? integerHash(hash) : hash.digest;
}

function asMap(event: WireEvent): MsgpackValue {
  const { always, names } = FIELDS[event.type];
  const record: Record<string, MsgpackValue> = { type: event.type };
  for (const [position, name] of names.entries()) {
    const value = event[name] ?? null;
    if (position < always || value !== null) record[name] = value;
  }
  return names.length >= WIDE_FIELDS_MIN ? new WideMap(record) : record;
}

function asArray(event: WireEvent): MsgpackValue {
  const { inArray, names } = FIELDS[event.type];
  return [event.type, ...names.slice(0, inArray).map((name) => event[name] ?? null)];
}
