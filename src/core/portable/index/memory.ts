// The index's memory as the portable core sees it, opened by every thread (core/index-memory.ts
// allocates it).
// Views are indexed with the offsets of index-layout.ts, which are checked when a buffer is opened.

import { assert } from '#contracts/assert.js';
import {
  BUCKET,
  DISPLACEMENT_MAX,
  INDEX_LAYOUT_VERSION,
  INDEX_MAGIC,
  type IndexLayout,
  MASKS,
  PREAMBLE,
  VIRTUAL_ENDPOINT,
} from '#contracts/index-layout.js';

/** An opened index: its words, and where the regions lie in them. */
export interface IndexMemory extends IndexLayout {
  /** Signed words: V8 keeps them as small integers, unsigned ones above 2^31 it boxes. */
  readonly words: Int32Array;
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

/** Word offset of one of the bit masks over virtual endpoint ids. */
export function maskAt(memory: IndexMemory, mask: keyof typeof MASKS): number {
  return memory.masks + MASKS[mask] * memory.maskWords;
}

/** Word offset of a virtual endpoint's record. */
export function endpointAt(memory: IndexMemory, virtualId: number): number {
  return memory.endpoints + virtualId * VIRTUAL_ENDPOINT.words;
}
