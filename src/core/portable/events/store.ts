// Applies one BlockStored: finds where the sequence continues, computes the request keys of its
// blocks from their token ids and counts the copies. Rules 4 to 7 of wire-formats §0: an unknown
// parent is never a root, placeholders and masked blocks are joined by hash, groups are apart.

import type { EngineKey } from '#contracts/block.js';
import type { BlockExtraKeys, BlockStoredEvent } from '#contracts/kv-event.js';
import { NAMESPACE_LENGTH_KEPT, NAMESPACES_KEPT } from '#contracts/limits.js';
import type { BlockKey } from '../keys.js';
import { namespaceSeed } from '../keys.js';
import { advance, after, type ChainPosition, keysOfRun } from './chain.js';
import type { EngineBlocks } from './engine-blocks.js';
import { type ExtraBytes, extraBytesOf, NO_EXTRA, saltOf } from './extra-keys.js';
import { isStateOnly, type KvGroups } from './groups.js';

/** What a store needs of its publisher. */
export interface StoreContext {
  readonly blocks: EngineBlocks;
  readonly groups: KvGroups;
  readonly pool: string;
  /** Canonical block size. */
  readonly blockSize: number;
  readonly hashSecret: bigint;
  /** Seeds of namespaces with short names, by adapter and salt. */
  readonly seeds: Map<string, BlockKey>;
}

/** What became of one event. */
export interface StoreOutcome {
  readonly stored: number;
  readonly unknownParents: number;
  readonly unknownBlocks: number;
  /** 1 when nothing could be mapped. */
  readonly unmappable: number;
}

const UNMAPPABLE: StoreOutcome = { stored: 0, unknownParents: 0, unknownBlocks: 0, unmappable: 1 };

/** `group` is the group's number in the index. */
export function applyStored(
  context: StoreContext,
  event: BlockStoredEvent,
  group: number,
): StoreOutcome {
  const { blockHashes, tokenIds, blockSize } = event;
  if (tokenIds.length === 0) return joinByHash(context, event, group, 0);
  const spanned = blockSize === 0 ? 0 : tokenIds.length / blockSize;
  if (!Number.isInteger(spanned) || blockHashes.length > spanned) return UNMAPPABLE;
  if (blockHashes.length < spanned) return storeMasked(context, event, group);
  const start = startOf(context, event);
  if (start === null) return joinByHash(context, event, group, 1);
  if (canRun(context, event, start)) return storeRun(context, event, group, start.end);
  return storeSteps(context, event, group, start);
}

/** Where the event's first block begins; null when its parent is not known. */
function startOf(context: StoreContext, event: BlockStoredEvent): ChainPosition | null {
  if (event.parentBlockHash !== null) {
    const parent = context.blocks.find(event.parentBlockHash);
    return parent === undefined ? null : after(parent);
  }
  const salt = event.cacheSalt ?? saltOf(extraKeysAt(event, 0), event.loraName);
  return { end: seedOf(context, event.loraName ?? '', salt ?? ''), before: null };
}

function seedOf(context: StoreContext, adapter: string, cacheSalt: string): BlockKey {
  const namespace = { pool: context.pool, adapter, cacheSalt };
  if (adapter.length + cacheSalt.length > NAMESPACE_LENGTH_KEPT) {
    return namespaceSeed(context.hashSecret, namespace);
  }
  const name = `${adapter.length}:${adapter}${cacheSalt}`;
  const known = context.seeds.get(name);
  if (known !== undefined) return known;
  if (context.seeds.size >= NAMESPACES_KEPT) context.seeds.clear();
  const seed = namespaceSeed(context.hashSecret, namespace);
  context.seeds.set(name, seed);
  return seed;
}

/**
 * With masked blocks the event does not tell which token ids a hash is for (rule 6). But a group
 * with a window keeps the blocks that a hit can need: the last few before every common border of
 * the groups' blocks, where group 0 has a block with the hash of the last of them.
 */
function storeMasked(context: StoreContext, event: BlockStoredEvent, group: number): StoreOutcome {
  const { blocks, blockSize, groups } = context;
  const { blockHashes, tokenIds } = event;
  const segment = groups.segment(event);
  const segments = segment === null ? 0 : tokenIds.length / (segment.blocks * event.blockSize);
  const isFull = segment !== null && blockHashes.length === segments * segment.kept;
  if (!isFull || event.blockSize % blockSize !== 0) return joinByHash(context, event, group, 0);
  const words = (2 * event.blockSize) / blockSize;
  let stored = 0;
  for (let one = 1; one <= segments; one += 1) {
    const last = one * segment.kept - 1;
    const known = blocks.find(blockHashes[last] as EngineKey);
    const keys = known === undefined ? [] : blocks.primaryKeys(known);
    for (let back = 0; back < segment.kept; back += 1) {
      const end = keys.length - back * words;
      if (end < words) break;
      const own = keys.slice(end - words, end);
      const prefix = { low: own.at(-2) as number, high: own.at(-1) as number };
      const block = blocks.ensure(blockHashes[last - back] as EngineKey, prefix, null);
      if (block === null) break;
      blocks.addCopy(block, group, event.tier, { keys: own, joint: null });
      stored += 1;
    }
  }
  const unknownBlocks = blockHashes.length - stored;
  return { stored, unknownParents: 0, unknownBlocks, unmappable: 0 };
}

