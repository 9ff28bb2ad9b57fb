// The request store against a plain model: no overlap, no leak, stale handles answered, bounds kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BODY_BYTES_MAX, BODY_STORE_BYTES, REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import type { RequestHandle } from '#contracts/request.js';
import { RECORD, requestMemoryLayout } from '#contracts/shared-layout.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { SlabAllocator } from '#core/portable/slab-allocator.js';

const ENDPOINTS = 64;
const memory = createRequestMemory(ENDPOINTS);
const layout = requestMemoryLayout(ENDPOINTS);
const words = new Int32Array(memory);

function word(handle: RequestHandle, offset: number): number {
  return words[(layout.records + handle.slot * layout.recordBytes) / 4 + offset] ?? -1;
}

function setWriting(handle: RequestHandle, value: number): void {
  words[(layout.records + handle.slot * layout.recordBytes) / 4 + RECORD.writing] = value;
}

test('random operations agree with a model, and everything is given back', (context) => {
  const seed = 20_260;
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const store = openRequestStore(memory);
  const live = new Map<RequestHandle, Buffer>();
  const stale: RequestHandle[] = [];
  for (let step = 0; step < 6000; step += 1) {
    const dice = random.next();
    const handles = [...live.keys()];
    const chosen = handles[Math.floor(random.next() * handles.length)];
    if (dice < 0.3 || chosen === undefined) {
      const handle = store.open(Math.floor(random.next() * 3000));
      if (handle !== null) live.set(handle, Buffer.alloc(0));
    } else if (dice < 0.4) {
      const body = live.get(chosen) ?? Buffer.alloc(0);
      const offset = Math.floor(random.next() * (body.length + 1));
      const length = Math.floor(random.next() * (body.length - offset + 1));
      const text = Buffer.alloc(Math.floor(random.next() ** 4 * 60_000), step % 241);
      assert.equal(store.replace(chosen, { offset, length }, text), 'done');
      const parts = [body.subarray(0, offset), text, body.subarray(offset + length)];
      live.set(chosen, Buffer.concat(parts));
    } else if (dice < 0.75) {
      const chunk = Buffer.alloc(Math.floor(random.next() ** 4 * 60_000), step % 251);
      assert.equal(store.append(chosen, chunk), 'done');
      live.set(chosen, Buffer.concat([live.get(chosen) ?? Buffer.alloc(0), chunk]));
    } else {
      store.release(chosen);
      live.delete(chosen);
      stale.push(chosen);
    }
    const old = stale[Math.floor(random.next() * stale.length)];
    if (old !== undefined) {
      assert.equal(store.body(old), null);
      assert.equal(store.append(old, Buffer.from('late')), 'stale');
      store.release(old);
    }
    if (step % 500 === 0) checkAgainstModel(store, live);
  }
  checkAgainstModel(store, live);
  for (const handle of live.keys()) store.release(handle);
  assert.deepEqual(store.usage(), { slots: 0, bytes: 0 });
});

