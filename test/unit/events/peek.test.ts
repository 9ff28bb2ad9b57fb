// The block size of frames that cannot be applied yet.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peekBlockSize } from '#events/peek.js';
import { encodeMsgpack } from '#wire/msgpack-encode.js';

const removed = ['BlockRemoved', [9], 'GPU'];

test('arrays and maps tell the block size of group 0', () => {
  const array = ['BlockStored', [1], null, [1, 2], 2];
  assert.equal(peekBlockSize(encodeMsgpack([1, [removed, array], 0])), 2);
  const otherGroup = ['BlockStored', [1], null, [1], 64, null, 'GPU', null, null, 1];
  assert.equal(peekBlockSize(encodeMsgpack([1, [otherGroup, array], 0])), 2);
  const map = { type: 'BlockStored', block_size: 16 };
  assert.equal(peekBlockSize(encodeMsgpack([1, [map], 0])), 16);
});

test('placeholders and rubbish tell nothing', () => {
  assert.equal(peekBlockSize(encodeMsgpack([1, [['BlockStored', [1], null, [], 0]], 0])), 0);
  assert.equal(peekBlockSize(encodeMsgpack([1, [removed], 0])), 0);
  assert.equal(peekBlockSize(encodeMsgpack('text')), 0);
  assert.equal(peekBlockSize(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)), 0);
});
