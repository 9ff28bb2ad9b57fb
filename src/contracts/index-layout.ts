// Every offset and size of the block index's SharedArrayBuffer. Both cores work on these very
// bytes; a change here is a change of INDEX_LAYOUT_VERSION. All words are 32 bits, little-endian;
// "word offset" counts words from the start of the buffer.
//
// The protocol on the bytes:
// - A key's home bucket is floor((keyLow >>> 4) × bucketCount / 2^28), its tag keyHigh, or 1 where
//   that is 0. It lies in the home or in one of the `reach` buckets after it (wrapping); the slot's
//   set word holds that distance, so slot and position give the home back.
// - Writers of a key hold its home's lock (writer id + 1). Insert: count the overflow of each
//   full bucket passed, compare-and-swap a free set word from 0, then store the tag. Change: one
//   store of the set word. Delete: tag 0, set word 0, then take the overflow counts back.
// - Readers take no lock: tag, set word, tag again. An overflow count of 0 ends a search.
// - Endpoint sets are immutable while referenced. Ids are freed in batches; `setsGeneration` rises
//   before any freed id is used again, so a reader that saw it unchanged saw no id change meaning.

import type { BlockIndexGeometry } from './block-index.js';
import { ENDPOINTS_MAX } from './limits.js';

export const INDEX_LAYOUT_VERSION = 2;
/** "WPIX" in little-endian bytes. */
export const INDEX_MAGIC = 0x58495057;

/** Words at the very start of the buffer; the region words are word offsets. */
export const PREAMBLE = {
  magic: 0,
  version: 1,
  bucketCount: 2,
  endpointCapacity: 3,
  setCapacity: 4,
  internCapacity: 5,
  state: 6,
  writers: 7,
  endpoints: 8,
  masks: 9,
  setMeta: 10,
  intern: 11,
  setBits: 12,
  buckets: 13,
  words: 16,
} as const;

/** One 64-byte bucket: lock, overflow count, then seven slots of (tag, set word). */
export const BUCKET = { lock: 0, overflow: 1, slots: 2, words: 16 } as const;
export const BUCKET_SLOTS = 7;
export const SLOT = { tag: 0, set: 1, words: 2 } as const;
/** A set word: bits 0-23 the endpoint set's id, bits 24-31 the distance from the home bucket. */
export const SET_ID_MASK = 0x00ff_ffff;
export const DISPLACEMENT_SHIFT = 24;
/**
 * Furthest a key lies from its home; beyond it the table counts as full. At the load of 0.6 that
 * an index is laid out for, runs of full buckets are a few buckets long; when almost all slots are
 * taken the bound keeps an addition short.
 */
export const DISPLACEMENT_MAX = 255;

/** Words of the state region; each group of 32 words is a line of its own. */
export const STATE = {
  /** Even while usable, odd while main clears the index. */
  epoch: 0,
  /** 1 from the moment a writer is known to have died until main has recovered the index. */
  suspended: 1,
  /** Rises before freed set ids are used again and when a sweep begins. */
  setsGeneration: 2,
  /** Owner of set table and intern hash: writer id + 1. */
  internLock: 32,
  /** Ids in use, 0 not counted; the lowest id never used (at first 1); head of the freed ids. */
  setsUsed: 33,
  setsFresh: 34,
  setsFree: 35,
  /** 1 when a set was refused for want of an id: the next sweep is due. */
  setsWanted: 36,
  /** Owner of the sweep while a call of it runs: writer id + 1. */
  sweepLock: 64,
  /** 1 between the first and the last bucket of a sweep, which many calls may share. */
  sweepActive: 65,
  sweepCursor: 66,
  /** Number of the sweep, from 1; sets stamped with it were in use during it. */
  sweepCycle: 67,
  /** `setsUsed` after the last sweep. */
  setsKept: 68,
  words: 96,
} as const;

/** Counters of one writer, written by it alone; sums over all writers wrap at 2^32. */
export const WRITER = { blocks: 0, rejected: 1, words: 32 } as const;
/** Event workers and tools writing at once. */
export const INDEX_WRITERS_MAX = 64;
/** Writer id of main's routing history; event workers have the ids below it. */
export const HISTORY_WRITER_ID: number = INDEX_WRITERS_MAX - 1;

/**
 * One virtual endpoint. Owner: bits 0-10 its slot + 1 (0 = not open), bits 11-30 how often the id
 * was opened. Then the windows of groups 1-7 (0 = none) and the hit alignment in blocks (0 = 1).
 * What writers are given as virtual id is that count × 1,024 + the id, so that a generation dropped
 * by another thread is recognised.
 */
export const VIRTUAL_ENDPOINT = { owner: 0, windows: 1, alignment: 8, words: 16 } as const;
export const OWNER_SLOT_MASK = 0x7ff;
export const OWNER_COUNT_SHIFT = 11;
export const OWNER_COUNT_MASK = 0xf_ffff;
export const VIRTUAL_ID_BITS = 10;
export const VIRTUAL_ID_MASK = 0x3ff;

