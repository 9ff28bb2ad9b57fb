// One request inside the engine model: its token ids, its chain of block hashes, the physical
// blocks it holds and how far it is computed. Only the model changes it.

import type { ExtraKeyForm, SequenceIdentity } from './block-hash.js';
import { type BlockHash, hashBlock, hashedExtraKeys } from './block-hash.js';

/** What a client wants generated. */
export interface EngineRequest {
  readonly id: string;
  /** At least one token id. */
  readonly promptTokenIds: readonly number[];
  /** Tokens to generate, at least 1. */
  readonly outputTokens: number;
  readonly identity: SequenceIdentity;
}

/** How a sequence is cut and hashed; the same for all requests of an engine. */
export interface ChainSettings {
  readonly blockSize: number;
  readonly noneHash: Buffer;
  readonly extraKeyForm: ExtraKeyForm;
}

export interface Sequence {
  readonly id: string;
  readonly identity: SequenceIdentity;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Decides which tokens are generated. */
  readonly outputSeed: number;
  /** Prompt, then what was generated so far. */
  readonly tokenIds: number[];
  /** Hashes of the full blocks of `tokenIds`, extended as they fill. */
  readonly chain: BlockHash[];
  /** Physical blocks in order, the last one possibly partial. */
  blocks: number[];
  /** Leading tokens whose KV exists. */
  computed: number;
  /** Leading blocks that are hashed: hits, and announced ones. */
  committed: number;
  /** Tokens to compute in the running step. */
  scheduled: number;
  /** Tokens reused at first admission, −1 before. */
  cachedTokens: number;
}

export function newSequence(request: EngineRequest, outputSeed: number): Sequence {
  return {
    id: request.id,
    identity: request.identity,
    promptTokens: request.promptTokenIds.length,
    outputTokens: request.outputTokens,
    outputSeed,
    tokenIds: [...request.promptTokenIds],
    chain: [],
    blocks: [],
    computed: 0,
    committed: 0,
    scheduled: 0,
    cachedTokens: -1,
  };
}

/** Hashes blocks that became full since the last call. */
export function extendChain(
  chain: BlockHash[],
  tokenIds: readonly number[],
  identity: SequenceIdentity,
  settings: ChainSettings,
): void {
  const { blockSize, noneHash, extraKeyForm } = settings;
  while ((chain.length + 1) * blockSize <= tokenIds.length) {
    const block = chain.length;
    const parent = chain[block - 1]?.digest ?? noneHash;
    const range = { start: block * blockSize, count: blockSize };
    const extraKeys = hashedExtraKeys(identity, block, extraKeyForm);
    chain.push(hashBlock(parent, tokenIds, range, extraKeys));
  }
}

/** Blocks that may be reused: never the last token, whose logits are needed (wire-formats §2). */
export function reusableBlocks(tokens: number, blockSize: number): number {
  return Math.floor((tokens - 1) / blockSize);
}
