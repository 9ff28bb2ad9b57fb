// What replacing a part of a stored body must do, on both cores.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestStore } from '#contracts/core.js';
import { BODY_BYTES_MAX } from '#contracts/limits.js';
import { createRequestStore } from '#core/native/request-store.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';

const STORES = [
  ['portable', () => openRequestStore(createRequestMemory(8)), false],
  ['native', () => createRequestStore(nativeAddon()), nativeSkip],
] as const;

function bodyOf(store: RequestStore, text: string): { replace: Replace; body: () => string } {
  const handle = store.open(text.length);
  assert.ok(handle !== null);
  assert.equal(store.append(handle, Buffer.from(text)), 'done');
  return {
    replace: (offset, length, by) => store.replace(handle, { offset, length }, Buffer.from(by)),
    body: () => Buffer.from(store.body(handle) ?? []).toString(),
  };
}

type Replace = (offset: number, length: number, by: string) => ReturnType<RequestStore['replace']>;

for (const [name, make, skip] of STORES) {
  test(`${name}: a part of a body is replaced by what is shorter, longer or nothing`, {
    skip,
  }, () => {
    const { replace, body } = bodyOf(make(), '{"model":"a","n":1}');
    assert.equal(replace(9, 3, '"longer-é"'), 'done');
    assert.equal(body(), '{"model":"longer-é","n":1}');
    assert.equal(replace(9, 11, '"b"'), 'done');
    assert.equal(body(), '{"model":"b","n":1}');
    assert.equal(replace(12, 6, ''), 'done');
    assert.equal(replace(0, 0, ' '), 'done');
    assert.equal(replace(14, 0, '\n'), 'done');
    assert.equal(body(), ' {"model":"b"}\n');
    const large = 'x'.repeat(3_000_000);
    assert.equal(replace(11, 1, large), 'done');
    assert.equal(body(), ` {"model":"${large}"}\n`);
  });

  test(`${name}: what is out of bounds, too large or stale leaves the body as it was`, {
    skip,
  }, () => {
    const store = make();
    const { replace, body } = bodyOf(store, '12345');
    for (const [offset, length] of [
      [6, 0],
      [0, 6],
      [5, 1],
      [-1, 1],
      [1, -1],
      [0.5, 1],
      [2 ** 32, 0],
      [Number.NaN, 0],
    ] as const) {
      assert.equal(replace(offset, length, 'x'), 'out-of-bounds', `${offset} ${length}`);
    }
    assert.equal(replace(1, 1, 'x'.repeat(BODY_BYTES_MAX)), 'too-large');
    assert.equal(body(), '12345');
    const stale = { slot: 0, generation: 2 };
    assert.equal(store.replace(stale, { offset: 0, length: 0 }, Buffer.from('x')), 'stale');
  });
}
