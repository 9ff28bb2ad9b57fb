// The routing history: requests that come and go, histories too.

import assert from 'node:assert/strict';
import { createBlockIndex } from '#core/index-memory.js';
import type { Addon } from '#core/native/addon.js';
import { createRoutingHistory } from '#core/native/history/routing-history.js';
import { createRequestStore } from '#core/native/request-store.js';
import type { GrowthCases } from './measure.js';

const TURNS = 60_000;
const SHAPE = { capacityBlocks: 200, blockSize: 16, alignmentBlocks: 1 };

export function historyCases(addon: Addon): GrowthCases {
  const index = createBlockIndex({ blockCapacity: 1000, endpointCapacity: 64 });
  const store = createRequestStore(addon);
  const options = { store: store.id, index, writerId: 4 };
  const history = createRoutingHistory(addon, options);
  history.open(0, SHAPE);
  const request = (turn: number): void => {
    const handle = store.open(10);
    assert.ok(handle !== null);
    history.begin(handle, 0, 16 * (turn % 30));
    history.advance();
    if (turn % 3 === 0) history.withdraw(handle);
    else history.end(handle, { computed: 16 * (turn % 40), cached: (turn % 5) - 1 });
    assert.equal(history.usage(0)?.requests, 0);
    store.release(handle);
  };
  const histories = (turn: number): void => {
    history.open(1 + (turn % 4), SHAPE);
    if (turn % 2 === 0) history.close(1 + (turn % 4));
  };
  return {
    cases: [
      { name: 'history: begin, advance, end, withdraw', turns: TURNS, call: request },
      { name: 'history: open and close', turns: TURNS / 6, call: histories },
      {
        name: 'history: creating and destroying',
        turns: TURNS / 20,
        call: () => createRoutingHistory(addon, { ...options, writerId: 5 }).destroy(),
      },
    ],
    close: () => {
      history.destroy();
      addon.storeClose(store.id);
    },
  };
}
