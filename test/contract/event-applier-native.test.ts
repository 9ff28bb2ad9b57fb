// The native applier under the rules that every applier follows.

import { test } from 'node:test';
import { createEventApplier } from '#core/native/events/applier.js';
import { eventApplierSuite } from '#test/contract/event-applier.suite.js';
import { eventApplierBoundsSuite } from '#test/contract/event-applier-bounds.suite.js';
import { sharedCore } from '#test/support/applied-index.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';

if (nativeSkip !== false) {
  test('event applier, native core', { skip: nativeSkip });
} else {
  const addon = nativeAddon();
  const core = sharedCore((index, writerId, hashSecret) =>
    createEventApplier(addon, { index, writerId, hashSecret }),
  );
  eventApplierSuite('native', core);
  eventApplierBoundsSuite('native', core);
}
