// The event worker that production runs: real sockets, real applier, real block index. What the
// index answers is compared with what each engine has published.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { PublisherState } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import { seededRandom } from '#contracts/random.js';
import { publisherMemoryBytes } from '#contracts/shared-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import { EventWorkers, eventWorkerUrl } from '#main/event-workers.js';
import { eventually } from '#test/support/eventually.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { PublishingEngine } from '#test/support/publishing-engine.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';
import { processClock } from '#workers/process-clock.js';

const BLOCK = 16;
const BLOCKS = 6;
const SECRET = 42n;
const tokenIds = Uint32Array.from({ length: BLOCK * BLOCKS }, (_, token) => token + 1000);

/** The frame in which an engine stores block `block` of the one prompt of this test. */
function storedFrame(block: number): Uint8Array {
  const tokens = [...tokenIds.subarray(block * BLOCK, (block + 1) * BLOCK)];
  const parent = block === 0 ? null : block;
  return encodeEventBatch({
    timestamp: 1 + block,
    events: [['BlockStored', [block + 1], parent, tokens, BLOCK, null, 'GPU', null]],
    dataParallelRank: 0,
  });
}

const CORES = [
  { core: 'portable', workerUrl: eventWorkerUrl('portable'), skip: false },
  { core: 'native', workerUrl: eventWorkerUrl('native'), skip: nativeSkip },
] as const;

for (const { core, workerUrl, skip } of CORES) {
  const title = 'after a failed worker the index answers what the engines have published';
  test(`${core}: ${title}`, { skip }, (context) => failAndReplay(context, workerUrl));
}

async function failAndReplay(context: TestContext, workerUrl: URL): Promise<void> {
  const index = createBlockIndex({ blockCapacity: 4096, endpointCapacity: 64 });
  const reader = openIndexReader(index);
  const owner = openIndexOwner(index);
  const keys = new Uint32Array(2 * BLOCKS);
  chainKeys(
    namespaceSeed(SECRET, { pool: 'm', adapter: '', cacheSalt: '' }),
    tokenIds,
    BLOCK,
    keys,
  );
  const matched = (): string => {
    const usableBlocks = new Uint32Array(64);
    const result = {
      usableBlocks,
      tierBlocks: new Uint32Array(256),
      rawBlocks: new Uint32Array(64),
    };
    reader.match(keys, BLOCKS, BLOCKS, result);
    return usableBlocks.subarray(0, 2).join();
  };
  const states = new Map<number, PublisherState>();
  const quiet = (): void => {};
  const logger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const workers = new EventWorkers({
    shards: 1,
    memory: {
      index,
      requests: new SharedArrayBuffer(8),
      publishers: new SharedArrayBuffer(publisherMemoryBytes(64)),
    },
    index: owner,
    hashSecret: SECRET,
    staleAfterMs: 5000,
    clock: processClock,
    random: seededRandom(5),
    logger,
    workerUrl,
    onPublisher: (slot, state) => states.set(slot, state),
    onBlockSize: () => {},
  });
  workers.start();
  context.after(async () => assert.ok(await workers.stop()));

  const engines = [new PublishingEngine(), new PublishingEngine()];
  for (const [slot, engine] of engines.entries()) {
    await engine.start();
    context.after(() => engine.stop());
    for (let block = 0; block <= slot; block++) await engine.publishRaw(storedFrame(block));
    workers.subscribe({
      slot,
      name: `${slot}`,
      source: engine.source,
      pool: 'm',
      blockSize: BLOCK,
    });
  }
  await eventually('both engines are matched', () => matched() === '1,2');

  workers.failAt(0, 'apply');
  for (const [slot, engine] of engines.entries()) await engine.publishRaw(storedFrame(slot + 1));
  await eventually('the replacement has replayed', () => matched() === '2,3');
  assert.equal(workers.health()[0]?.restarts, 1);

  // The former worker's generations are gone from the index: dropping the slot leaves nothing.
  workers.unsubscribe(0);
  await eventually('the slot is empty', () => matched() === '0,3');
}
