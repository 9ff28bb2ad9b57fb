// How large the block index must be: every block that any engine can hold, with room for lower
// tiers. The table is fixed when it is allocated, so it is sized after the fleet has been asked.

import type { BlockIndexGeometry } from '#contracts/block-index.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';

/** CPU and disk tiers hold blocks that the GPU has evicted: as many again is usual. */
const LOWER_TIERS_FACTOR = 2;
/** For engines that do not tell: a large one has 40,000 blocks of 16 tokens. */
const BLOCKS_PER_UNKNOWN_ENGINE = 65_536;
const BLOCKS_MIN = 262_144;
/** 32 M blocks are 390 MB of index and half a billion tokens of cache. */
const BLOCKS_MAX = 33_554_432;

/** Geometry for the fleet as it is; `configured` blocks beat what the engines say. */
export function indexGeometry(
  fleet: FleetSnapshot,
  endpointCapacity: number,
  configured: number | null,
): BlockIndexGeometry {
  if (configured !== null) return { blockCapacity: configured, endpointCapacity };
  let blocks = 0;
  for (const state of fleet.bySlot) {
    if (state === null) continue;
    const { gpuBlocks, blockSize, cacheTokens } = state.endpoint;
    // Keys are per canonical block, which may be a part of an engine's block.
    const parts = Math.max(1, Math.ceil((blockSize ?? 16) / 16));
    const onGpu = gpuBlocks === null ? BLOCKS_PER_UNKNOWN_ENGINE : gpuBlocks * parts;
    // An engine that tells its lower tiers may have more in them; a routing history holds all of it.
    blocks += Math.max(onGpu * LOWER_TIERS_FACTOR, (cacheTokens ?? 0) / 16);
  }
  // Engines may be added later: twice the room, bounded.
  return {
    blockCapacity: Math.min(BLOCKS_MAX, Math.max(BLOCKS_MIN, Math.ceil(blocks * 2))),
    endpointCapacity,
  };
}
