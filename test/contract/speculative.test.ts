// Speculative residencies on either core, and with one core's writer under the other's reader.

import { test } from 'node:test';
import {
  openSpeculativeReader as openNativeReader,
  openSpeculativeWriter as openNativeWriter,
} from '#core/native/index/speculative.js';
import { openSpeculativeReader, openSpeculativeWriter } from '#core/portable/index/speculative.js';
import { type SpeculativeCore, speculativeSuite } from '#test/contract/speculative.suite.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';

const portable: SpeculativeCore = {
  writer: openSpeculativeWriter,
  reader: openSpeculativeReader,
};

speculativeSuite('portable', portable);
if (nativeSkip !== false) {
  test('speculative residencies, native core', { skip: nativeSkip });
} else {
  const addon = nativeAddon();
  const native: SpeculativeCore = {
    writer: (requests, time) => openNativeWriter(addon, requests, time),
    reader: (requests, time) => openNativeReader(addon, requests, time),
  };
  speculativeSuite('native', native);
  speculativeSuite('native writer, portable reader', { ...native, reader: portable.reader });
  speculativeSuite('portable writer, native reader', { ...portable, reader: native.reader });
}