function checkAgainstModel(
  store: ReturnType<typeof openRequestStore>,
  live: ReadonlyMap<RequestHandle, Buffer>,
): void {
  const ranges: (readonly [number, number])[] = [];
  for (const [handle, expected] of live) {
    const body = store.body(handle);
    assert.ok(body !== null && Buffer.from(body).equals(expected), 'bodies are kept');
    const bodyOffset = word(handle, RECORD.bodyOffset);
    const keysOffset = word(handle, RECORD.keysOffset);
    const keyBytes = word(handle, RECORD.keysCapacity) * 8;
    assert.equal(word(handle, RECORD.generation), handle.generation);
    assert.equal(keysOffset % 8, 0);
    assert.ok(keysOffset >= bodyOffset + expected.length, 'keys do not overlap the body');
    assert.ok(keyBytes >= expected.length / 2 + 4096, 'room for keys');
    ranges.push([bodyOffset, keysOffset + keyBytes]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  for (const [index, [start]] of ranges.entries()) {
    assert.ok(index === 0 || start >= (ranges[index - 1]?.[1] ?? 0), 'regions do not overlap');
  }
  assert.ok((ranges.at(-1)?.[1] ?? 0) <= layout.slabBytes, 'regions lie in the slab');
  assert.equal(store.usage().slots, live.size);
}

test('slots, bytes of one body and bytes of all bodies are bounded', () => {
  const store = openRequestStore(memory);
  const handles: RequestHandle[] = [];
  for (;;) {
    const handle = store.open(0);
    if (handle === null) break;
    handles.push(handle);
  }
  assert.equal(handles.length, REQUESTS_IN_FLIGHT_MAX);
  for (const handle of handles) store.release(handle);

  const large: RequestHandle[] = [];
  for (;;) {
    const handle = store.open(BODY_BYTES_MAX);
    if (handle === null) break;
    large.push(handle);
  }
  assert.ok(large.length >= 4 && large.length * BODY_BYTES_MAX <= BODY_STORE_BYTES);
  for (const handle of large.slice(1)) store.release(handle);
  const [only] = large;
  assert.ok(only !== undefined);
  assert.equal(store.append(only, new Uint8Array(BODY_BYTES_MAX)), 'done');
  assert.equal(store.append(only, new Uint8Array(1)), 'too-large');
  assert.equal(store.body(only)?.byteLength, BODY_BYTES_MAX);
  store.release(only);
  assert.deepEqual(store.usage(), { slots: 0, bytes: 0 });
});

test('a store without room answers full and keeps what it has', () => {
  const store = openRequestStore(memory);
  const large: RequestHandle[] = [];
  for (
    let handle = store.open(BODY_BYTES_MAX);
    handle !== null;
    handle = store.open(BODY_BYTES_MAX)
  ) {
    large.push(handle);
  }
  const [last] = large.splice(-1);
  assert.ok(last !== undefined);
  store.release(last);
  const small: RequestHandle[] = [];
  for (let handle = store.open(0); handle !== null; handle = store.open(0)) small.push(handle);
  const [first] = small;
  assert.ok(first !== undefined);
  assert.equal(store.append(first, Buffer.from('hello')), 'done');
  const answer = store.append(first, new Uint8Array(1024 * 1024));
  // 8,192 slots may be used up before the last large region is; both are bounds.
  if (small.length + large.length < REQUESTS_IN_FLIGHT_MAX) assert.equal(answer, 'full');
  assert.equal(
    Buffer.from(store.body(first) ?? [])
      .toString()
      .slice(0, 5),
    'hello',
  );
  for (const handle of [...large, ...small]) store.release(handle);
  assert.deepEqual(store.usage(), { slots: 0, bytes: 0 });
});

test('bytes an encoder still writes are not given to another request', () => {
  const store = openRequestStore(memory);
  const handle = store.open(100);
  assert.ok(handle !== null);
  setWriting(handle, 1);
  store.release(handle);
  assert.equal(store.body(handle), null);
  assert.equal(store.usage().slots, 1);
  const other = store.open(100);
  assert.ok(other !== null && other.slot !== handle.slot);
  assert.notEqual(word(other, RECORD.bodyOffset), word(handle, RECORD.bodyOffset));
  setWriting(handle, 0);
  assert.equal(store.usage().slots, 1);
  store.release(other);
  assert.deepEqual(store.usage(), { slots: 0, bytes: 0 });
});

test('handles that were never given are stale', () => {
  const store = openRequestStore(memory);
  for (const handle of [
    { slot: 0, generation: 0 },
    { slot: -1, generation: 1 },
    { slot: REQUESTS_IN_FLIGHT_MAX, generation: 1 },
    { slot: Number.NaN, generation: 1 },
  ]) {
    assert.equal(store.body(handle), null);
    assert.equal(store.append(handle, new Uint8Array(1)), 'stale');
    store.release(handle);
  }
});

test('freed regions merge until the slab is one again', (context) => {
  const seed = 7;
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const allocator = new SlabAllocator({ totalBytes: 1024, minBytes: 16 });
  const taken: (readonly [number, number])[] = [];
  for (let step = 0; step < 5000; step += 1) {
    const sizeClass = Math.floor(random.next() * 4);
    if (random.next() < 0.5) {
      const offset = allocator.allocate(sizeClass);
      if (offset >= 0) taken.push([offset, sizeClass]);
    } else if (taken.length > 0) {
      const [freed] = taken.splice(Math.floor(random.next() * taken.length), 1);
      if (freed !== undefined) allocator.free(freed[0], freed[1]);
    }
    const cells = new Set<number>();
    for (const [offset, size] of taken) {
      for (let at = offset; at < offset + allocator.regionBytes(size); at += 16) {
        assert.ok(!cells.has(at), 'regions do not overlap');
        cells.add(at);
      }
    }
    assert.equal(cells.size * 16, allocator.usedBytes);
  }
  for (const [offset, size] of taken) allocator.free(offset, size);
  assert.equal(allocator.allocate(6), 0);
  assert.equal(allocator.allocate(0), -1);
  assert.throws(() => {
    allocator.free(0, 6);
    allocator.free(0, 6);
  }, /freed once/);
});
