// The native core under the laws of the block index, alone and with the portable core on the same
// index: one writes what the other reads and sweeps.

import { test } from 'node:test';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner as openNativeOwner } from '#core/native/index/owner.js';
import { openIndexReader as openNativeReader } from '#core/native/index/reader.js';
import { openIndexWriter as openNativeWriter } from '#core/native/index/writer.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { blockIndexSuite } from '#test/contract/block-index.suite.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';

/** Writers by turns of one core and the other, so that both work on one index. */
function alternating(
  ...open: readonly ((buffer: SharedArrayBuffer, id: number) => BlockIndexWriter)[]
): (buffer: SharedArrayBuffer, id: number) => BlockIndexWriter {
  return (buffer, id) => {
    const one = open[id % open.length];
    if (one === undefined) throw new Error('there is a core');
    return one(buffer, id);
  };
}

if (nativeSkip !== false) {
  test('block index, native core', { skip: nativeSkip });
} else {
  const addon = nativeAddon();
  const nativeWriter = (buffer: SharedArrayBuffer, id: number) =>
    openNativeWriter(addon, buffer, id);
  blockIndexSuite('native', {
    create: createBlockIndex,
    owner: (buffer) => openNativeOwner(addon, buffer),
    writer: nativeWriter,
    reader: (buffer) => openNativeReader(addon, buffer),
  });
  blockIndexSuite('portable writers, native reader and', {
    create: createBlockIndex,
    owner: (buffer) => openNativeOwner(addon, buffer),
    writer: (buffer, id) => openIndexWriter(buffer, id),
    reader: (buffer) => openNativeReader(addon, buffer),
  });
  blockIndexSuite('native and portable writers, portable reader and', {
    create: createBlockIndex,
    owner: openIndexOwner,
    writer: alternating(nativeWriter, openIndexWriter),
    reader: openIndexReader,
  });
}
