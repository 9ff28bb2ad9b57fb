// The blocks of one endpoint's history: reference counts, the queue of those that may be evicted, and
// the map from request keys. It knows nothing of the block index; whoever gives a block a content, or
// takes one away, is told what changed. Arrays are indexed by blocks below the capacity.

import { KeyMap } from './key-map.js';

/** Number of no block. */
export const NONE = -1;

/** What a block holds. */
export const CONTENT = {
  /** Nothing that could be reused: it is the first to be filled. */
  nothing: 0,
  /** The block of a prompt, by its request key. */
  prompt: 1,
  /** Part of an answer, behind another block. */
  answer: 2,
  /** Something the engine may find but the router cannot name. */
  hidden: 3,
} as const;

/**
 * Blocks 0 … capacity − 1. Room for all of them is reserved at once, because growing would hold up
 * the main thread; the system commits its pages as blocks come into use.
 */
export class Pool {
  readonly capacity: number;
  /** Request keys of prompt blocks. */
  readonly keyLow: Int32Array;
  readonly keyHigh: Int32Array;
  readonly #content: Uint8Array;
  readonly #references: Int32Array;
  /** Neighbours in the queue, of a block with a content and without references; block + 1, 0 none. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The answer's block behind this one and the one before it; block + 1, 0 for none. */
  readonly #answer: Int32Array;
  readonly #behind: Int32Array;
  /** How many there were behind a prompt's last block when the answer had ended. */
  readonly #answerBlocks: Int32Array;
  readonly #byKey: KeyMap;
  /** Free blocks without a content, the last one first in line. */
  readonly #spare: Int32Array;
  #spares = 0;
  #used = 0;
  /** Ends of the queue, block + 1, 0 for none. */
  #head = 0;
  #tail = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.keyLow = new Int32Array(capacity);
    this.keyHigh = new Int32Array(capacity);
    this.#content = new Uint8Array(capacity);
    this.#references = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#previous = new Int32Array(capacity);
    this.#answer = new Int32Array(capacity);
    this.#behind = new Int32Array(capacity);
    this.#answerBlocks = new Int32Array(capacity);
    this.#spare = new Int32Array(capacity);
    this.#byKey = new KeyMap(capacity, this.keyLow, this.keyHigh);
  }

  /** Blocks that a prompt can hit. */
  get known(): number {
    return this.#byKey.size;
  }

  /** The block with that key, NONE when there is none. */
  find(low: number, high: number): number {
    return this.#byKey.get(low, high);
  }

  isPrompt(block: number): boolean {
    return block !== NONE && this.#content[block] === CONTENT.prompt;
  }

  references(block: number): number {
    return this.#references[block] as number;
  }

  /** The answer's block behind this one, NONE when there is none. */
  answer(block: number): number {
    return (this.#answer[block] as number) - 1;
  }

  /** How many blocks the answer behind a prompt's block had. */
  answerBlocks(block: number): number {
    return this.#answerBlocks[block] as number;
  }

  /** Takes a reference to a block with a content. */
  take(block: number): void {
    if (this.#references[block] === 0) this.#unlink(block);
    this.#references[block] = (this.#references[block] as number) + 1;
  }

  /**
   * A free block, referenced once; NONE when all blocks are referenced. What it held is still in it:
   * the caller forgets it.
   */
  allocate(): number {
    let block = NONE;
    if (this.#spares > 0) {
      this.#spares -= 1;
      block = this.#spare[this.#spares] as number;
    } else if (this.#used < this.capacity) {
      block = this.#used;
      this.#used += 1;
    } else if (this.#head > 0) {
      block = this.#head - 1;
      this.#unlink(block);
    } else return NONE;
    this.#references[block] = 1;
    return block;
  }

  /**
   * Gives a block the content of a prompt's block. True when no other block had it; one that had it
   * keeps its place in line but is found no more.
   */
  hold(block: number, low: number, high: number): boolean {
    const other = this.#byKey.get(low, high);
    if (other !== NONE) {
      this.#byKey.delete(other);
      this.#content[other] = CONTENT.hidden;
      this.#answer[other] = 0;
    }
    this.keyLow[block] = low;
    this.keyHigh[block] = high;
    this.#content[block] = CONTENT.prompt;
    this.#byKey.set(block);
    return other === NONE;
  }

  /** Gives a block a content that the router cannot name. */
  hide(block: number): void {
    this.forget(block);
    this.#content[block] = CONTENT.hidden;
  }

  /**
   * Makes a block the answer's next one behind `behind`. `answerBlocks` is the answer's length where
   * `behind` is a prompt's block, else 0.
   */
  answerBehind(block: number, behind: number, answerBlocks: number): void {
    this.hide(block);
    this.#answer[behind] = block + 1;
    this.#answerBlocks[behind] = answerBlocks;
    this.#behind[block] = behind + 1;
    this.#content[block] = CONTENT.answer;
  }

  /** Takes a block's content away; true when it was a prompt's, whose key can still be read. */
  forget(block: number): boolean {
    const content = this.#content[block];
    this.#content[block] = CONTENT.nothing;
    this.#answer[block] = 0;
    if (content === CONTENT.prompt) {
      this.#byKey.delete(block);
      return true;
    }
    if (content === CONTENT.answer) this.#cut((this.#behind[block] as number) - 1, block);
    return false;
  }

  /** Gives a reference back; the last one puts the block in line. */
  release(block: number): void {
    const references = (this.#references[block] as number) - 1;
    this.#references[block] = references;
    if (references > 0) return;
    if (this.#content[block] === CONTENT.nothing) {
      this.#spare[this.#spares] = block;
      this.#spares += 1;
    } else this.#append(block);
  }

  /** What stood behind `behind` begins elsewhere now, if it was `block`. */
  #cut(behind: number, block: number): void {
    if (this.#answer[behind] === block + 1) this.#answer[behind] = 0;
  }

  #append(block: number): void {
    const tail = this.#tail;
    this.#previous[block] = tail;
    this.#next[block] = 0;
    if (tail > 0) this.#next[tail - 1] = block + 1;
    else this.#head = block + 1;
    this.#tail = block + 1;
  }

  #unlink(block: number): void {
    const previous = this.#previous[block] as number;
    const next = this.#next[block] as number;
    if (previous > 0) this.#next[previous - 1] = next;
    else this.#head = next;
    if (next > 0) this.#previous[next - 1] = previous;
    else this.#tail = previous;
  }
}
