import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockSizeWatch } from '#events/block-size-watch.js';
import { VirtualClock } from '#test/support/time.js';

test('sizes that alternate are reported as what divides them all, once', () => {
  const reported: number[] = [];
  const watch = new BlockSizeWatch({
    replayAddress: null,
    clock: new VirtualClock(),
    report: (blockSize) => reported.push(blockSize),
  });
  // Whole blocks, then the partial ends of prompts, of a vLLM 0.32 model with blocks of 64 and 16.
  for (const blockSize of [0, 64, 16, 64, 16, 0, 64, 32]) watch.told(blockSize);
  assert.deepEqual(reported, [64, 16]);
});
