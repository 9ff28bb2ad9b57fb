// The match stage: where the blocks of a prompt are, by the block index and by the speculative
// residencies of moments ago. Called by encode.ts; lock-free reads only.

import type { RequestKeys } from '#contracts/block.js';
import type { BlockIndexReader } from '#contracts/block-index.js';
import type { PromptMatch } from '#contracts/request.js';
import type { SpeculativeReader } from '../index/speculative.js';

/** Matches prompts of one worker. */
export class PromptMatcher {
  readonly #index: BlockIndexReader;
  readonly #speculative: SpeculativeReader;

  constructor(index: BlockIndexReader, speculative: SpeculativeReader) {
    this.#index = index;
    this.#speculative = speculative;
  }

  /** Fills `result`; returns the index epoch it was read in. */
  match(keys: RequestKeys, blockLimit: number, result: PromptMatch): number {
    const epoch = this.#index.match(keys, keys.length / 2, blockLimit, result);
    this.#speculative.match(keys, blockLimit, result.usableBlocks, result.speculativeBlocks);
    return epoch;
  }
}
