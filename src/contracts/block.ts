// Identity of KV-cache blocks. Keys are pairs of 32-bit words, because a JS double cannot hold
// 64 bits and a bigint allocates.

/** Where a block lies inside an engine, fastest first. The position is the tier's number. */
export const TIERS = ['gpu', 'cpu', 'disk', 'shared'] as const;
export type Tier = (typeof TIERS)[number];
/** Position in `TIERS`. */
export type TierNumber = 0 | 1 | 2 | 3;
export const TIER_COUNT: number = TIERS.length;

/**
 * Request keys of consecutive blocks: for block i, `keys[2i]` is the low and `keys[2i + 1]` the
 * high 32 bits of its XXH3-64 chain value.
 */
export type RequestKeys = Uint32Array;

/** What a chain of request keys starts from; every dimension separates prompts completely. */
export interface KeyNamespace {
  /** Name of the pool: the base model's id. */
  readonly pool: string;
  /** LoRA adapter name, empty for the base model. */
  readonly adapter: string;
  /** `cache_salt` of the request, empty when there is none. */
  readonly cacheSalt: string;
}

/** Hash published by an engine: 64-bit integer, or the hex of its 16 or 32 raw bytes. */
export type EngineKey = bigint | string;
