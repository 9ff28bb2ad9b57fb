// The speculative table.

import type { Addon } from '#core/native/addon.js';
import { openSpeculativeReader, openSpeculativeWriter } from '#core/native/index/speculative.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { VirtualClock } from '#test/support/time.js';
import type { GrowthCases } from './measure.js';

const TURNS = 60_000;
const ENDPOINTS = 64;

export function speculativeCases(addon: Addon): GrowthCases {
  const requests = createRequestMemory(ENDPOINTS);
  const clock = new VirtualClock();
  const writer = openSpeculativeWriter(addon, requests, clock);
  const reader = openSpeculativeReader(addon, requests, clock);
  const keys = Uint32Array.from({ length: 64 }, (_, i) => i * 77);
  const [usable, blocks] = [new Uint32Array(ENDPOINTS), new Uint32Array(ENDPOINTS)];
  return {
    cases: [
      {
        name: 'speculative: add, match, withdraw',
        turns: TURNS,
        call: (turn) => {
          writer.add(turn % ENDPOINTS, keys, 32);
          reader.match(keys, 32, usable, blocks);
          writer.withdraw(turn % ENDPOINTS, keys, 32);
        },
      },
      {
        name: 'speculative: opening and closing',
        turns: TURNS / 10,
        call: () => openSpeculativeWriter(addon, requests, clock).close(),
      },
    ],
    close: () => {
      writer.close();
      reader.close();
    },
  };
}
