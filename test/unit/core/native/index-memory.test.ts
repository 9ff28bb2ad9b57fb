// What the native core refuses to open, with the reason in words.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INDEX_LAYOUT_VERSION, PREAMBLE } from '#contracts/index-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexReader } from '#core/native/index/reader.js';
import { openSpeculativeReader } from '#core/native/index/speculative.js';
import { openIndexWriter } from '#core/native/index/writer.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { VirtualClock } from '#test/support/time.js';

test('memory that holds no index, or a damaged preamble, is refused', { skip: nativeSkip }, () => {
  const addon = nativeAddon();
  const damaged = (field: keyof typeof PREAMBLE, value: number): SharedArrayBuffer => {
    const buffer = createBlockIndex({ blockCapacity: 1000, endpointCapacity: 64 });
    new Uint32Array(buffer)[PREAMBLE[field]] = value;
    return buffer;
  };
  const cases: readonly (readonly [SharedArrayBuffer, RegExp])[] = [
    [new SharedArrayBuffer(8), /are no block index/],
    [new SharedArrayBuffer(4096), /holds no block index/],
    [damaged('magic', 1), /holds no block index/],
    [damaged('version', INDEX_LAYOUT_VERSION + 1), /layout version 3/],
    [damaged('bucketCount', 0), /impossible sizes/],
    [damaged('bucketCount', 2 ** 25), /needs \d+ words/],
    [damaged('bucketCount', 2 ** 31), /impossible sizes/],
    [damaged('endpointCapacity', 63), /impossible sizes/],
    [damaged('endpointCapacity', 4096), /impossible sizes/],
    [damaged('setCapacity', 2 ** 30), /impossible sizes/],
    [damaged('internCapacity', 12), /impossible sizes/],
    [damaged('state', 3), /overlap/],
    [damaged('buckets', 2 ** 32 - 1), /needs \d+ words/],
    [damaged('setBits', 40), /overlap/],
  ];
  for (const [buffer, reason] of cases) {
    assert.throws(() => openIndexReader(addon, buffer), reason);
    assert.throws(() => openIndexWriter(addon, buffer, 0), reason);
  }
  const clock = new VirtualClock();
  assert.throws(() => openSpeculativeReader(addon, new SharedArrayBuffer(8), clock), /no requests/);
  assert.throws(
    () => openSpeculativeReader(addon, new SharedArrayBuffer(4096), clock),
    /not been laid out/,
  );
});

test('numbers that the boundary would bend are refused by the face', { skip: nativeSkip }, () => {
  const buffer = createBlockIndex({ blockCapacity: 1000, endpointCapacity: 64 });
  const writer = openIndexWriter(nativeAddon(), buffer, 0);
  const id = writer.openEndpoint(0);
  assert.throws(() => writer.openEndpoint(-1), /slot exists/);
  assert.throws(() => writer.openEndpoint(1.5), /slot exists/);
  assert.throws(() => writer.openEndpoint(1024), /slot exists/);
  assert.throws(() => writer.dropEndpoint(-1), /virtual id exists/);
  assert.throws(() => writer.add(id, 4 as 0, 0, 1, 1), /tier is 0 to 3/);
  assert.throws(() => writer.add(id, 0, 8, 1, 1), /group is 0 to 7/);
  assert.throws(() => writer.setGroupWindow(id, 0, 1), /group is 1 to 7/);
  assert.throws(() => writer.setHitAlignment(id, 0), /at least one block/);
  // A virtual id that never was: nothing happens.
  assert.equal(writer.add(2 ** 30, 0, 0, 1, 1), 'unchanged');
  writer.close();
  assert.throws(() => writer.add(id, 0, 0, 1, 1), /index writer \d+ is not open/);
});
