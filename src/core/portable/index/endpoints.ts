// Virtual endpoints: one bit in the endpoint sets per generation of an endpoint. Opened and dropped
// by writers of any thread; a bit is used again only after a sweep has stripped it everywhere.
// Records and masks are indexed by ids below endpointCapacity.

import { assert } from '#contracts/assert.js';
import {
  OWNER_COUNT_MASK,
  OWNER_COUNT_SHIFT,
  OWNER_SLOT_MASK,
  VIRTUAL_ENDPOINT,
  VIRTUAL_ID_BITS,
  VIRTUAL_ID_MASK,
} from '#contracts/index-layout.js';
import { ENDPOINTS_MAX, KV_GROUPS_MAX } from '#contracts/limits.js';
import { endpointAt, type IndexMemory, maskAt } from './memory.js';

/** More than any prompt has: the window of a group that needs its whole prefix. */
const BLOCKS_MAX = 0x7fff_ffff;

/** Opens, drops and describes generations for one writer. */
export class VirtualEndpoints {
  readonly #memory: IndexMemory;
  readonly #words: Int32Array;

  constructor(memory: IndexMemory) {
    this.#memory = memory;
    this.#words = memory.words;
  }

  /** Virtual id of a new generation of `slot`, −1 when all are taken. */
  open(slot: number): number {
    assertSlot(slot);
    const opened = maskAt(this.#memory, 'opened');
    for (let id = 0; id < this.#memory.endpointCapacity; id++) {
      const bit = 1 << (id & 31);
      if ((Atomics.or(this.#words, opened + (id >> 5), bit) & bit) !== 0) continue;
      const record = endpointAt(this.#memory, id);
      const before = this.#words[record + VIRTUAL_ENDPOINT.owner] as number;
      const count = ((before >>> OWNER_COUNT_SHIFT) + 1) & OWNER_COUNT_MASK;
      this.#words.fill(0, record + VIRTUAL_ENDPOINT.windows, record + VIRTUAL_ENDPOINT.words);
      const owner = (count << OWNER_COUNT_SHIFT) | (slot + 1);
      Atomics.store(this.#words, record + VIRTUAL_ENDPOINT.owner, owner);
      Atomics.or(this.#words, maskAt(this.#memory, 'alive') + (id >> 5), bit);
      return (count << VIRTUAL_ID_BITS) | id;
    }
    return -1;
  }

  /** Whether that generation is open: not dropped, by whatever thread. */
  isOpen(virtualId: number): boolean {
    const owner = this.#ownerOf(virtualId);
    return owner >>> OWNER_COUNT_SHIFT === virtualId >>> VIRTUAL_ID_BITS && isOwned(owner);
  }

  /** Drops the generation; one that is dropped already is left alone. */
  drop(virtualId: number): void {
    const owner = this.#ownerOf(virtualId);
    if (this.isOpen(virtualId)) this.#close(virtualId & VIRTUAL_ID_MASK, owner);
  }

  /** Drops all generations of `slot`. */
  dropSlot(slot: number): void {
    assertSlot(slot);
    for (let id = 0; id < this.#memory.endpointCapacity; id++) {
      const owner = Atomics.load(this.#words, endpointAt(this.#memory, id));
      if ((owner & OWNER_SLOT_MASK) === slot + 1) this.#close(id, owner);
    }
  }

  /** Sets the window of a KV group, in blocks; ignored for a dropped generation. */
  setWindow(virtualId: number, group: number, windowBlocks: number): void {
    assert(Number.isInteger(group) && group >= 1 && group < KV_GROUPS_MAX, 'the group is 1 to 7');
    assert(windowBlocks >= 1, 'a window holds at least one block');
    this.#describe(virtualId, VIRTUAL_ENDPOINT.windows + group - 1, windowBlocks);
  }

  /** Sets what hits are multiples of, in blocks; ignored for a dropped generation. */
  setAlignment(virtualId: number, alignmentBlocks: number): void {
    assert(alignmentBlocks >= 1, 'hits are multiples of at least one block');
    this.#describe(virtualId, VIRTUAL_ENDPOINT.alignment, alignmentBlocks);
  }

  #describe(virtualId: number, word: number, blocks: number): void {
    if (!this.isOpen(virtualId)) return;
    const id = virtualId & VIRTUAL_ID_MASK;
    const value = Math.min(Math.floor(blocks), BLOCKS_MAX);
    Atomics.store(this.#words, endpointAt(this.#memory, id) + word, value);
    Atomics.or(this.#words, maskAt(this.#memory, 'windowed') + (id >> 5), 1 << (id & 31));
  }

  #ownerOf(virtualId: number): number {
    const id = virtualId & VIRTUAL_ID_MASK;
    assert(virtualId >= 0 && id < this.#memory.endpointCapacity, 'the virtual id exists');
    return this.#words[endpointAt(this.#memory, id) + VIRTUAL_ENDPOINT.owner] as number;
  }

  #close(id: number, owner: number): void {
    const record = endpointAt(this.#memory, id) + VIRTUAL_ENDPOINT.owner;
    // Of several threads that drop the same generation one goes on.
    const closed = owner & ~OWNER_SLOT_MASK;
    if (Atomics.compareExchange(this.#words, record, owner, closed) !== owner) return;
    const bit = 1 << (id & 31);
    Atomics.and(this.#words, maskAt(this.#memory, 'alive') + (id >> 5), ~bit);
    Atomics.or(this.#words, maskAt(this.#memory, 'dropped') + (id >> 5), bit);
  }
}

function isOwned(owner: number): boolean {
  return (owner & OWNER_SLOT_MASK) !== 0;
}

function assertSlot(slot: number): void {
  assert(Number.isInteger(slot) && slot >= 0 && slot < ENDPOINTS_MAX, 'the endpoint slot exists');
}
