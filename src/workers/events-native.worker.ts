// Event worker: follows its share of the publishers on the native core. The addon is loaded again
// on this thread, which costs nothing; without it the worker fails, and main is told.

import { readFileSync } from 'node:fs';
import { assert } from '#contracts/assert.js';
import { loadAddon } from '#core/native/addon.js';
import { createEventApplier } from '#core/native/events/applier.js';
import { runEventWorker } from './event-worker-host.js';

runEventWorker(({ memory, writerId, hashSecret }) => {
  const loaded = loadAddon(packageVersion());
  assert(loaded.ok, loaded.ok ? '' : loaded.reason);
  return createEventApplier(loaded.addon, { index: memory.index, writerId, hashSecret });
});

/** Version of this package: the addon must be of the same. */
function packageVersion(): string {
  // dist/src/workers → the package's root.
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
}
