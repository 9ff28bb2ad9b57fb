// The bounded queue of waiting frames.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameQueue } from '#events/frame-queue.js';

function frame(seq: number, bytes = 1): { seq: number; payload: Uint8Array } {
  return { seq, payload: new Uint8Array(bytes) };
}

test('frames come out in the order they went in, across compaction', () => {
  const queue = new FrameQueue(5000, 1_000_000);
  let next = 0;
  for (let seq = 0; seq < 4000; seq++) {
    assert.ok(queue.push(frame(seq)));
    if (seq % 3 !== 0) {
      assert.equal(queue.shift()?.seq, next);
      next += 1;
    }
  }
  assert.equal(queue.length, 4000 - next);
  while (queue.length > 0) {
    assert.equal(queue.shift()?.seq, next);
    next += 1;
  }
  assert.equal(next, 4000);
  assert.equal(queue.shift(), null);
});

test('a full queue refuses by number and by bytes, and takes again after a shift', () => {
  const byNumber = new FrameQueue(2, 1000);
  assert.ok(byNumber.push(frame(0)) && byNumber.push(frame(1)));
  assert.ok(!byNumber.push(frame(2)));
  byNumber.shift();
  assert.ok(byNumber.push(frame(2)));

  const byBytes = new FrameQueue(100, 10);
  assert.ok(byBytes.push(frame(0, 6)));
  assert.ok(!byBytes.push(frame(1, 5)));
  byBytes.clear();
  assert.ok(byBytes.push(frame(1, 10)));
});