/** Bit masks over virtual endpoint ids, each of `maskWords` words, bit id & 31 of word id >> 5. */
export const MASKS = {
  /** Id is taken. */
  opened: 0,
  /** Its residencies count. */
  alive: 1,
  /** It has group windows or a hit alignment. */
  windowed: 2,
  /** Dropped, its bits still in the table. */
  dropped: 3,
  /** Of those, the ones the running sweep strips. */
  stripping: 4,
  count: 5,
} as const;

/**
 * Two words per set id. `hash`: hash of its bits, or the next freed id. `stamp`: sweep in which it
 * was last seen in use, 0 for a freed id.
 */
export const SET_META = { hash: 0, stamp: 1, words: 2 } as const;

/** Where the regions lie, in words from the start of the buffer. */
export interface IndexLayout {
  readonly bucketCount: number;
  /** The smaller of DISPLACEMENT_MAX and bucketCount − 1. */
  readonly reach: number;
  readonly endpointCapacity: number;
  /** Words of one mask: endpointCapacity ÷ 32. A set's bits are four masks, one per tier. */
  readonly maskWords: number;
  /** Set ids there are; id 0 is the empty set. */
  readonly setCapacity: number;
  /** Slots of the intern hash, a power of two: set ids by hash & (capacity − 1), linear probing. */
  readonly internCapacity: number;
  readonly state: number;
  readonly writers: number;
  readonly endpoints: number;
  readonly masks: number;
  readonly setMeta: number;
  readonly intern: number;
  readonly setBits: number;
  readonly buckets: number;
  readonly totalBytes: number;
}

/** Most buckets: home buckets must be exact in a double, and 2 GiB is the hard cap of the table. */
export const BUCKETS_MAX: number = 2 ** 25;
const BUCKETS_MIN = 16;
/**
 * Of a full table. At 0.75 a key that came late lay behind its home in 36 of 100 cases, and matching
 * a long prompt took three times as long; at 0.6 an entry takes two bytes more.
 */
export const LOAD_FACTOR = 0.6;
const LINE_WORDS = 32;
/** A set id per this many blocks: conversations share sets, 0.002 per block were measured. */
const BLOCKS_PER_SET = 128;
const SETS_MIN = 4096;
const SETS_MAX: number = 2 ** 20;
/**
 * V8 hands out large buffers 16 bytes past a 128-byte boundary (glibc's chunk head), so regions
 * begin there too; were it otherwise, a bucket would straddle two lines, slower but right.
 */
const BASE_WORDS = 28;

/** Lays out an index. Throws a RangeError for a geometry outside its bounds. */
export function indexLayout(geometry: BlockIndexGeometry): IndexLayout {
  const { blockCapacity, endpointCapacity } = geometry;
  if (!Number.isInteger(blockCapacity) || blockCapacity < 1) {
    throw new RangeError(`block index: blockCapacity ${blockCapacity} must be a positive integer`);
  }
  if (
    !Number.isInteger(endpointCapacity / 64) ||
    endpointCapacity < 64 ||
    endpointCapacity > ENDPOINTS_MAX
  ) {
    throw new RangeError(
      `block index: endpointCapacity ${endpointCapacity} must be a multiple of 64 up to ${ENDPOINTS_MAX}`,
    );
  }
  const bucketCount = Math.max(BUCKETS_MIN, Math.ceil(blockCapacity / LOAD_FACTOR / BUCKET_SLOTS));
  if (bucketCount > BUCKETS_MAX) {
    throw new RangeError(
      `block index: blockCapacity ${blockCapacity} must be at most ${Math.floor(BUCKETS_MAX * BUCKET_SLOTS * LOAD_FACTOR)}`,
    );
  }
  const setCapacity = Math.min(
    SETS_MAX,
    Math.max(SETS_MIN, Math.ceil(blockCapacity / BLOCKS_PER_SET)),
  );
  return placeRegions(bucketCount, endpointCapacity, setCapacity);
}

function placeRegions(
  bucketCount: number,
  endpointCapacity: number,
  setCapacity: number,
): IndexLayout {
  const maskWords = endpointCapacity / 32;
  const internCapacity = 2 ** Math.ceil(Math.log2(2 * setCapacity));
  let next = BASE_WORDS;
  const place = (words: number): number => {
    const at = next;
    next += Math.ceil(words / LINE_WORDS) * LINE_WORDS;
    return at;
  };
  const state = place(STATE.words);
  const writers = place(INDEX_WRITERS_MAX * WRITER.words);
  const endpoints = place(endpointCapacity * VIRTUAL_ENDPOINT.words);
  const masks = place(MASKS.count * maskWords);
  const setMeta = place(setCapacity * SET_META.words);
  const intern = place(internCapacity);
  const setBits = place(setCapacity * maskWords * 4);
  const buckets = place(bucketCount * BUCKET.words);
  return {
    bucketCount,
    reach: Math.min(DISPLACEMENT_MAX, bucketCount - 1),
    endpointCapacity,
    maskWords,
    setCapacity,
    internCapacity,
    state,
    writers,
    endpoints,
    masks,
    setMeta,
    intern,
    setBits,
    buckets,
    totalBytes: next * 4,
  };
}
