// The native applier beside the portable one: the same frames give the same results, field by field,
// and the same residencies, whatever the frames are.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ApplyResult, EventApplier } from '#contracts/core.js';
import { seededRandom } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createEventApplier as createNativeApplier } from '#core/native/events/applier.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { SharedIndex } from '#test/support/applied-index.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { goldenFile } from '#test/support/paths.js';
import { damaged, type Habits, RandomEvents } from '#test/support/random-events.js';

/** Frames per kind of publisher; raise it to search longer. */
const FRAMES = 4000;
const SLOT = 1;
const SECRET = 0xfedc_ba98_7654_3210n;

interface Side {
  readonly applier: EventApplier;
  readonly index: SharedIndex;
}

interface Pair {
  readonly portable: Side;
  readonly native: Side;
}

function openPair(blockSize: number): Pair {
  const side = (create: (index: SharedArrayBuffer) => EventApplier): Side => {
    const buffer = createBlockIndex({ blockCapacity: 4000, endpointCapacity: 64 });
    const applier = create(buffer);
    applier.open(SLOT, { pool: 'model', blockSize });
    return { applier, index: new SharedIndex(buffer) };
  };
  return {
    portable: side((index) => createEventApplier(openIndexWriter(index, 0), SECRET)),
    native: side((index) =>
      createNativeApplier(nativeAddon(), { index, writerId: 0, hashSecret: SECRET }),
    ),
  };
}

/** Applies a frame on both sides; their results must be equal but for the words of `detail`. */
function applyBoth({ portable, native }: Pair, payload: Uint8Array, context: string): ApplyResult {
  const expected = portable.applier.apply(SLOT, payload);
  const result = native.applier.apply(SLOT, payload);
  const say = () =>
    `${context}: ${result.detail} / ${expected.detail} / ${Buffer.from(payload).toString('hex')}`;
  assert.deepEqual({ ...result, detail: '' }, { ...expected, detail: '' }, say());
  assert.equal(result.detail === '', expected.detail === '', say());
  return expected;
}

function compareIndexes({ portable, native }: Pair, context: string): number {
  const expected = [...portable.index.residencies(SLOT)].sort();
  assert.deepEqual([...native.index.residencies(SLOT)].sort(), expected, context);
  assert.deepEqual(native.index.windows(SLOT), portable.index.windows(SLOT), context);
  assert.deepEqual(native.index.alignment(SLOT), portable.index.alignment(SLOT), context);
  return expected.length;
}

const start = Math.floor(Math.random() * 2 ** 31);
const PUBLISHERS: readonly (Habits & { readonly canonical: number })[] = [
  { canonical: 16, blockSizes: [16], groups: 1, hashes: 'small' },
  { canonical: 16, blockSizes: [16, 16, 8], groups: 2, hashes: 'signed' },
  { canonical: 16, blockSizes: [64, 16, 32], groups: 3, hashes: 'mixed' },
  { canonical: 16, blockSizes: [1, 4], groups: 1, hashes: 'signed' },
  { canonical: 16, blockSizes: [10, 24], groups: 2, hashes: 'bytes' },
  { canonical: 32, blockSizes: [16, 64, 5], groups: 9, hashes: 'mixed' },
];

for (const [number, habits] of PUBLISHERS.entries()) {
  const seed = start + number;
  const { canonical, blockSizes, groups, hashes } = habits;
  const title = `blocks of ${blockSizes} in ${canonical}, ${groups} groups, ${hashes} hashes`;
  test(`random streams give equal results (${title}; seed ${seed})`, {
    skip: nativeSkip,
  }, (context) => {
    const events = new RandomEvents(seededRandom(seed), habits);
    const pair = openPair(canonical);
    const seen = { applied: 0, stored: 0, removed: 0, residencies: 0 };
    for (let frame = 0; frame < FRAMES; frame += 1) {
      const result = applyBoth(pair, events.frame(), `seed ${seed}, frame ${frame}`);
      if (result.status === 'applied') seen.applied += 1;
      seen.stored += result.blocksStored;
      seen.removed += result.blocksRemoved;
      for (const side of [pair.portable, pair.native]) side.applier.sweep(10_000);
      if (frame % 16 > 0) continue;
      const held = compareIndexes(pair, `seed ${seed}, frame ${frame}`);
      seen.residencies = Math.max(seen.residencies, held);
    }
    context.diagnostic(JSON.stringify(seen));
    assert.ok(seen.applied > FRAMES / 2 && seen.stored > FRAMES / 4 && seen.removed > FRAMES / 20);
    assert.ok(seen.residencies > 0);
  });
}

