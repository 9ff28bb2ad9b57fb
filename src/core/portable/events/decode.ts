// Turns one frame of an engine into the contracts' events: arrays and maps, short and long, vLLM
// and SGLang (wire-formats §2, rules 1-3). Called by the applier before it changes anything, so a
// malformed frame is refused as a whole. What is well-formed but cannot be mapped is counted.

import type { EngineKey, TierNumber } from '#contracts/block.js';
import type { BlockExtraKeys, EventBatch, KvEvent } from '#contracts/kv-event.js';
import { decodeMsgpack } from '#wire/msgpack.js';

export type DecodeResult =
  | { readonly ok: true; readonly batch: EventBatch }
  /** `reason` names the event, its field and what was wrong with it. */
  | { readonly ok: false; readonly reason: string };

const GPU: TierNumber = 0;
const CPU: TierNumber = 1;
const DISK: TierNumber = 2;
const SHARED: TierNumber = 3;

/** Media of vLLM and SGLang, upper case. */
const MEDIA: ReadonlyMap<string, TierNumber> = new Map([
  ['GPU', GPU],
  ['CPU', CPU],
  ['CPU_PINNED', CPU],
  ['DISK', DISK],
  ['STORAGE', DISK],
  ['EXTERNAL', SHARED],
]);

/** Longest hash in bytes: a SHA-256 has 32. */
const HASH_BYTES_MAX = 64;

