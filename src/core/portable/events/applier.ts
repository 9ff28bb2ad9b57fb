// The portable EventApplier: one state per publisher, decode → key → write. Called by the event
// pipeline and by `verify`, frame by frame in stream order. A malformed frame changes nothing; an
// event that cannot be mapped is skipped and counted, so the index never claims more than was told.

import { assert, assertNever } from '#contracts/assert.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import type { ApplyResult, EventApplier } from '#contracts/core.js';
import type { EventBatch, KvEvent } from '#contracts/kv-event.js';
import { decodeEventBatch } from './decode.js';
import { EngineBlocks, type WriteTally } from './engine-blocks.js';
import { KvGroups } from './groups.js';
import { applyStored, type StoreContext } from './store.js';

interface Publisher extends StoreContext {
  readonly slot: number;
  readonly groups: KvGroups;
  readonly tally: WriteTally;
}

/** `ApplyResult` while it is being counted. */
type Counts = { -readonly [Field in keyof ApplyResult]: ApplyResult[Field] };

/**
 * Creates an applier that writes through `writer`. `hashSecret` is the deployment's secret, the
 * same for everything that computes request keys.
 */
export function createEventApplier(writer: BlockIndexWriter, hashSecret: bigint): EventApplier {
  const publishers = new Map<number, Publisher>();

  const publisherOf = (slot: number): Publisher => {
    const publisher = publishers.get(slot);
    assert(publisher !== undefined, `publisher ${slot} was not opened`);
    return publisher;
  };

  const renew = (publisher: Publisher): void => {
    const { blocks, slot } = publisher;
    if (blocks.virtualId >= 0) writer.dropEndpoint(blocks.virtualId);
    blocks.clear(-1);
    begin(publisher, writer, slot);
  };

  return {
    open(slot, keying) {
      assert(!publishers.has(slot), `publisher ${slot} is already open`);
      writer.dropSlot(slot);
      const tally = { indexFull: 0, stuck: false };
      const blocks = new EngineBlocks(writer, -1, tally);
      const groups = new KvGroups();
      const { pool, blockSize } = keying;
      const seeds = new Map();
      const publisher = { slot, pool, blockSize, hashSecret, seeds, blocks, groups, tally };
      publishers.set(slot, publisher);
      begin(publisher, writer, slot);
    },
    apply(slot, payload) {
      const publisher = publisherOf(slot);
      const decoded = decodeEventBatch(payload);
      if (!decoded.ok) return { ...newCounts(), status: 'malformed', detail: decoded.reason };
      return applyBatch(publisher, decoded.batch, { writer, renew });
    },
    reset(slot) {
      renew(publisherOf(slot));
    },
    close(slot) {
      writer.dropSlot(slot);
      publishers.delete(slot);
    },
    sweep: (bucketCount) => writer.sweep(bucketCount),
  };
}

/** Opens a generation; when all virtual ids are taken, the next frame tries again. */
function begin(publisher: Publisher, writer: BlockIndexWriter, slot: number): void {
  const virtualId = writer.openEndpoint(slot);
  publisher.blocks.virtualId = virtualId;
  if (virtualId < 0) return;
  for (const [group, windowBlocks] of publisher.groups.windows()) {
    writer.setGroupWindow(virtualId, group, windowBlocks);
  }
}

interface ApplyContext {
  readonly writer: BlockIndexWriter;
  readonly renew: (publisher: Publisher) => void;
}

function applyBatch(publisher: Publisher, batch: EventBatch, context: ApplyContext): ApplyResult {
  const { tally, blocks, groups } = publisher;
  const counts = newCounts();
  counts.unknownEvents = batch.unknownEvents;
  tally.indexFull = 0;
  tally.stuck = false;
  // Without a virtual id nothing is in the index, so a later one starts from nothing as well.
  if (blocks.virtualId < 0) context.renew(publisher);
  groups.learn(batch.events);
  for (const event of batch.events) {
    applyEvent(publisher, event, counts, context);
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
  { writer, renew }: ApplyContext,
): void {
  if (event.type === 'AllBlocksCleared') {
    renew(publisher);
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
      const window = groups.newWindow(group, event, blockSize);
      if (window !== null && blocks.virtualId >= 0) {
        writer.setGroupWindow(blocks.virtualId, group, window);
      }
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
