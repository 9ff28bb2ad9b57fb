// What a block keeps of a canonical block that is not whole yet.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TAIL_EXTRA_BYTES_MAX } from '#contracts/limits.js';
import type { EngineBlock } from '#core/portable/events/engine-blocks.js';
import { isSameTail, partsOf, type Tail, tailOf } from '#core/portable/events/tail.js';

const END = { low: 1, high: 2 };

function block(engineKey: bigint, tail: Tail): EngineBlock {
  return { engineKey, end: END, tail, copies: null };
}

/** A tail of one block for each list of token ids. */
function tailFrom(lists: readonly (readonly number[])[]): Tail {
  let before: EngineBlock | null = null;
  for (const [at, list] of lists.entries()) {
    const tail = tailOf(before, Uint32Array.from(list), new Uint8Array(0), END);
    before = block(BigInt(at), tail);
  }
  assert.ok(before?.tail);
  return before.tail;
}

test('every block keeps only its own tokens, and of its extra keys no more than the limit', () => {
  let before: EngineBlock | null = null;
  const event = new Uint32Array(1000);
  for (const bytes of [0, 1, TAIL_EXTRA_BYTES_MAX, TAIL_EXTRA_BYTES_MAX + 1, 1_000_000]) {
    // A view, as of the buffers that small ones are cut from.
    const extra = new Uint8Array(bytes + 100).subarray(100);
    const tail = tailOf(before, event.subarray(0, 2), extra, END);
    assert.deepEqual([tail.tokenIds.length, tail.tokenIds.buffer.byteLength], [2, 8]);
    assert.equal(tail.extra.buffer.byteLength, bytes > TAIL_EXTRA_BYTES_MAX ? 20 : bytes);
    before = block(BigInt(bytes), tail);
  }
  assert.deepEqual([before?.tail?.length, before?.tail?.parts], [10, 5]);
  assert.deepEqual(before && partsOf(before).map(({ engineKey }) => Number(engineKey)), [
    0,
    1,
    TAIL_EXTRA_BYTES_MAX,
    TAIL_EXTRA_BYTES_MAX + 1,
    1_000_000,
  ]);
});

test('tails are the same when their token ids are, however they were cut', () => {
  const cuts = [[[1, 2, 3]], [[1], [2, 3]], [[1, 2], [3]]];
  for (const left of cuts) {
    for (const right of cuts) assert.ok(isSameTail(tailFrom(left), tailFrom(right)));
    for (const other of [[[1, 2]], [[1], [2], [4]], [[1, 2, 3, 4]]]) {
      assert.ok(!isSameTail(tailFrom(left), tailFrom(other)));
    }
  }
});
