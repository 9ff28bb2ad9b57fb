// Exact prefix cache of one tokenizer in one prompt worker: texts are cut where the tokenizer
// provably splits, chunks are hash-chained, and a node keeps the keys its chunk completed and where
// the chain stands after it, so that a seen prefix is neither tokenised nor hashed again. Nodes
// belong to one namespace and block size; the least recently used go first.

import { xxh3 } from '@node-rs/xxhash';
import type { RequestKeys } from '#contracts/block.js';
import { PREFIX_STORE_BYTES } from '#contracts/limits.js';
import type { BlockKey } from '../keys.js';
import { type ChainState, chainStart, extendChain } from './hash.js';
import type { TextCutter } from './prefix-cuts.js';
import type { LoadedTokenizer } from './tokenize.js';

/** Characters of a chunk before a cut is looked for: nodes stay few and suffixes short. */
const CHUNK_CHARACTERS = 1024;
/** Bytes a node is counted with besides its arrays: map entry, objects, array headers. */
const NODE_BYTES = 400;

/** A prompt's tokens and keys, and what finding them took. */
export interface KeyedPrompt {
  readonly promptTokens: number;
  readonly keys: RequestKeys;
  readonly chunks: number;
  /** Chunks found in the store. */
  readonly hits: number;
  readonly tokenizeMs: number;
  readonly hashMs: number;
}

interface PrefixNode {
  readonly state: ChainState;
  readonly keys: RequestKeys;
}

export interface KeyingInput {
  readonly text: string;
  readonly addSpecialTokens: boolean;
  readonly seed: BlockKey;
  readonly blockSize: number;
}

export class PrefixStore {
  readonly #tokenizer: LoadedTokenizer;
  readonly #nowMs: () => number;
  readonly #bytesMax: number;
  /** Insertion order is age: a node used again is inserted again. */
  readonly #nodes = new Map<bigint, PrefixNode>();
  #bytes = 0;

  constructor(
    tokenizer: LoadedTokenizer,
    nowMs: () => number,
    bytesMax: number = PREFIX_STORE_BYTES,
  ) {
    this.#tokenizer = tokenizer;
    this.#nowMs = nowMs;
    this.#bytesMax = bytesMax;
  }

  /** Bytes and nodes held. */
  usage(): { readonly nodes: number; readonly bytes: number } {
    return { nodes: this.#nodes.size, bytes: this.#bytes };
  }

  /** Tokens and keys of a text, equal to tokenising and hashing it whole. */
  async key(input: KeyingInput): Promise<KeyedPrompt> {
    const { cutter, frame } = this.#tokenizer;
    const frameIsFixed = !input.addSpecialTokens || (frame !== null && frame.after.length === 0);
    if (cutter === null || !frameIsFixed) return this.#keyWhole(input);
    const startedMs = this.#nowMs();
    const chunks = cutChunks(input.text, cutter);
    const hashes = chainHashes(chunks, input);
    const found = this.#walk(hashes);
    const hashedMs = this.#nowMs();
    const missing = chunks.slice(found.length);
    const ids = missing.length === 0 ? [] : await this.#tokenizer.encodeParts(missing);
    const tokenizedMs = this.#nowMs();
    const parts = found.map((node) => node.keys);
    let state = found.at(-1)?.state ?? this.#start(input);
    for (const [at, chunkIds] of ids.entries()) {
      const step = extendChain(state, chunkIds, input.blockSize);
      state = step.state;
      parts.push(step.keys);
      const hash = hashes[found.length + at];
      if (hash !== undefined) this.#insert(hash, step);
    }
    return {
      promptTokens: state.tokenCount,
      keys: concatenated(parts),
      chunks: chunks.length,
      hits: found.length,
      tokenizeMs: tokenizedMs - hashedMs,
      hashMs: hashedMs - startedMs + (this.#nowMs() - tokenizedMs),
    };
  }

  async #keyWhole(input: KeyingInput): Promise<KeyedPrompt> {
    const startedMs = this.#nowMs();
    const ids = await this.#tokenizer.encode(input.text, input.addSpecialTokens);
    const tokenizedMs = this.#nowMs();
    const { state, keys } = extendChain(chainStart(input.seed), ids, input.blockSize);
    return {
      promptTokens: state.tokenCount,
      keys,
      chunks: 1,
      hits: 0,
      tokenizeMs: tokenizedMs - startedMs,
      hashMs: this.#nowMs() - tokenizedMs,
    };
  }

  /** The chain before the text: the tokens every text of this kind begins with. */
  #start(input: KeyingInput): ChainState {
    const before = input.addSpecialTokens ? this.#tokenizer.frame?.before : undefined;
    const start = chainStart(input.seed);
    if (before === undefined || before.length === 0) return start;
    // Blocks hold many tokens and frames one or two, so no block is completed here.
    return { ...start, tokenCount: before.length, leftover: before };
  }

  /** Nodes of the longest known prefix, made the youngest, the first one last. */
  #walk(hashes: readonly bigint[]): PrefixNode[] {
    const found: PrefixNode[] = [];
    for (const hash of hashes) {
      const node = this.#nodes.get(hash);
      if (node === undefined) break;
      found.push(node);
    }
    for (let at = found.length - 1; at >= 0; at -= 1) {
      const [hash, node] = [hashes[at], found[at]];
      if (hash === undefined || node === undefined) continue;
      this.#nodes.delete(hash);
      this.#nodes.set(hash, node);
    }
    return found;
  }

  #insert(hash: bigint, node: PrefixNode): void {
    if (this.#nodes.has(hash)) return;
    this.#nodes.set(hash, node);
    this.#bytes += bytesOf(node);
    for (const [oldest, old] of this.#nodes) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#nodes.delete(oldest);
      this.#bytes -= bytesOf(old);
    }
  }
}

/** Cuts by offsets from the last cut, so that equal prefixes are cut equally. */
function cutChunks(text: string, cutter: TextCutter): readonly string[] {
  const chunks: string[] = [];
  let start = 0;
  while (text.length - start > CHUNK_CHARACTERS) {
    const cut = cutter.next(text, start, start + CHUNK_CHARACTERS);
    if (cut < 0) break;
    chunks.push(text.slice(start, cut));
    start = cut;
  }
  chunks.push(text.slice(start));
  return chunks;
}

/** Identity of each chunk with everything before it, namespace and block size included. */
function chainHashes(chunks: readonly string[], input: KeyingInput): readonly bigint[] {
  const { seed, blockSize, addSpecialTokens } = input;
  const root = Uint32Array.of(seed.low, seed.high, blockSize, Number(addSpecialTokens));
  let hash = xxh3.xxh64(new Uint8Array(root.buffer), 0n);
  return chunks.map((chunk) => {
    hash = xxh3.xxh64(chunk, hash);
    return hash;
  });
}

function bytesOf(node: PrefixNode): number {
  return NODE_BYTES + node.keys.byteLength + node.state.leftover.byteLength;
}

function concatenated(parts: readonly RequestKeys[]): RequestKeys {
  const keys = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    keys.set(part, at);
    at += part.length;
  }
  return keys;
}
