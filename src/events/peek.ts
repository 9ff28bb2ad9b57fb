// Looks into event frames that cannot be applied yet, because the pool's block size is not known,
// for the one thing that tells it: the block size of the first BlockStored of group 0.

import { decodeMsgpack } from '#wire/msgpack.js';

/** Places of the fields in the array form of BlockStored (wire-formats §2). */
const ARRAY_BLOCK_SIZE = 4;
const ARRAY_GROUP = 9;

/** Block size in tokens, 0 when the frame tells none. Anything malformed tells none. */
export function peekBlockSize(payload: Uint8Array): number {
  const decoded = decodeMsgpack(payload);
  if (!decoded.ok || !Array.isArray(decoded.value)) return 0;
  const events: unknown = decoded.value[1];
  if (!Array.isArray(events)) return 0;
  for (const event of events) {
    const blockSize = blockSizeOf(event);
    if (blockSize > 0) return blockSize;
  }
  return 0;
}

function blockSizeOf(event: unknown): number {
  if (Array.isArray(event)) {
    if (event[0] !== 'BlockStored' || !isFirstGroup(event[ARRAY_GROUP])) return 0;
    return sizeOf(event[ARRAY_BLOCK_SIZE]);
  }
  if (typeof event !== 'object' || event === null || !('type' in event)) return 0;
  if (event.type !== 'BlockStored') return 0;
  if ('group_idx' in event && !isFirstGroup(event.group_idx)) return 0;
  return 'block_size' in event ? sizeOf(event.block_size) : 0;
}

function isFirstGroup(group: unknown): boolean {
  return group === undefined || group === null || group === 0;
}

function sizeOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
