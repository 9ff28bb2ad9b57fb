// Tokenizers of one prompt worker, loaded at most once per directory and kept with their prefix
// stores. Called by encode.ts; a directory that cannot be loaded is remembered until the models
// change, so that a broken file costs one attempt and one warning.

import { TOKENIZERS_MAX } from '#contracts/limits.js';
import { PrefixStore } from './prefix-store.js';
import type { LoadedTokenizer } from './tokenize.js';

export interface TokenizerEntry {
  readonly tokenizer: LoadedTokenizer;
  readonly store: PrefixStore;
}

export class TokenizerCache {
  readonly #load: (directory: string) => Promise<LoadedTokenizer>;
  readonly #nowMs: () => number;
  readonly #entries = new Map<string, Promise<TokenizerEntry>>();

  constructor(load: (directory: string) => Promise<LoadedTokenizer>, nowMs: () => number) {
    this.#load = load;
    this.#nowMs = nowMs;
  }

  /** Rejects when the directory's files cannot be loaded. */
  get(directory: string): Promise<TokenizerEntry> {
    const known = this.#entries.get(directory);
    if (known !== undefined) {
      this.#entries.delete(directory);
      this.#entries.set(directory, known);
      return known;
    }
    const entry = this.#open(directory);
    this.#entries.set(directory, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= TOKENIZERS_MAX) break;
      this.#entries.delete(oldest);
    }
    return entry;
  }

  /** Forgets directories that failed, so that they are tried once more. */
  async retryFailed(): Promise<void> {
    for (const [directory, entry] of this.#entries) {
      const failed = await entry.then(
        () => false,
        () => true,
      );
      if (failed) this.#entries.delete(directory);
    }
  }

  async #open(directory: string): Promise<TokenizerEntry> {
    const tokenizer = await this.#load(directory);
    return { tokenizer, store: new PrefixStore(tokenizer, this.#nowMs) };
  }
}