test(`damaged golden frames give equal results (seed ${start})`, { skip: nativeSkip }, () => {
  const random = seededRandom(start);
  const payloads = [
    'vllm-0.33.0-event-batches.json',
    'vllm-0.23.0-event-batches.json',
    'vllm-0.18.1-event-batches.json',
    'vllm-0.11.0-event-batches.json',
    'sglang-0.5.23-event-batches.json',
    'sglang-0.5.5-event-batches.json',
  ].flatMap((name) => {
    const { cases } = JSON.parse(readFileSync(goldenFile(name), 'utf8')) as {
      readonly cases: readonly { payload_hex: string }[];
    };
    return cases.map(({ payload_hex }) => Buffer.from(payload_hex, 'hex'));
  });
  const pair = openPair(16);
  for (const [at, payload] of payloads.entries()) {
    assert.equal(applyBoth(pair, payload, `case ${at}`).status, 'applied');
    compareIndexes(pair, `case ${at}`);
  }
  let applied = 0;
  for (let round = 0; round < 4 * FRAMES; round += 1) {
    const payload = payloads[Math.floor(random.next() * payloads.length)] ?? new Uint8Array(0);
    const context = `seed ${start}, round ${round}`;
    if (applyBoth(pair, damaged(random, payload), context).status === 'applied') applied += 1;
    for (const side of [pair.portable, pair.native]) side.applier.sweep(10_000);
    if (round % 64 === 0) compareIndexes(pair, context);
  }
  compareIndexes(pair, `seed ${start}, at the end`);
  assert.ok(applied > FRAMES / 2, `${applied} applied`);
});

test('bombs and fragments are refused alike', { skip: nativeSkip }, () => {
  const pair = openPair(16);
  const nested = (header: readonly number[], count: number): Uint8Array =>
    Uint8Array.from(Array.from({ length: count }, () => header).flat());
  const bombs = [
    Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff),
    nested([0xdc, 0xff, 0xff], 24_000),
    nested([0x91], 512_000),
    nested([0x90], 9),
    nested([0x80], 9),
    new Uint8Array(4 * 1024 * 1024 + 1),
    new Uint8Array(4 * 1024 * 1024),
    new Uint8Array(0),
    Uint8Array.of(0x92, 1),
    Uint8Array.of(0x92, 1, 0x90),
    Uint8Array.of(0x92, 1, 0x90, 0),
    Uint8Array.of(0x92, 1, 0x91, 0xc1),
    Uint8Array.of(0x92, 1, 0x91, 0xd6, 0xff, 0, 0, 0, 0),
    Uint8Array.of(0x93, 1, 0x90, 0xd4, 0xff, 0),
    Uint8Array.of(0x93, 1, 0x90, 0xd6, 0xff, 0, 0, 0, 0),
    Uint8Array.of(0x93, 1, 0x90, 0x81, 0xa9, ...Buffer.from('__proto__'), 1),
    Uint8Array.of(0x93, 1, 0x90, 0x81, 0x90, 1),
    Uint8Array.of(0x93, 1, 0x90, 0x81, 0xc3, 1),
    Uint8Array.of(0x93, 1, 0x90, 0x81, 0x05, 1),
  ];
  const statuses = bombs.map((bomb, at) => applyBoth(pair, bomb, `bomb ${at}`).status);
  assert.equal(statuses.filter((status) => status === 'applied').length, 3);
});
