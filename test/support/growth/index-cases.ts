// The block index: writing, matching, generations and sweeps, recovery, opening and closing.

import assert from 'node:assert/strict';
import { createBlockIndex } from '#core/index-memory.js';
import type { Addon } from '#core/native/addon.js';
import { openIndexOwner } from '#core/native/index/owner.js';
import { openIndexReader } from '#core/native/index/reader.js';
import { openIndexWriter } from '#core/native/index/writer.js';
import type { GrowthCases } from './measure.js';

const TURNS = 60_000;
/** Of a virtual id that was never given out. */
const NO_ENDPOINT = 1_000_000;

export function indexCases(addon: Addon): GrowthCases {
  const buffer = createBlockIndex({ blockCapacity: 1000, endpointCapacity: 64 });
  const writer = openIndexWriter(addon, buffer, 0);
  const reader = openIndexReader(addon, buffer);
  const owner = openIndexOwner(addon, buffer);
  const id = writer.openEndpoint(0);
  const keys = Uint32Array.from({ length: 64 }, (_, i) => i * 77);
  for (let i = 0; i < 64; i += 2) writer.add(id, 0, 0, keys[i] ?? 0, keys[i + 1] ?? 0);
  const result = {
    usableBlocks: new Uint32Array(64),
    tierBlocks: new Uint32Array(256),
    rawBlocks: new Uint32Array(64),
  };
  const endpoints = (turn: number): void => {
    const one = writer.openEndpoint(turn % 8);
    if (one >= 0) {
      writer.setGroupWindow(one, 1, 3);
      writer.setHitAlignment(one, 2);
      writer.add(one, 0, 1, turn, 3);
      if (turn % 2 === 0) writer.dropEndpoint(one);
      else writer.dropSlot(turn % 8);
    }
    writer.sweep(50);
  };
  const write = (turn: number): void => {
    writer.add(id, 1, 0, turn >>> 1, 9);
    writer.remove(id, 1, 0, turn >>> 1, 9);
    writer.remove(id, 1, 0, turn >>> 1, 9);
    writer.add(NO_ENDPOINT, 1, 0, turn, 9);
  };
  return {
    cases: [
      { name: 'index: add and remove', turns: TURNS, call: write },
      { name: 'index: match', turns: TURNS, call: () => void reader.match(keys, 32, 32, result) },
      { name: 'index: open, describe, drop, sweep', turns: TURNS, call: endpoints },
      {
        name: 'index: suspend, stats, recover',
        turns: TURNS / 50,
        call: () => {
          owner.suspend();
          assert.equal(writer.sweep(1), false);
          owner.recover();
          assert.equal(owner.stats().blocks, 0);
        },
      },
      {
        name: 'index: opening and closing',
        turns: TURNS / 10,
        call: () => {
          openIndexWriter(addon, buffer, 1).close();
          openIndexReader(addon, buffer).close();
          openIndexOwner(addon, buffer).close();
        },
      },
    ],
    close: () => {
      for (const opened of [writer, reader, owner]) opened.close();
    },
  };
}
