// Event worker: follows its share of the publishers on the native core. The addon is loaded again
// on this thread, which costs nothing; without it the worker fails, and main is told.

import { assert } from '#contracts/assert.js';
import { loadAddon } from '#core/native/addon.js';
import { createEventApplier } from '#core/native/events/applier.js';
import { runEventWorker } from './event-worker-host.js';

runEventWorker(({ memory, writerId, hashSecret }) => {
  const loaded = loadAddon();
  assert(loaded.ok, loaded.ok ? '' : loaded.reason);
  return createEventApplier(loaded.addon, { index: memory.index, writerId, hashSecret });
});
