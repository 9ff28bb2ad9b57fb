// Allocation of the block index, the same for both cores: main makes the buffer, every thread opens
// it. Offsets are those of index-layout.ts.

import type { BlockIndexGeometry } from '#contracts/block-index.js';
import {
  INDEX_LAYOUT_VERSION,
  INDEX_MAGIC,
  indexLayout,
  PREAMBLE,
  STATE,
} from '#contracts/index-layout.js';

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

/** Gives the counters of set table and sweep the values of an empty index. */
export function resetSets(words: Int32Array, state: number): void {
  // Id 0 is the empty set, and a stamp of 0 marks a freed id: both count from 1.
  words[state + STATE.setsFresh] = 1;
  words[state + STATE.sweepCycle] = 1;
}
