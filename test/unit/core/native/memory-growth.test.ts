// Every export of index and events, called 100,000 times, or as often as `WARMPATH_GROWTH_CALLS`
// says: the process must not grow with the calls.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { REQUEST_MEMORY, requestMemoryLayout } from '#contracts/shared-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createEventApplier } from '#core/native/events/applier.js';
import { openIndexOwner } from '#core/native/index/owner.js';
import { openIndexReader } from '#core/native/index/reader.js';
import { openSpeculativeReader, openSpeculativeWriter } from '#core/native/index/speculative.js';
import { openIndexWriter } from '#core/native/index/writer.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { VirtualClock } from '#test/support/time.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';

const CALLS = Number(process.env['WARMPATH_GROWTH_CALLS'] ?? 100_000);
/** Before measuring: what grows once has grown by then. */
const WARM_UP = 20_000;
/** Bytes outside the JavaScript heap that a process may gain by chance; 100 bytes a call are more. */
const GROWTH_MAX = 10_000_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Memory of the process that is not JavaScript's heap, after a collection. */
async function nativeBytes(): Promise<number> {
  // References from native code are given back in a later turn.
  for (let i = 0; i < 3; i += 1) {
    collect();
    await nextTurn();
  }
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}

async function repeat(call: (turn: number) => void, calls: number): Promise<void> {
  for (let turn = 0; turn < calls; turn += 1) {
    call(turn);
    if (turn % 1000 === 999) await nextTurn();
  }
}

const skip = nativeSkip;
if (skip !== false) test('memory does not grow with calls', { skip });
else {
  for (const [name, calls, call] of cases()) {
    test(`${name}: memory does not grow with calls`, async () => {
      await repeat(call, Math.min(WARM_UP, calls));
      const before = await nativeBytes();
      await repeat(call, calls);
      const grown = (await nativeBytes()) - before;
      assert.ok(grown < GROWTH_MAX, `${grown} bytes in ${calls} calls`);
    });
  }
}

type Case = readonly [name: string, calls: number, call: (turn: number) => void];

function cases(): readonly Case[] {
  return [...indexCases(), ...speculativeCases(), ...eventCases()];
}

function indexCases(): readonly Case[] {
  const addon = nativeAddon();
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
  return [
    [
      'add and remove',
      CALLS,
      (turn) => {
        writer.add(id, 1, 0, turn >>> 1, 9);
        writer.remove(id, 1, 0, turn >>> 1, 9);
      },
    ],
    ['match', CALLS, () => reader.match(keys, 32, 32, result)],
    [
      'open, describe, drop, sweep',
      CALLS,
      (turn) => {
        const one = writer.openEndpoint(turn % 8);
        if (one >= 0) {
          writer.setGroupWindow(one, 1, 3);
          writer.setHitAlignment(one, 2);
          if (turn % 2 === 0) writer.dropEndpoint(one);
          else writer.dropSlot(turn % 8);
        }
        writer.sweep(50);
      },
    ],
    [
      'stats and suspend',
      CALLS,
      () => {
        owner.suspend();
        owner.stats();
      },
    ],
    ['recover', CALLS / 50, () => owner.recover()],
    [
      'opening and closing',
      CALLS / 10,
      () => {
        openIndexWriter(addon, buffer, 1).close();
        openIndexReader(addon, buffer).close();
        openIndexOwner(addon, buffer).close();
      },
    ],
  ];
}

function speculativeCases(): readonly Case[] {
  const addon = nativeAddon();
  const layout = requestMemoryLayout(64);
  const requests = new SharedArrayBuffer(layout.slab);
  new Uint32Array(requests)[REQUEST_MEMORY.endpointCapacity] = 64;
  const clock = new VirtualClock();
  const writer = openSpeculativeWriter(addon, requests, clock);
  const reader = openSpeculativeReader(addon, requests, clock);
  const keys = Uint32Array.from({ length: 64 }, (_, i) => i * 77);
  const [usable, blocks] = [new Uint32Array(64), new Uint32Array(64)];
  return [
    [
      'speculative add, match, withdraw',
      CALLS,
      (turn) => {
        writer.add(turn % 64, keys, 32);
        reader.match(keys, 32, usable, blocks);
        writer.withdraw(turn % 64, keys, 32);
      },
    ],
    [
      'speculative opening and closing',
      CALLS,
      () => {
        openSpeculativeWriter(addon, requests, clock).close();
      },
    ],
  ];
}

function eventCases(): readonly Case[] {
  const addon = nativeAddon();
  const index = createBlockIndex({ blockCapacity: 4000, endpointCapacity: 64 });
  const applier = createEventApplier(addon, { index, writerId: 2, hashSecret: 3n });
  applier.open(0, { pool: 'm', blockSize: 16 });
  const frames = ([16, 4] as const).map((blockSize) => {
    const tokens = Array.from({ length: 8 * blockSize }, (_, i) => i);
    const hashes = tokens.slice(0, 8).map((i) => i + blockSize * 100);
    const stored = ['BlockStored', hashes, null, tokens, blockSize, null, null, 'sql'];
    const events = [stored, ['BlockRemoved', hashes]];
    return encodeEventBatch({ timestamp: 1, events, dataParallelRank: 0 });
  });
  const malformed = Uint8Array.of(0x92, 1);
  return [
    [
      'apply',
      CALLS,
      (turn) => {
        const frame = frames[turn % 2] ?? malformed;
        assert.equal(applier.apply(0, frame).blocksRemoved, 8);
      },
    ],
    [
      'apply of malformed frames',
      CALLS,
      () => {
        assert.equal(applier.apply(0, malformed).status, 'malformed');
      },
    ],
    [
      'publishers: open, reset, close, sweep, usage',
      CALLS,
      () => {
        applier.open(1, { pool: 'm', blockSize: 16 });
        applier.reset(1);
        applier.close(1);
        applier.sweep(10_000);
        applier.usage();
      },
    ],
    [
      'appliers',
      CALLS / 10,
      () => {
        createEventApplier(addon, { index, writerId: 3, hashSecret: 3n }).destroy();
      },
    ],
  ];
}