/** Positions in the array form; position 0 is the tag. Fields that only maps have are not listed. */
const STORED_FIELDS: readonly FieldName[] = [
  'type',
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
const REMOVED_FIELDS: readonly FieldName[] = ['type', 'block_hashes', 'medium', 'group_idx'];

type FieldName =
  | 'type'
  | 'block_hashes'
  | 'parent_block_hash'
  | 'token_ids'
  | 'block_size'
  | 'lora_id'
  | 'medium'
  | 'lora_name'
  | 'extra_keys'
  | 'group_idx'
  | 'kv_cache_spec_kind'
  | 'kv_cache_spec_sliding_window'
  | 'locality'
  | 'cache_salt';
type Fields = { readonly [Name in FieldName]?: unknown };

/** A field of the wrong type; becomes the reason. */
class FieldError extends Error {}

/** Decodes the third frame of an event message. Never throws. */
export function decodeEventBatch(payload: Uint8Array): DecodeResult {
  const decoded = decodeMsgpack(payload);
  if (!decoded.ok) return decoded;
  const root = decoded.value;
  if (!Array.isArray(root) || root.length < 2) {
    return { ok: false, reason: 'batch is not an array of timestamp, events, rank' };
  }
  const [timestamp, events, rank] = root as readonly unknown[];
  if (typeof timestamp !== 'number' && typeof timestamp !== 'bigint') {
    return { ok: false, reason: `batch: timestamp is ${kindOf(timestamp)}, expected a number` };
  }
  if (!Array.isArray(events)) {
    return { ok: false, reason: `batch: events is ${kindOf(events)}, expected an array` };
  }
  return decodeEvents(Number(timestamp), events, typeof rank === 'number' ? rank : null);
}

function decodeEvents(
  timestamp: number,
  raw: readonly unknown[],
  dataParallelRank: number | null,
): DecodeResult {
  const events: KvEvent[] = [];
  let unknownEvents = 0;
  for (const [position, event] of raw.entries()) {
    try {
      const decoded = decodeEvent(event);
      if (decoded.event !== null) events.push(decoded.event);
      if (decoded.counted) unknownEvents += 1;
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      return { ok: false, reason: `event ${position}: ${error.message}` };
    }
  }
  return { ok: true, batch: { timestamp, events, dataParallelRank, unknownEvents } };
}

/** `counted`: something about it is unknown to this program, whether or not it can be applied. */
interface DecodedEvent {
  readonly event: KvEvent | null;
  readonly counted: boolean;
}

const UNKNOWN: DecodedEvent = { event: null, counted: true };

function decodeEvent(raw: unknown): DecodedEvent {
  const tag = Array.isArray(raw) ? raw[0] : isRecord(raw) ? raw.type : undefined;
  if (typeof tag !== 'string') throw new FieldError(`${kindOf(raw)} without a tag`);
  if (tag === 'BlockStored') return decodeStored(fieldsOf(raw, STORED_FIELDS));
  if (tag === 'BlockRemoved') return decodeRemoved(fieldsOf(raw, REMOVED_FIELDS));
  if (tag === 'AllBlocksCleared') return { event: { type: 'AllBlocksCleared' }, counted: false };
  return UNKNOWN;
}

/** Array form as a record; missing trailing fields stay absent, extra ones are ignored (rule 2). */
function fieldsOf(raw: unknown, names: readonly FieldName[]): Fields {
  if (!Array.isArray(raw)) return raw as Fields;
  const fields: { [Name in FieldName]?: unknown } = {};
  const count = Math.min(raw.length, names.length);
  for (let i = 0; i < count; i += 1) fields[names[i] as FieldName] = raw[i];
  return fields;
}

function decodeStored(fields: Fields): DecodedEvent {
  const tokenIds = readArray(fields, 'token_ids');
  const blockHashes = readHashes(fields);
  const parent = fields.parent_block_hash ?? null;
  const medium = readString(fields, 'medium');
  const tier = tierOf(medium, readString(fields, 'locality'));
  // Bigram pairs of EAGLE trees, or ids beyond 32 bits, name no block that a prompt can have.
  if (!areTokenIds(tokenIds)) return UNKNOWN;
  return {
    event: {
      type: 'BlockStored',
      blockHashes,
      parentBlockHash: parent === null ? null : toEngineKey(parent, 'parent_block_hash'),
      tokenIds,
      blockSize: readCount(fields, 'block_size') ?? 0,
      tier: tier ?? SHARED,
      loraName: readLora(fields),
      cacheSalt: readString(fields, 'cache_salt'),
      extraKeys: readExtraKeys(fields),
      group: readCount(fields, 'group_idx') ?? 0,
      specKind: readString(fields, 'kv_cache_spec_kind'),
      slidingWindow: readCount(fields, 'kv_cache_spec_sliding_window'),
    },
    counted: tier === null,
  };
}

function decodeRemoved(fields: Fields): DecodedEvent {
  const tier = tierOf(readString(fields, 'medium'), readString(fields, 'locality'));
  return {
    event: {
      type: 'BlockRemoved',
      blockHashes: readHashes(fields),
      tier: tier ?? SHARED,
      group: readCount(fields, 'group_idx') ?? 0,
    },
    counted: tier === null,
  };
}

/** null for a medium this program does not know, which is kept as `shared` and counted. */
function tierOf(medium: string | null, locality: string | null): TierNumber | null {
  if (medium === null) return GPU;
  if (locality === 'REMOTE') return SHARED;
  return MEDIA.get(medium.toUpperCase()) ?? null;
}

/**
 * Name of the adapter. Releases before 0.14.1 tell only a number: such blocks get a name that no
 * request can have (a NUL), so that they never pass for the base model's.
 */
function readLora(fields: Fields): string | null {
  const name = readString(fields, 'lora_name');
  if (name !== null) return name;
  const id = fields.lora_id ?? null;
  if (id === null) return null;
  // No engine sends anything but an integer; other kinds only need a name of their own.
  const isPlain = typeof id === 'number' ? Number.isSafeInteger(id) : typeof id !== 'object';
  return `\0lora-id:${isPlain ? String(id) : kindOf(id)}`;
}

function readHashes(fields: Fields): readonly EngineKey[] {
  return readArray(fields, 'block_hashes').map((hash) => toEngineKey(hash, 'block_hashes'));
}

/** The same integer is the same key whatever width it was sent in; bytes never equal integers. */
function toEngineKey(value: unknown, field: string): EngineKey {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (value instanceof Uint8Array && value.length > 0 && value.length <= HASH_BYTES_MAX) {
    return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex');
  }
  throw new FieldError(`${field} holds ${kindOf(value)}, expected an integer or a short bin`);
}

function areTokenIds(values: readonly unknown[]): values is readonly number[] {
  for (const value of values) {
    if (typeof value !== 'number' || value >>> 0 !== value) return false;
  }
  return true;
}

function readExtraKeys(fields: Fields): readonly BlockExtraKeys[] | null {
  const value = fields.extra_keys ?? null;
  if (value === null) return null;
  if (!Array.isArray(value)) throw wrongType('extra_keys', value, 'an array or nil');
  for (const entry of value as readonly unknown[]) {
    if (entry !== null && !Array.isArray(entry)) throw wrongType('extra_keys', entry, 'arrays');
  }
  return value as readonly BlockExtraKeys[];
}

function readArray(fields: Fields, name: FieldName): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw wrongType(name, value, 'an array');
  return value;
}

function readString(fields: Fields, name: FieldName): string | null {
  const value = fields[name] ?? null;
  if (value !== null && typeof value !== 'string') throw wrongType(name, value, 'a string or nil');
  return value;
}

function readCount(fields: Fields, name: FieldName): number | null {
  const value = fields[name] ?? null;
  if (value === null) return null;
  if (typeof value !== 'number' || value >>> 0 !== value) throw wrongType(name, value, 'a count');
  return value;
}

function wrongType(name: string, value: unknown, expected: string): FieldError {
  return new FieldError(`${name} is ${kindOf(value)}, expected ${expected}`);
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'missing';
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Uint8Array) return `a bin of ${value.length} bytes`;
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}
