// The portable EventApplier: one state per publisher, decode → key → write. Called by the event
// pipeline and by `verify`, frame by frame in stream order. A malformed frame changes nothing; an
// event that cannot be mapped is skipped and counted, so the index never claims more than was told.

import { assert, assertNever } from '#contracts/assert.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import type { ApplyResult, EventApplier, PoolKeying } from '#contracts/core.js';
import type { EventBatch, KvEvent } from '#contracts/kv-event.js';
import { GENERATIONS_UNSWEPT_MAX } from '#contracts/limits.js';
import { decodeEventBatch } from './decode.js';
import { EngineBlocks, type WriteTally } from './engine-blocks.js';
import { KvGroups } from './groups.js';
import { applyStored, type StoreContext } from './store.js';

interface Publisher extends StoreContext {
  readonly slot: number;
  readonly tally: WriteTally;
  /** Whether a store has come since the generation began. */
  hasStored: boolean;
  /** Generations dropped since the index was last clean. */
  unswept: number;
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
      hasStored: false,
      unswept: 0,
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
    const isClean = this.#writer.sweep(bucketCount);
    if (isClean) for (const publisher of this.#publishers.values()) publisher.unswept = 0;
    return isClean;
  }

  #publisher(slot: number): Publisher {
    const publisher = this.#publishers.get(slot);
    assert(publisher !== undefined, `publisher ${slot} was not opened`);
    return publisher;
  }
}

function renewGeneration(publisher: Publisher, writer: BlockIndexWriter): void {
  const { blocks } = publisher;
  if (blocks.virtualId >= 0) {
    writer.dropEndpoint(blocks.virtualId);
    publisher.unswept += 1;
  }
  blocks.clear(-1);
  beginGeneration(publisher, writer);
}

/**
 * Opens a generation; when all virtual ids are taken, or as many as one publisher may take, the next
 * frame tries again.
 */
function beginGeneration(publisher: Publisher, writer: BlockIndexWriter): void {
  const { slot, blocks, groups, unswept } = publisher;
  publisher.hasStored = false;
  const virtualId = unswept < GENERATIONS_UNSWEPT_MAX ? writer.openEndpoint(slot) : -1;
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
  // Nothing is left of what comes before a clear, so a frame begins one generation at most.
  const lastClear = batch.events.findLastIndex(({ type }) => type === 'AllBlocksCleared');
  const events = lastClear < 0 ? batch.events : batch.events.slice(lastClear + 1);
  counts.cleared = lastClear >= 0;
  // What was told without a virtual id is not in the index, so it is forgotten with the retry.
  if (blocks.virtualId < 0 || (counts.cleared && publisher.hasStored)) {
    renewGeneration(publisher, writer);
  }
  groups.learn(events);
  for (const event of events) {
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
  if (event.type === 'AllBlocksCleared') return;
  const { blocks, groups, blockSize } = publisher;
  const group = groups.indexGroup(event.group);
  if (group === null) {
    counts.unknownEvents += 1;
    return;
  }
  switch (event.type) {
    case 'BlockStored': {
      publisher.hasStored = true;
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