/** Counts copies of blocks that are already known; the others are skipped and counted. */
function joinByHash(
  { blocks, blockSize }: StoreContext,
  event: BlockStoredEvent,
  group: number,
  unknownParents: number,
): StoreOutcome {
  let stored = 0;
  const size = event.blockSize === 0 ? Number.POSITIVE_INFINITY : event.blockSize;
  const keyCount = isStateOnly(event) ? 1 : Math.max(1, Math.floor(size / blockSize));
  for (const engineKey of event.blockHashes) {
    const block = blocks.find(engineKey);
    if (block === undefined) continue;
    blocks.addCopyByHash(block, group, event.tier, keyCount);
    stored += 1;
  }
  const unknown = event.blockHashes.length - stored;
  return {
    stored,
    unknownParents,
    unknownBlocks: unknownParents === 0 ? unknown : 0,
    unmappable: 0,
  };
}

/** Whether all blocks lie on canonical borders and nothing but token ids enters their keys. */
function canRun(context: StoreContext, event: BlockStoredEvent, start: ChainPosition): boolean {
  if (start.before !== null || event.blockSize % context.blockSize !== 0) return false;
  const { extraKeys, loraName } = event;
  if (extraKeys === null) return true;
  return extraKeys.every((keys, i) => {
    if (keys === null) return true;
    const isRoot = i === 0 && event.parentBlockHash === null;
    const plain = (keys.includes(loraName ?? '') && loraName !== null ? 1 : 0) + (isRoot ? 1 : 0);
    return keys.length <= plain && keys.every((key) => typeof key === 'string');
  });
}

/** The usual case: engine blocks of one or several whole canonical blocks. */
function storeRun(
  context: StoreContext,
  event: BlockStoredEvent,
  group: number,
  start: BlockKey,
): StoreOutcome {
  const { blocks } = context;
  const keys = keysOfRun(start, new Uint32Array(event.tokenIds), context.blockSize);
  const wordsEach = (2 * event.blockSize) / context.blockSize;
  const stateOnly = isStateOnly(event);
  let stored = 0;
  for (const [i, engineKey] of event.blockHashes.entries()) {
    const last = (i + 1) * wordsEach - 2;
    const end = { low: keys[last] as number, high: keys[last + 1] as number };
    const own =
      wordsEach === 2 || stateOnly
        ? [end.low, end.high]
        : Array.from(keys.subarray(last + 2 - wordsEach, last + 2));
    const block = blocks.ensure(engineKey, end, null);
    if (block === null) continue;
    blocks.addCopy(block, group, event.tier, { keys: own, joint: null });
    stored += 1;
  }
  return { stored, unknownParents: 0, unknownBlocks: 0, unmappable: 0 };
}

/** Blocks smaller than canonical ones, across their borders, or with extra keys. */
function storeSteps(
  context: StoreContext,
  event: BlockStoredEvent,
  group: number,
  start: ChainPosition,
): StoreOutcome {
  const { blocks } = context;
  const extras = extrasOf(event);
  if (extras === null) return UNMAPPABLE;
  const tokenIds = new Uint32Array(event.tokenIds);
  let position = start;
  let stored = 0;
  for (const [i, engineKey] of event.blockHashes.entries()) {
    const own = tokenIds.subarray(i * event.blockSize, (i + 1) * event.blockSize);
    const step = advance(position, own, context.blockSize, extras[i] ?? NO_EXTRA);
    const block = blocks.ensure(engineKey, step.end, step.tail);
    // The rest of the chain hangs on this block.
    if (block === null) break;
    blocks.addCopy(block, group, event.tier, stepSpan(step.span, isStateOnly(event)));
    position = after(block);
    stored += 1;
  }
  return { stored, unknownParents: 0, unknownBlocks: 0, unmappable: 0 };
}

/** Extra bytes of every block; null when one has no canonical form. */
function extrasOf(event: BlockStoredEvent): readonly ExtraBytes[] | null {
  if (event.extraKeys === null) return [];
  const extras: ExtraBytes[] = [];
  for (const [i, keys] of event.extraKeys.entries()) {
    const isRoot = i === 0 && event.parentBlockHash === null;
    const extra = extraBytesOf(keys, event.loraName, isRoot);
    if (extra === null) return null;
    extras.push(extra);
  }
  return extras;
}

/** A state is only there at the end of its block. */
function stepSpan<T extends { readonly keys: readonly number[] }>(span: T, stateOnly: boolean): T {
  return stateOnly ? { ...span, keys: span.keys.slice(-2) } : span;
}

function extraKeysAt(event: BlockStoredEvent, position: number): BlockExtraKeys {
  return event.extraKeys?.[position] ?? null;
}
