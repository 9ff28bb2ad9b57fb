// The body an engine gets: patches, copies, and a stop when the stored body is gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestBody } from '#core/portable/data-plane/request-body.js';

function bytesOf(body: ReturnType<typeof requestBody>): Buffer {
  const { content } = body;
  if (content === null) return Buffer.alloc(0);
  return Buffer.isBuffer(content) ? content : Buffer.concat([...content]);
}

test('patches replace, remove and insert, in whatever order they come', () => {
  const stored = Buffer.from('0123456789');
  const body = requestBody(
    stored,
    [
      { offset: 10, length: 0, text: 'é' },
      { offset: 3, length: 2, text: '' },
      { offset: 0, length: 0, text: '<' },
      { offset: 5, length: 1, text: 'FIVE' },
    ],
    () => true,
  );
  assert.equal(bytesOf(body).toString(), '<012FIVE6789é');
  assert.equal(body.bytes, bytesOf(body).length);
});

test('an empty body is none', () => {
  const whole = [{ offset: 0, length: 2, text: '' }];
  assert.equal(requestBody(new Uint8Array(0), [], () => true).content, null);
  assert.equal(requestBody(Buffer.from('ab'), whole, () => true).content, null);
});

test('what is sent is a copy', () => {
  for (const length of [100, 1_000_000]) {
    const stored = Buffer.alloc(length, 'a');
    const sent = bytesOf(requestBody(stored, [], () => true));
    stored.fill('b');
    assert.equal(sent.indexOf('b'), -1);
    assert.equal(sent.length, length);
  }
});

test('a large body stops when the stored one is gone', () => {
  let live = true;
  const body = requestBody(Buffer.alloc(2_000_000, 'a'), [], () => live);
  let bytes = 0;
  assert.ok(body.content !== null && !Buffer.isBuffer(body.content));
  for (const piece of body.content) {
    bytes += piece.length;
    live = false;
  }
  assert.ok(bytes > 0 && bytes < 2_000_000);
});

test('patches that overlap or reach outside are a bug of the caller', () => {
  const stored = Buffer.from('0123456789');
  for (const patches of [
    [{ offset: 8, length: 3, text: '' }],
    [
      { offset: 0, length: 3, text: '' },
      { offset: 2, length: 1, text: '' },
    ],
  ]) {
    assert.throws(() => requestBody(stored, patches, () => true), /patches lie apart/);
  }
});
