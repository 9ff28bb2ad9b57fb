// Offsets and sizes of the shared memory between main and prompt workers (bodies, encode records,
// speculative residencies) and between event workers and main (publisher counters). The block
// index's layout is index-layout.ts. All words are 32 bits, little-endian, unless said otherwise.

import { BODY_STORE_BYTES, REQUESTS_IN_FLIGHT_MAX, SPECULATIVE_ENTRIES } from './limits.js';

/** Words of the head of an encode record; per-endpoint arrays follow it. */
export const RECORD = {
  /** Generation of the handle that owns the slot; bumped on open and on release. */
  generation: 0,
  /** Where body and keys lie in the slab, bytes from the slab's start. */
  bodyOffset: 1,
  bodyBytes: 2,
  keysOffset: 3,
  /** Room for keys, counted in keys of 8 bytes; keysOffset is a multiple of 8. */
  keysCapacity: 4,
  /** 0 waiting, 1 encoded, 2 refused. */
  state: 5,
  /** Index into ERROR_CODES when refused. */
  errorCode: 6,
  /** 1 + index into NO_MATCH_REASONS, 0 when matching took place. */
  noMatchReason: 7,
  /** Bit 0: stream. */
  flags: 8,
  priority: 9,
  promptTokens: 10,
  totalBlocks: 11,
  blockSize: 12,
  /** Keys written to the slab: the first blocks of the prompt. */
  keyCount: 13,
  /** Index of the model descriptor + 1, 0 when unknown. */
  model: 14,
  /** The model's name as raw JSON string inside the body. */
  modelOffset: 15,
  modelBytes: 16,
  indexEpoch: 17,
  parseMicros: 18,
  renderMicros: 19,
  tokenizeMicros: 20,
  hashMicros: 21,
  matchMicros: 22,
  /** Ranges cut from the body: count, then (offset, length) pairs. */
  patchCount: 23,
  patches: 24,
  /** UTF-8 text for the client: byte count, then bytes; the parameter's name likewise. */
  detailBytes: 40,
  detail: 41,
  paramBytes: 105,
  param: 106,
  /**
   * 1 while an encoder writes this record and its keys. The encoder sets it, then checks the
   * generation, and writes only if that is still its own. `release` bumps the generation first and
   * frees the slab ranges only when this word is 0 (microseconds), so that a late encoder never
   * writes into bytes that have become another request's.
   */
  writing: 122,
  /** Keys of images, audio and video, two words each, and how many items have none. */
  mediaCount: 123,
  mediaLeftOut: 124,
  media: 128,
  headWords: 192,
} as const;
export const RECORD_PATCHES_MAX = 8;
export const RECORD_DETAIL_BYTES_MAX = 256;
export const RECORD_PARAM_BYTES_MAX = 64;

/** Per-endpoint arrays after the head, each `endpointCapacity` words (tiers: × 4). */
export const RECORD_ENDPOINT_ARRAYS = {
  usableBlocks: 0,
  rawBlocks: 1,
  speculativeBlocks: 2,
  tierBlocks: 3,
  words: 7,
} as const;

/** Words of one encode record. */
export function recordWords(endpointCapacity: number): number {
  return RECORD.headWords + RECORD_ENDPOINT_ARRAYS.words * endpointCapacity;
}

/** A block of a hot prefix is expected at that many endpoints at once, before events tell of any. */
export const SPECULATIVE_ROW = 32;

/**
 * One row of the speculative table: keys, expiries (ms of the process clock, low 32 bits; 0 =
 * free) and endpoint slots + 1 (0 = nobody) of SPECULATIVE_ROW residencies, like beside like, so that
 * a search reads two cache lines, or four to find room, instead of eight. The table is SPECULATIVE_ENTRIES of them; a key lies
 * anywhere in row keyLow & (rows − 1). Slot is cleared first and stored last.
 */
export const SPECULATIVE = {
  keyLow: 0,
  expiry: 32,
  keyHigh: 64,
  slot: 96,
  rowWords: 128,
} as const;

/** Byte offsets inside the `requests` buffer. */
export interface RequestMemoryLayout {
  readonly endpointCapacity: number;
  readonly records: number;
  readonly recordBytes: number;
  readonly speculative: number;
  readonly slab: number;
  readonly slabBytes: number;
  readonly totalBytes: number;
}

/**
 * Words of the head of the `requests` buffer. `speculativeUntil`: expiry of the latest speculative
 * residency (ms, low 32 bits); from then on readers need not look at the table. V8 hands out large
 * buffers 16 bytes past a 128-byte boundary, so what follows the head begins on a line.
 */
export const REQUEST_MEMORY = { endpointCapacity: 0, speculativeUntil: 1, headBytes: 112 } as const;

/** Lays out the `requests` buffer for `endpointCapacity` endpoint slots. */
export function requestMemoryLayout(endpointCapacity: number): RequestMemoryLayout {
  const recordBytes = recordWords(endpointCapacity) * 4;
  const records = REQUEST_MEMORY.headBytes;
  const speculative = records + REQUESTS_IN_FLIGHT_MAX * recordBytes;
  const rows = SPECULATIVE_ENTRIES / SPECULATIVE_ROW;
  const slab = align(speculative + rows * SPECULATIVE.rowWords * 4, 4096);
  return {
    endpointCapacity,
    records,
    recordBytes,
    speculative,
    slab,
    slabBytes: BODY_STORE_BYTES,
    totalBytes: slab + BODY_STORE_BYTES,
  };
}

/**
 * Counters of one publisher, float64 each, written by its event worker only and read by main
 * without a lock (a torn read of a counter is harmless).
 */
export const PUBLISHER_FIELDS = [
  'framesReceived',
  'framesApplied',
  'framesMalformed',
  'framesDuplicate',
  'framesForeign',
  'framesOverflowed',
  'gaps',
  'framesLost',
  'replays',
  'replaysFailed',
  'restarts',
  'clears',
  'blocksStored',
  'blocksRemoved',
  'unknownParents',
  'unknownBlocks',
  'unknownEvents',
  'indexFull',
  'queuedFrames',
  /** Of the last frame applied, −1 before the first. */
  'lastSeq',
  /** Monotonic process time of the last frame, ms. */
  'lastFrameAtMs',
] as const;
export type PublisherField = (typeof PUBLISHER_FIELDS)[number];

/** Bytes of the `publishers` buffer. */
export function publisherMemoryBytes(endpointCapacity: number): number {
  return endpointCapacity * PUBLISHER_FIELDS.length * 8;
}

/** Index of a publisher's field in the Float64Array over the `publishers` buffer. */
export function publisherField(slot: number, field: PublisherField): number {
  return slot * PUBLISHER_FIELDS.length + PUBLISHER_FIELDS.indexOf(field);
}

function align(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
