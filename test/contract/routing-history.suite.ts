// What a routing history must do, stated once and run for both cores.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HISTORY_SLICE_BLOCKS } from '#contracts/limits.js';
import type { RequestHandle } from '#contracts/request.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { HISTORY_BLOCK as BLOCK, type HistoryWorld } from '#test/support/history-world.js';

const SLOT = 3;

/** Token ids of `blocks` blocks and `more` tokens, different for every `first`. */
function prompt(first: number, blocks: number, more = 1): number[] {
  return Array.from({ length: blocks * BLOCK + more }, (_, at) => first * 100_000 + at);
}

export function routingHistorySuite(
  name: string,
  skip: string | false,
  open: () => HistoryWorld | Promise<HistoryWorld>,
): void {
  let world: HistoryWorld;
  before(async () => {
    if (skip === false) world = await open();
  });
  after(() => world?.stop());

  function checks(what: string, run: () => Promise<void>): void {
    test(`${name}: ${what}`, { skip }, run);
  }

  function begin(capacityBlocks: number, alignmentBlocks = 1): void {
    world.history.open(SLOT, { capacityBlocks, blockSize: BLOCK, alignmentBlocks });
  }

  async function send(tokenIds: readonly number[], slot = SLOT): Promise<RequestHandle> {
    const handle = await world.request(tokenIds);
    assert.equal(world.history.begin(handle, slot, tokenIds.length), 'done');
    return handle;
  }

  function end(handle: RequestHandle, computed: number, cached = -1): void {
    assert.equal(world.history.end(handle, { computed, cached }), 'done');
    world.release(handle);
  }

  /** Sends a prompt and has it answered with one token. */
  async function serve(tokenIds: readonly number[], slot = SLOT): Promise<void> {
    end(await send(tokenIds, slot), tokenIds.length);
  }

  checks('all of a prompt is held from the moment it was sent', async () => {
    begin(100);
    const sent = prompt(1, 5, 7);
    assert.equal(world.match(SLOT, sent), 0);
    const handle = await send(sent);
    assert.equal(world.match(SLOT, sent), 5);
    assert.equal(world.match(SLOT, [...sent.slice(0, 3 * BLOCK), ...prompt(2, 3)]), 3);
    // The last token is computed anew, whatever is held.
    assert.equal(world.match(SLOT, sent.slice(0, 5 * BLOCK)), 4);
    end(handle, sent.length);
    assert.equal(world.match(SLOT, sent), 5);
    assert.deepEqual(world.history.usage(SLOT), { blocks: 5, capacityBlocks: 100, requests: 0 });
  });

  checks('the oldest request is evicted first, and of it the tail', async () => {
    begin(12);
    await serve(prompt(1, 4));
    await serve(prompt(2, 4));
    // Three blocks were never used, one held a partial block: one is taken.
    await serve(prompt(3, 4));
    assert.deepEqual(
      [1, 2, 3].map((first) => world.match(SLOT, prompt(first, 4))),
      [3, 4, 4],
    );
    await serve(prompt(1, 3));
    await serve(prompt(4, 4));
    const held = [1, 2, 3, 4].map((first) => world.match(SLOT, prompt(first, 4)));
    assert.deepEqual(held, [3, 0, 4, 4]);
  });

  checks('what a running request uses is never evicted; others wait for room', async () => {
    begin(10);
    const first = await send(prompt(1, 4));
    const second = await send(prompt(2, 6));
    assert.deepEqual([world.match(SLOT, prompt(1, 4)), world.match(SLOT, prompt(2, 6))], [4, 5]);
    const third = await send(prompt(3, 2));
    assert.equal(world.match(SLOT, prompt(3, 2)), 0);
    end(first, 4 * BLOCK + 1);
    // The second is complete; two of the first one's blocks are left to the third.
    assert.equal(world.match(SLOT, prompt(2, 6)), 6);
    assert.equal(world.match(SLOT, prompt(3, 2)), 2);
    end(third, 2 * BLOCK + 1);
    end(second, 6 * BLOCK + 1);
    assert.equal(world.history.usage(SLOT)?.requests, 0);
  });

  checks('a prompt that goes on behind an answer takes its blocks over', async () => {
    begin(20);
    const first = prompt(1, 4);
    // The answer fills four blocks, the partial one of the prompt included.
    end(await send(first), 8 * BLOCK + 3);
    const second = [...first, ...prompt(2, 6)];
    await serve(second);
    // Eight of the first request and its partial one, three more, and the partial one used again.
    await serve(prompt(3, 7));
    assert.equal(world.match(SLOT, second), 10);
    assert.equal(world.match(SLOT, prompt(3, 7)), 7);
  });

  checks('a prompt too short to hold the answer is another question', async () => {
    begin(20);
    const first = prompt(1, 4);
    end(await send(first), 12 * BLOCK);
    const other = [...first.slice(0, 4 * BLOCK), ...prompt(2, 2)];
    await serve(other);
    assert.equal(world.match(SLOT, other), 6);
    // Eight blocks of the answer stand in line before all others, whichever question came later.
    await serve(prompt(3, 6));
    await serve(prompt(4, 6));
    assert.equal(world.match(SLOT, other), 6);
    await serve(prompt(5, 6));
    assert.equal(world.match(SLOT, other), 1);
  });

  checks('an engine that found less than expected has evicted more', async () => {
    begin(20);
    await serve(prompt(1, 8));
    await serve(prompt(2, 8));
    end(await send(prompt(2, 8)), 8 * BLOCK + 1, 2 * BLOCK);
    // Six blocks are somebody else's now; three of them were never used before.
    assert.equal(world.match(SLOT, prompt(2, 8)), 8);
    assert.equal(world.match(SLOT, prompt(1, 8)), 5);
  });

  checks('requests that were not encoded take room once the engine has told of them', async () => {
    begin(10);
    await serve(prompt(1, 4));
    const unknown = await world.request([]);
    assert.equal(world.history.begin(unknown, SLOT, 0), 'done');
    end(unknown, 8 * BLOCK);
    assert.equal(world.match(SLOT, prompt(1, 4)), 2);
  });

  checks('a withdrawn request leaves only what it found', async () => {
    begin(30);
    await serve(prompt(1, 3));
    const handle = await send([...prompt(1, 3, 0), ...prompt(2, 4)]);
    assert.equal(world.match(SLOT, [...prompt(1, 3, 0), ...prompt(2, 4)]), 7);
    assert.equal(world.history.withdraw(handle), 'done');
    assert.equal(world.match(SLOT, [...prompt(1, 3, 0), ...prompt(2, 4)]), 3);
    end(handle, 100);
    assert.deepEqual(world.history.usage(SLOT), { blocks: 3, capacityBlocks: 30, requests: 0 });
  });

  checks('histories do not touch each other, and a closed one is gone', async () => {
    begin(20);
    world.history.open(4, { capacityBlocks: 20, blockSize: BLOCK, alignmentBlocks: 1 });
    await serve(prompt(1, 3), 4);
    await serve(prompt(1, 2));
    assert.deepEqual(
      [3, 4].map((slot) => world.match(slot, prompt(1, 3))),
      [2, 3],
    );
    const running = await send(prompt(2, 3), 4);
    world.history.close(4);
    assert.deepEqual(
      [3, 4].map((slot) => world.match(slot, prompt(1, 3))),
      [2, 0],
    );
    assert.equal(world.history.usage(4), null);
    await serve(prompt(5, 3), 4);
    assert.equal(world.match(4, prompt(5, 3)), 0);
    world.history.open(4, { capacityBlocks: 20, blockSize: BLOCK, alignmentBlocks: 1 });
    // A request of the earlier history means nothing to this one.
    end(running, 100);
    assert.deepEqual(world.history.usage(4), { blocks: 0, capacityBlocks: 20, requests: 0 });
    world.history.close(4);
  });

  checks('it begins anew when its residencies were dropped by somebody else', async () => {
    begin(20);
    const running = await send(prompt(1, 3));
    openIndexWriter(world.index, 1).dropSlot(SLOT);
    await serve(prompt(2, 2));
    assert.deepEqual(
      [1, 2].map((first) => world.match(SLOT, prompt(first, 2))),
      [0, 2],
    );
    assert.equal(world.history.usage(SLOT)?.requests, 0);
    end(running, 3 * BLOCK);
    assert.equal(world.history.usage(SLOT)?.blocks, 2);
  });

  checks('a suspended index is told, and an empty history follows its recovery', async () => {
    begin(20);
    await serve(prompt(1, 3));
    world.owner.suspend();
    const handle = await world.request(prompt(2, 3));
    assert.equal(world.history.begin(handle, SLOT, 3 * BLOCK + 1), 'stuck');
    world.owner.recover();
    await serve(prompt(3, 3));
    assert.deepEqual(
      [1, 2, 3].map((first) => world.match(SLOT, prompt(first, 3))),
      [0, 0, 3],
    );
    assert.equal(world.history.usage(SLOT)?.blocks, 3);
  });

  checks('a long prompt is taken in by slices, in order with those after it', async () => {
    const blocks = 2 * HISTORY_SLICE_BLOCKS + 10;
    begin(2 * blocks);
    const long = await world.request(prompt(1, blocks));
    assert.equal(world.history.begin(long, SLOT, blocks * BLOCK + 1), 'more');
    assert.equal(world.match(SLOT, prompt(1, blocks)), HISTORY_SLICE_BLOCKS);
    const short = await world.request(prompt(2, 3));
    assert.equal(world.history.begin(short, SLOT, 3 * BLOCK + 1), 'more');
    assert.equal(world.match(SLOT, prompt(2, 3)), 0);
    assert.equal(world.history.advance(), 'done');
    assert.equal(world.match(SLOT, prompt(1, blocks)), blocks);
    assert.equal(world.match(SLOT, prompt(2, 3)), 3);
    assert.equal(world.history.advance(), 'done');
    end(long, blocks * BLOCK + 1);
    end(short, 3 * BLOCK + 1);
  });

  checks('a request that ends before it was taken in is held as far as it was', async () => {
    const blocks = 4 * HISTORY_SLICE_BLOCKS;
    begin(blocks);
    const long = await world.request(prompt(1, blocks));
    assert.equal(world.history.begin(long, SLOT, blocks * BLOCK + 1), 'more');
    assert.equal(world.history.end(long, { computed: blocks * BLOCK + 9, cached: -1 }), 'done');
    world.release(long);
    assert.equal(world.match(SLOT, prompt(1, blocks)), 2 * HISTORY_SLICE_BLOCKS);
    assert.equal(world.history.advance(), 'done');
    assert.equal(world.history.usage(SLOT)?.requests, 0);
  });

  checks('hits are multiples of the engine’s own blocks', async () => {
    begin(40, 4);
    await serve(prompt(1, 6));
    assert.equal(world.match(SLOT, prompt(1, 6)), 4);
    // That it found four of six is no news.
    end(await send(prompt(1, 6)), 6 * BLOCK + 1, 4 * BLOCK);
    assert.deepEqual(world.history.usage(SLOT), { blocks: 6, capacityBlocks: 40, requests: 0 });
  });

  checks('a prompt longer than the cache fills it and no more', async () => {
    begin(4);
    await serve(prompt(1, 9));
    assert.equal(world.match(SLOT, prompt(1, 9)), 4);
    assert.equal(world.history.usage(SLOT)?.blocks, 4);
  });
}
