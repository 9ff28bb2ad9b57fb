// The bytes of a new index: what the native core relies on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BUCKET,
  BUCKET_SLOTS,
  BUCKETS_MAX,
  INDEX_LAYOUT_VERSION,
  INDEX_MAGIC,
  INDEX_WRITERS_MAX,
  indexLayout,
  LOAD_FACTOR,
  MASKS,
  PREAMBLE,
  SET_META,
  SLOT,
  STATE,
  VIRTUAL_ENDPOINT,
  WRITER,
} from '#contracts/index-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { homeOf, tagOf } from '#core/portable/index/buckets.js';
import { openMemory } from '#core/portable/index/memory.js';

const GEOMETRIES = [
  { blockCapacity: 1, endpointCapacity: 64 },
  { blockCapacity: 100_000, endpointCapacity: 256 },
  { blockCapacity: 10_000_000, endpointCapacity: 1024 },
];

test('regions follow each other without overlap, each on lines of its own', () => {
  for (const geometry of GEOMETRIES) {
    const layout = indexLayout(geometry);
    const { maskWords, setCapacity, endpointCapacity } = layout;
    const regions = [
      [layout.state, STATE.words],
      [layout.writers, INDEX_WRITERS_MAX * WRITER.words],
      [layout.endpoints, endpointCapacity * VIRTUAL_ENDPOINT.words],
      [layout.masks, MASKS.count * maskWords],
      [layout.setMeta, setCapacity * SET_META.words],
      [layout.intern, layout.internCapacity],
      [layout.setBits, setCapacity * 4 * maskWords],
      [layout.buckets, layout.bucketCount * BUCKET.words],
    ] as const;
    let end: number = PREAMBLE.words;
    for (const [at, words] of regions) {
      assert.ok(at >= end, 'no overlap');
      // V8's buffers begin 16 bytes after a 128-byte boundary.
      assert.equal((at * 4 + 16) % 128, 0, 'aligned');
      end = at + words;
    }
    assert.ok(end * 4 <= layout.totalBytes);
    assert.ok(layout.internCapacity >= 2 * setCapacity, 'intern chains stay short and end');
    assert.equal(layout.internCapacity & (layout.internCapacity - 1), 0);
  }
});

test('a bucket is one cache line of lock, overflow count and seven slots', () => {
  assert.equal(BUCKET.words * 4, 64);
  assert.equal(BUCKET.slots + BUCKET_SLOTS * SLOT.words, BUCKET.words);
});

test('the table holds the blocks asked for at its load', () => {
  for (const geometry of GEOMETRIES) {
    const slots = indexLayout(geometry).bucketCount * BUCKET_SLOTS;
    assert.ok(slots * LOAD_FACTOR >= geometry.blockCapacity);
  }
  const million = indexLayout({ blockCapacity: 1_000_000, endpointCapacity: 256 });
  assert.ok(million.totalBytes / 1_000_000 < 18, 'bytes per block, sets included');
});

test('a buffer is opened as it was laid out, and nothing else is opened', () => {
  const geometry = { blockCapacity: 1000, endpointCapacity: 128 };
  const buffer = createBlockIndex(geometry);
  const { words, ...opened } = openMemory(buffer);
  assert.deepEqual(opened, indexLayout(geometry));
  assert.equal(words[PREAMBLE.magic], INDEX_MAGIC);
  assert.throws(() => openMemory(new SharedArrayBuffer(4096)), /holds a block index/);
  words[PREAMBLE.version] = INDEX_LAYOUT_VERSION + 1;
  assert.throws(() => openMemory(buffer), /layout version/);
});

test('home buckets are exact integers below the bucket count, for the largest table too', () => {
  for (const bucketCount of [16, 191, 1_904_762, BUCKETS_MAX]) {
    for (const low of [0, 1, 15, 16, 0x12345678, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff]) {
      const exact = Number((BigInt(low >>> 4) * BigInt(bucketCount)) >> 28n);
      assert.equal(homeOf(low, bucketCount), exact);
      assert.equal(homeOf(low | 0, bucketCount), exact);
      assert.ok(exact < bucketCount);
    }
  }
  assert.equal(tagOf(0), 1);
  assert.equal(tagOf(0xffffffff), -1);
});
