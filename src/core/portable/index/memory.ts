// The index's memory as the portable core sees it: allocation by main, opening by every thread.
// Views are indexed with the offsets of index-layout.ts, which are checked when a buffer is opened.

import { assert } from '#contracts/assert.js';
import type { BlockIndexGeometry } from '#contracts/block-index.js';
import {
  BUCKET,
  DISPLACEMENT_MAX,
  INDEX_LAYOUT_VERSION,
  INDEX_MAGIC,
  type IndexLayout,
  indexLayout,
  MASKS,
  PREAMBLE,
  STATE,
  VIRTUAL_ENDPOINT,
} from '#contracts/index-layout.js';

/** An opened index: its words, and where the regions lie in them. */
export interface IndexMemory extends IndexLayout {
  /** Signed words: V8 keeps them as small integers, unsigned ones above 2^31 it boxes. */
  readonly words: Int32Array;
}

const REGIONS = [
  'state',
  'writers',
  'endpoints',
  'masks',
  'setMeta',
  'intern',
  'setBits',
  'buckets',
] as const;

/** Allocates an empty index. Pages are committed by the system only when first written. */
export function createBlockIndex(geometry: BlockIndexGeometry): SharedArrayBuffer {
  const layout = indexLayout(geometry);
  const buffer = new SharedArrayBuffer(layout.totalBytes);
  const words = new Int32Array(buffer, 0, PREAMBLE.words);
  words[PREAMBLE.bucketCount] = layout.bucketCount;
  words[PREAMBLE.endpointCapacity] = layout.endpointCapacity;
  words[PREAMBLE.setCapacity] = layout.setCapacity;
  words[PREAMBLE.internCapacity] = layout.internCapacity;
  for (const region of REGIONS) words[PREAMBLE[region]] = layout[region];
  resetSets(new Int32Array(buffer), layout.state);
  words[PREAMBLE.version] = INDEX_LAYOUT_VERSION;
  words[PREAMBLE.magic] = INDEX_MAGIC;
  return buffer;
}

/** Opens an index that `createBlockIndex`, of this or the other core, has allocated. */
export function openMemory(buffer: SharedArrayBuffer): IndexMemory {
  const words = new Int32Array(buffer);
  const read = (field: number): number => words[field] as number;
  assert(read(PREAMBLE.magic) === INDEX_MAGIC, 'the buffer holds a block index');
  assert(
    read(PREAMBLE.version) === INDEX_LAYOUT_VERSION,
    'the block index has this layout version',
  );
  const bucketCount = read(PREAMBLE.bucketCount);
  const endpointCapacity = read(PREAMBLE.endpointCapacity);
  const buckets = read(PREAMBLE.buckets);
  assert((buckets + bucketCount * BUCKET.words) * 4 <= buffer.byteLength, 'the buffer is whole');
  return {
    words,
    bucketCount,
    reach: Math.min(DISPLACEMENT_MAX, bucketCount - 1),
    endpointCapacity,
    maskWords: endpointCapacity / 32,
    setCapacity: read(PREAMBLE.setCapacity),
    internCapacity: read(PREAMBLE.internCapacity),
    state: read(PREAMBLE.state),
    writers: read(PREAMBLE.writers),
    endpoints: read(PREAMBLE.endpoints),
    masks: read(PREAMBLE.masks),
    setMeta: read(PREAMBLE.setMeta),
    intern: read(PREAMBLE.intern),
    setBits: read(PREAMBLE.setBits),
    buckets,
    totalBytes: buffer.byteLength,
  };
}

/** Gives the counters of set table and sweep the values of an empty index. */
export function resetSets(words: Int32Array, state: number): void {
  // Id 0 is the empty set, and a stamp of 0 marks a freed id: both count from 1.
  words[state + STATE.setsFresh] = 1;
  words[state + STATE.sweepCycle] = 1;
}

/** Word offset of one of the bit masks over virtual endpoint ids. */
export function maskAt(memory: IndexMemory, mask: keyof typeof MASKS): number {
  return memory.masks + MASKS[mask] * memory.maskWords;
}

/** Word offset of a virtual endpoint's record. */
export function endpointAt(memory: IndexMemory, virtualId: number): number {
  return memory.endpoints + virtualId * VIRTUAL_ENDPOINT.words;
}
