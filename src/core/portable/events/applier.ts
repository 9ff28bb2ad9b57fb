// The portable EventApplier: one state per publisher, decode → key → write. Called by the event
// pipeline and by `verify`, frame by frame in stream order. A malformed frame changes nothing; an
// event that cannot be mapped is skipped and counted, so the index never claims more than was told.

import { assert, assertNever } from '#contracts/assert.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import type { ApplyResult, EventApplier, PoolKeying } from '#contracts/core.js';
import type { EventBatch, KvEvent } from '#contracts/kv-event.js';
import { decodeEventBatch } from './decode.js';
import { EngineBlocks, type WriteTally } from './engine-blocks.js';
import { KvGroups } from './groups.js';
import { applyStored, type StoreContext } from './store.js';

interface Publisher extends StoreContext {
  readonly slot: number;
  readonly tally: WriteTally;
}

/** `ApplyResult` while it is being counted. */
type Counts = { -readonly [Field in keyof ApplyResult]: ApplyResult[Field] };

/**
 * Creates an applier that writes through `writer`. `hashSecret` is the deployment's secret, the
 * same for everything that computes request keys.
 */
export function createEventApplier(writer: BlockIndexWriter, hashSecret: bigint): EventApplier {
  return new PortableEventApplier(writer, hashSecret);
}

class PortableEventApplier implements EventApplier {
  readonly #writer: BlockIndexWriter;
  readonly #hashSecret: bigint;
  readonly #publishers = new Map<number, Publisher>();

  constructor(writer: BlockIndexWriter, hashSecret: bigint) {
    this.#writer = writer;
    this.#hashSecret = hashSecret;
  }

  open(slot: number, { pool, blockSize }: PoolKeying): void {
    this.#writer.dropSlot(slot);
    const tally = { indexFull: 0, stuck: false };
    const publisher: Publisher = {
      slot,
      pool,
      blockSize,
      hashSecret: this.#hashSecret,
      seeds: new Map(),
      blocks: new EngineBlocks(this.#writer, -1, tally),
      groups: new KvGroups(),
      tally,
    };
    this.#publishers.set(slot, publisher);
    beginGeneration(publisher, this.#writer);
  }

  apply(slot: number, payload: Uint8Array): ApplyResult {
    const publisher = this.#publisher(slot);
    const decoded = decodeEventBatch(payload);
    if (!decoded.ok) return { ...newCounts(), status: 'malformed', detail: decoded.reason };
    return applyBatch(publisher, decoded.batch, this.#writer);
  }

  reset(slot: number): void {
    renewGeneration(this.#publisher(slot), this.#writer);
  }

  close(slot: number): void {
    this.#writer.dropSlot(slot);
    this.#publishers.delete(slot);
  }

  sweep(bucketCount: number): boolean {
    return this.#writer.sweep(bucketCount);
  }

  #publisher(slot: number): Publisher {
    const publisher = this.#publishers.get(slot);
    assert(publisher !== undefined, `publisher ${slot} was not opened`);
    return publisher;
  }
}

function renewGeneration(publisher: Publisher, writer: BlockIndexWriter): void {
  const { blocks } = publisher;
  if (blocks.virtualId >= 0) writer.dropEndpoint(blocks.virtualId);
  blocks.clear(-1);
  beginGeneration(publisher, writer);
}

/** Opens a generation; when all virtual ids are taken, the next frame tries again. */
function beginGeneration({ slot, blocks, groups }: Publisher, writer: BlockIndexWriter): void {
  const virtualId = writer.openEndpoint(slot);
  blocks.virtualId = virtualId;
  groups.forgetBlockSizes();
  if (virtualId < 0) return;
  for (const [group, windowBlocks] of groups.windows()) {
    writer.setGroupWindow(virtualId, group, windowBlocks);
  }
}

function applyBatch(
  publisher: Publisher,
  batch: EventBatch,
  writer: BlockIndexWriter,
): ApplyResult {
  const { tally, blocks, groups } = publisher;
  const counts = newCounts();
  counts.unknownEvents = batch.unknownEvents;
  tally.indexFull = 0;
  tally.stuck = false;
  // What was told without a virtual id is not in the index, so it is forgotten with the retry.
  if (blocks.virtualId < 0) renewGeneration(publisher, writer);
  groups.learn(batch.events);
  for (const event of batch.events) {
    applyEvent(publisher, event, counts, writer);
    if (tally.stuck) break;
  }
  counts.indexFull = tally.indexFull;
  if (tally.stuck) {
    counts.status = 'index-stuck';
    counts.detail = 'a lock of the block index stayed taken: its owner has died';
  }
  return counts;
}

function applyEvent(
  publisher: Publisher,
  event: KvEvent,
  counts: Counts,
  writer: BlockIndexWriter,
): void {
  if (event.type === 'AllBlocksCleared') {
    renewGeneration(publisher, writer);
    counts.cleared = true;
    return;
  }
  const { blocks, groups, blockSize } = publisher;
  const group = groups.indexGroup(event.group);
  if (group === null) {
    counts.unknownEvents += 1;
    return;
  }
  switch (event.type) {
    case 'BlockStored': {
      const { virtualId } = blocks;
      const window = groups.newWindow(group, event, blockSize);
      if (window !== null && virtualId >= 0) writer.setGroupWindow(virtualId, group, window);
      const alignment = groups.newAlignment(group, event, blockSize);
      if (alignment !== null && virtualId >= 0) writer.setHitAlignment(virtualId, alignment);
      const outcome = applyStored(publisher, event, group);
      counts.blocksStored += outcome.stored;
      counts.unknownParents += outcome.unknownParents;
      counts.unknownBlocks += outcome.unknownBlocks;
      counts.unknownEvents += outcome.unmappable;
      if (group === 0 && event.blockSize > 0) counts.blockSize = event.blockSize;
      break;
    }
    case 'BlockRemoved':
      for (const engineKey of event.blockHashes) {
        if (blocks.removeCopy(engineKey, group, event.tier)) counts.blocksRemoved += 1;
        else counts.unknownBlocks += 1;
      }
      break;
    default:
      assertNever(event);
  }
}

function newCounts(): Counts {
  return {
    status: 'applied',
    detail: '',
    blocksStored: 0,
    blocksRemoved: 0,
    cleared: false,
    unknownParents: 0,
    unknownBlocks: 0,
    unknownEvents: 0,
    indexFull: 0,
    blockSize: 0,
  };
}
