// Request stores: bodies that grow and go, handles that are stale, stores that are closed.

import assert from 'node:assert/strict';
import type { Addon } from '#core/native/addon.js';
import type { GrowthCases } from './measure.js';

const [DONE, STALE, OUT_OF_BOUNDS] = [0, 1, 4];
const TEXT = Buffer.from('text');
const CHUNK = Buffer.alloc(3000, 'a');

export function storeCases(addon: Addon): GrowthCases {
  const store = addon.storeCreate();
  return {
    cases: [
      {
        name: 'bodies',
        turns: 30_000,
        call: () => {
          const opened = addon.storeOpen(store, 100);
          const [slot, generation] = [opened % 65_536, Math.floor(opened / 65_536)];
          addon.storeAppend(store, slot, generation, CHUNK);
          addon.storeAppend(store, slot, generation, CHUNK);
          assert.equal(addon.storeBody(store, slot, generation)?.length, 6000);
          assert.equal(addon.storeReplace(store, slot, generation, 10, 20, CHUNK), DONE);
          assert.equal(addon.storeReplace(store, slot, generation, 0, 4000, TEXT), DONE);
          assert.equal(addon.storeReplace(store, slot, generation, 6000, 1, TEXT), OUT_OF_BOUNDS);
          addon.storeRelease(store, slot, generation);
          assert.equal(addon.storeAppend(store, slot, generation, CHUNK), STALE);
          assert.equal(addon.storeBody(store, slot, generation), null);
          addon.storeRelease(store, slot, generation);
          assert.deepEqual(addon.storeUsage(store), [0, 0]);
        },
      },
      {
        name: 'stores',
        turns: 100,
        call: () => {
          const one = addon.storeCreate();
          const opened = addon.storeOpen(one, 0);
          // Closed with a body in it.
          addon.storeAppend(one, opened % 65_536, Math.floor(opened / 65_536), CHUNK);
          addon.storeClose(one);
        },
      },
      { name: 'version', turns: 30_000, call: () => assert.ok(addon.version().length > 0) },
    ],
    close: () => addon.storeClose(store),
  };
}
