// The portable RequestStore: bodies and key areas in a bounded SharedArrayBuffer slab that prompt
// workers read in place. Only the main thread opens, appends and releases; `body` works on every
// thread, because a handle is valid exactly while the record's generation word equals it.

import { assert } from '#contracts/assert.js';
import type { RequestStore } from '#contracts/core.js';
import { BODY_BYTES_MAX, ENDPOINTS_MAX, REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import type { RequestHandle } from '#contracts/request.js';
import {
  RECORD,
  REQUEST_MEMORY,
  type RequestMemoryLayout,
  requestMemoryLayout,
} from '#contracts/shared-layout.js';
import { SlabAllocator } from './slab-allocator.js';

/** Smallest region: a short chat and its keys. */
const REGION_BYTES_MIN = 8 * 1024;
const KEY_BYTES = 8;
/**
 * Room for keys beside a body: with one token per byte and blocks of 16 tokens, 8-byte keys take
 * half the body; the rest is what a template adds to a short prompt.
 */
const KEY_AREA_BYTES_MIN = 4 * 1024;

/** Allocates the memory of requests for `endpointCapacity` endpoint slots; pages are lazy. */
export function createRequestMemory(endpointCapacity: number): SharedArrayBuffer {
  assert(
    Number.isInteger(endpointCapacity) && endpointCapacity > 0 && endpointCapacity <= ENDPOINTS_MAX,
    `endpoint capacity is 1…${ENDPOINTS_MAX}`,
  );
  const buffer = new SharedArrayBuffer(requestMemoryLayout(endpointCapacity).totalBytes);
  new Uint32Array(buffer)[REQUEST_MEMORY.endpointCapacity] = endpointCapacity;
  return buffer;
}

/** Opens the store over memory made by `createRequestMemory`. */
export function openRequestStore(buffer: SharedArrayBuffer): RequestStore {
  const endpointCapacity = new Uint32Array(buffer)[REQUEST_MEMORY.endpointCapacity] ?? 0;
  const layout = requestMemoryLayout(endpointCapacity);
  assert(layout.totalBytes === buffer.byteLength, 'the buffer is request memory');
  return new SlabRequestStore(buffer, layout);
}

function isRange(offset: number, length: number, end: number): boolean {
  if (!Number.isInteger(offset) || !Number.isInteger(length)) return false;
  return offset >= 0 && length >= 0 && offset + length <= end;
}

class SlabRequestStore implements RequestStore {
  readonly #buffer: SharedArrayBuffer;
  readonly #layout: RequestMemoryLayout;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #allocator: SlabAllocator;
  readonly #freeSlots: number[] = [];
  /** Size class of the region of each open slot. */
  readonly #classes = new Uint8Array(REQUESTS_IN_FLIGHT_MAX);
  /** Released while an encoder still wrote into them; freed as soon as it has stopped. */
  #lingering: number[] = [];
  #slotsInUse = 0;

  constructor(buffer: SharedArrayBuffer, layout: RequestMemoryLayout) {
    this.#buffer = buffer;
    this.#layout = layout;
    this.#words = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#allocator = new SlabAllocator({
      totalBytes: layout.slabBytes,
      minBytes: REGION_BYTES_MIN,
    });
    for (let slot = REQUESTS_IN_FLIGHT_MAX - 1; slot >= 0; slot -= 1) this.#freeSlots.push(slot);
  }

  open(bytesHint: number): RequestHandle | null {
    this.#freeLingering();
    const sizeClass = this.#classForBody(Math.min(Math.max(0, bytesHint), BODY_BYTES_MAX));
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return null;
    const offset = this.#allocator.allocate(sizeClass);
    if (offset < 0) {
      this.#freeSlots.push(slot);
      return null;
    }
    this.#slotsInUse += 1;
    this.#classes[slot] = sizeClass;
    const record = this.#record(slot);
    this.#words[record + RECORD.state] = 0;
    this.#words[record + RECORD.bodyOffset] = offset;
    this.#setBodyBytes(record, offset, 0, sizeClass);
    return { slot, generation: this.#bumpGeneration(record) };
  }

  append(handle: RequestHandle, chunk: Uint8Array): 'done' | 'stale' | 'too-large' | 'full' {
    if (!this.#isLive(handle)) return 'stale';
    const record = this.#record(handle.slot);
    const before = this.#words[record + RECORD.bodyBytes] as number;
    const after = before + chunk.byteLength;
    if (after > BODY_BYTES_MAX) return 'too-large';
    if (this.#classForBody(after) > (this.#classes[handle.slot] as number)) {
      if (!this.#grow(handle.slot, after)) return 'full';
    }
    const offset = this.#words[record + RECORD.bodyOffset] as number;
    this.#bytes.set(chunk, this.#layout.slab + offset + before);
    this.#setBodyBytes(record, offset, after, this.#classes[handle.slot] as number);
    return 'done';
  }

  replace(
    handle: RequestHandle,
    { offset, length }: { readonly offset: number; readonly length: number },
    text: Uint8Array,
  ): 'done' | 'stale' | 'too-large' | 'full' | 'out-of-bounds' {
    if (!this.#isLive(handle)) return 'stale';
    const record = this.#record(handle.slot);
    const before = this.#words[record + RECORD.bodyBytes] as number;
    if (!isRange(offset, length, before)) return 'out-of-bounds';
    const after = before - length + text.byteLength;
    if (after > BODY_BYTES_MAX) return 'too-large';
    if (this.#classForBody(after) > (this.#classes[handle.slot] as number)) {
      if (!this.#grow(handle.slot, after)) return 'full';
    }
    const bodyOffset = this.#words[record + RECORD.bodyOffset] as number;
    const body = this.#layout.slab + bodyOffset;
    const behind = body + offset + length;
    this.#bytes.copyWithin(body + offset + text.byteLength, behind, body + before);
    this.#bytes.set(text, body + offset);
    this.#setBodyBytes(record, bodyOffset, after, this.#classes[handle.slot] as number);
    return 'done';
  }

  body(handle: RequestHandle): Uint8Array | null {
    if (!this.#isLive(handle)) return null;
    const record = this.#record(handle.slot);
    const offset = this.#words[record + RECORD.bodyOffset] as number;
    const bytes = this.#words[record + RECORD.bodyBytes] as number;
    return new Uint8Array(this.#buffer, this.#layout.slab + offset, bytes);
  }

  release(handle: RequestHandle): void {
    if (!this.#isLive(handle)) return;
    const record = this.#record(handle.slot);
    this.#bumpGeneration(record);
    // After the new generation no encoder starts writing; one that already writes is waited for.
    if (Atomics.load(this.#words, record + RECORD.writing) === 0) this.#free(handle.slot);
    else this.#lingering.push(handle.slot);
  }

  usage(): { readonly slots: number; readonly bytes: number } {
    this.#freeLingering();
    return { slots: this.#slotsInUse, bytes: this.#allocator.usedBytes };
  }

  /** Word index of a slot's record. */
  #record(slot: number): number {
    return (this.#layout.records + slot * this.#layout.recordBytes) / 4;
  }

  #isLive(handle: RequestHandle): boolean {
    const { slot, generation } = handle;
    if (!(slot >= 0 && slot < REQUESTS_IN_FLIGHT_MAX)) return false;
    // Odd generations are open, even ones free; a free slot never equals a handle that was given.
    if ((generation & 1) === 0) return false;
    return Atomics.load(this.#words, this.#record(slot) + RECORD.generation) >>> 0 === generation;
  }

  #bumpGeneration(record: number): number {
    return (Atomics.add(this.#words, record + RECORD.generation, 1) + 1) >>> 0;
  }

  #classForBody(bodyBytes: number): number {
    const keyBytes = Math.ceil(bodyBytes / 2) + KEY_AREA_BYTES_MIN + KEY_BYTES;
    return this.#allocator.classFor(bodyBytes + keyBytes);
  }

  /** The key area is what the region has left behind the body. */
  #setBodyBytes(record: number, offset: number, bodyBytes: number, sizeClass: number): void {
    const keysOffset = Math.ceil((offset + bodyBytes) / KEY_BYTES) * KEY_BYTES;
    const end = offset + this.#allocator.regionBytes(sizeClass);
    this.#words[record + RECORD.bodyBytes] = bodyBytes;
    this.#words[record + RECORD.keysOffset] = keysOffset;
    this.#words[record + RECORD.keysCapacity] = Math.floor((end - keysOffset) / KEY_BYTES);
  }

  /** Moves a body into a region that holds `bodyBytes`. */
  #grow(slot: number, bodyBytes: number): boolean {
    const record = this.#record(slot);
    const sizeClass = this.#classForBody(bodyBytes);
    const target = this.#allocator.allocate(sizeClass);
    if (target < 0) return false;
    const source = this.#words[record + RECORD.bodyOffset] as number;
    const length = this.#words[record + RECORD.bodyBytes] as number;
    const { slab } = this.#layout;
    this.#bytes.copyWithin(slab + target, slab + source, slab + source + length);
    this.#allocator.free(source, this.#classes[slot] as number);
    this.#classes[slot] = sizeClass;
    this.#words[record + RECORD.bodyOffset] = target;
    return true;
  }

  #free(slot: number): void {
    const record = this.#record(slot);
    const offset = this.#words[record + RECORD.bodyOffset] as number;
    this.#allocator.free(offset, this.#classes[slot] as number);
    this.#freeSlots.push(slot);
    this.#slotsInUse -= 1;
  }

  #freeLingering(): void {
    if (this.#lingering.length === 0) return;
    const stillWritten: number[] = [];
    for (const slot of this.#lingering) {
      const writing = Atomics.load(this.#words, this.#record(slot) + RECORD.writing);
      if (writing === 0) this.#free(slot);
      else stillWritten.push(slot);
    }
    this.#lingering = stillWritten;
  }
}
