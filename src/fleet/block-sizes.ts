// The canonical block size of every pool: which engines' sizes count, and what is assumed where none
// tells one. Pure; the fleet manager asks after every change.

import type { Endpoint } from '#contracts/endpoint.js';
import { canonicalBlockSize } from './models.js';

/** Block size of a pool of which no engine tells one: vLLM's own default, tokens. */
const BLOCK_SIZE_DEFAULT = 16;

export interface KnownSizes {
  /** Sizes that publishers' own events tell, by slot; they beat /metrics. */
  readonly byEvents: ReadonlyMap<number, number>;
  readonly configured: (pool: string) => number | null;
  /** Whether endpoints without events have histories, which need a block size too. */
  readonly keepsHistories: boolean;
}

/** Block sizes in tokens of the pools whose size is known or may be assumed. */
export function poolBlockSizes(
  pools: ReadonlyMap<string, readonly Endpoint[]>,
  { byEvents, configured, keepsHistories }: KnownSizes,
): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const [pool, endpoints] of pools) {
    const publishers = endpoints.filter(({ events }) => events !== null);
    // Publishers can follow no other size; in a pool without any, histories go by the engines'.
    const isSilent = publishers.length === 0 && keepsHistories;
    const told = (isSilent ? endpoints : publishers)
      .map(({ slot, blockSize }) => byEvents.get(slot) ?? blockSize)
      .filter((size) => size !== null);
    // Events will tell the size of their pool; of a silent one nobody would.
    const assumed = isSilent ? BLOCK_SIZE_DEFAULT : null;
    const size = canonicalBlockSize(told, configured(pool)) ?? assumed;
    if (size !== null) sizes.set(pool, size);
  }
  return sizes;
}
