// Interned endpoint sets: immutable records of (virtual endpoint × tier) bits, named by ids that
// the table's slots hold. One instance per writer; its cache of transitions (set, change) → set
// keeps the shared intern lock off the hot path and is dropped whenever ids may have been freed.
// Records are indexed by ids below setCapacity, virtual ids lie below endpointCapacity.

import { TIER_COUNT } from '#contracts/block.js';
import { SET_META, STATE } from '#contracts/index-layout.js';
import { lock, unlock } from './lock.js';
import { type IndexMemory, maskAt } from './memory.js';

/** Instead of a set id: the set table is full. */
export const SETS_FULL: number = -1;
/** Instead of a set id: the owner of the intern lock has died. */
export const SETS_STUCK: number = -2;

const CACHE_BITS = 14;
const CACHE_EMPTY = -1;
/** The change that the sweep makes; others are virtual id, tier and direction. */
const CACHE_STRIPPED = -2;

/** Computes and interns endpoint sets for one writer. */
export class EndpointSets {
  readonly #memory: IndexMemory;
  readonly #owner: number;
  readonly #lockRounds: number;
  readonly #scratch: Int32Array;
  /** Ids an addition may not use up: removals need new sets too, and must not fail. */
  readonly #reserved: number;
  readonly #cacheSet: Int32Array = new Int32Array(1 << CACHE_BITS);
  readonly #cacheChange: Int32Array = new Int32Array(1 << CACHE_BITS).fill(CACHE_EMPTY);
  readonly #cacheResult: Int32Array = new Int32Array(1 << CACHE_BITS);
  #generation = 0;

  constructor(memory: IndexMemory, owner: number, lockRounds: number) {
    this.#memory = memory;
    this.#owner = owner;
    this.#lockRounds = lockRounds;
    this.#scratch = new Int32Array(TIER_COUNT * memory.maskWords);
    this.#reserved = memory.setCapacity >>> 2;
  }

  /**
   * Forgets cached transitions when a sweep has begun or freed ids. To be called with the lock of
   * the slot's home held: the sweep takes that lock after raising the generation.
   */
  refresh(): void {
    const generation = this.#memory.words[this.#memory.state + STATE.setsGeneration] as number;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#cacheChange.fill(CACHE_EMPTY);
  }

  /** Set `setId` with one residency more (`present`) or less. */
  withResidency(setId: number, virtualId: number, tier: number, present: boolean): number {
    const change = (virtualId << 3) | (tier << 1) | (present ? 1 : 0);
    const place = placeOf(setId, change);
    if (this.#cacheChange[place] === change && this.#cacheSet[place] === setId) {
      return this.#cacheResult[place] as number;
    }
    this.#load(setId);
    const word = tier * this.#memory.maskWords + (virtualId >> 5);
    const bit = 1 << (virtualId & 31);
    const before = this.#scratch[word] as number;
    this.#scratch[word] = present ? before | bit : before & ~bit;
    const changed = this.#scratch[word] !== before;
    const result = changed ? this.#intern(present ? this.#reserved : 0) : setId;
    return this.#remember(place, setId, change, result);
  }

  /** Set `setId` without the endpoints that the running sweep strips. */
  stripped(setId: number): number {
    const place = placeOf(setId, CACHE_STRIPPED);
    if (this.#cacheChange[place] === CACHE_STRIPPED && this.#cacheSet[place] === setId) {
      return this.#cacheResult[place] as number;
    }
    this.#load(setId);
    const { words, maskWords } = this.#memory;
    const stripping = maskAt(this.#memory, 'stripping');
    let changed = 0;
    for (let i = 0; i < this.#scratch.length; i++) {
      const mask = words[stripping + (i % maskWords)] as number;
      changed |= (this.#scratch[i] as number) & mask;
      this.#scratch[i] = (this.#scratch[i] as number) & ~mask;
    }
    const result = changed === 0 ? setId : this.#intern(0);
    return this.#remember(place, setId, CACHE_STRIPPED, result);
  }

  /** Frees every id not stamped with the running sweep's number; false when the lock is dead. */
  freeUnstamped(): boolean {
    const { words, state } = this.#memory;
    if (!lock(words, state + STATE.internLock, this.#owner, this.#lockRounds)) return false;
    // Raised before an id can be used again: readers that straddle this begin anew.
    Atomics.add(words, state + STATE.setsGeneration, 1);
    this.#rebuildIntern();
    unlock(words, state + STATE.internLock);
    return true;
  }

  /** Keeps a transition, unless it failed; returns its result. */
  #remember(place: number, setId: number, change: number, result: number): number {
    if (result >= 0) {
      this.#cacheSet[place] = setId;
      this.#cacheChange[place] = change;
      this.#cacheResult[place] = result;
    }
    return result;
  }

  #rebuildIntern(): void {
    const { words, state, intern, internCapacity, setMeta } = this.#memory;
    const cycle = words[state + STATE.sweepCycle] as number;
    const fresh = words[state + STATE.setsFresh] as number;
    words.fill(0, intern, intern + internCapacity);
    for (let id = 1; id < fresh; id++) {
      const meta = setMeta + id * SET_META.words;
      const stamp = words[meta + SET_META.stamp] as number;
      if (stamp === cycle) {
        words[this.#freeInternSlot(words[meta + SET_META.hash] as number)] = id;
      } else if (stamp !== 0) {
        words[meta + SET_META.stamp] = 0;
        words[meta + SET_META.hash] = words[state + STATE.setsFree] as number;
        words[state + STATE.setsFree] = id;
        words[state + STATE.setsUsed] = (words[state + STATE.setsUsed] as number) - 1;
      }
    }
  }

  #load(setId: number): void {
    const { words, setBits } = this.#memory;
    const from = setBits + setId * this.#scratch.length;
    for (let i = 0; i < this.#scratch.length; i++) this.#scratch[i] = words[from + i] as number;
  }

  /** Id of the set in the scratch; new ids are taken while more than `reserved` are left. */
  #intern(reserved: number): number {
    let hash = 0;
    let any = 0;
    for (let i = 0; i < this.#scratch.length; i++) {
      const word = this.#scratch[i] as number;
      any |= word;
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    if (any === 0) return 0;
    const { words, state } = this.#memory;
    if (!lock(words, state + STATE.internLock, this.#owner, this.#lockRounds)) return SETS_STUCK;
    const id = this.#findOrAdd(hash, reserved);
    unlock(words, state + STATE.internLock);
    return id;
  }

  #findOrAdd(hash: number, reserved: number): number {
    const { words, state, intern, internCapacity, setMeta } = this.#memory;
    const cycle = words[state + STATE.sweepCycle] as number;
    for (let probe = hash; ; probe++) {
      const at = intern + (probe & (internCapacity - 1));
      const id = words[at] as number;
      if (id === 0) return this.#addSet(at, hash, reserved, cycle);
      const meta = setMeta + id * SET_META.words;
      if (words[meta + SET_META.hash] === hash && this.#holdsScratch(id)) {
        words[meta + SET_META.stamp] = cycle;
        return id;
      }
    }
  }

  #addSet(internSlot: number, hash: number, reserved: number, cycle: number): number {
    const { words, state, setBits, setMeta, setCapacity } = this.#memory;
    const used = words[state + STATE.setsUsed] as number;
    if (used + 1 >= setCapacity - reserved) {
      words[state + STATE.setsWanted] = 1;
      return SETS_FULL;
    }
    let id = words[state + STATE.setsFree] as number;
    if (id !== 0) {
      words[state + STATE.setsFree] = words[
        setMeta + id * SET_META.words + SET_META.hash
      ] as number;
    } else {
      id = words[state + STATE.setsFresh] as number;
      words[state + STATE.setsFresh] = id + 1;
    }
    words.set(this.#scratch, setBits + id * this.#scratch.length);
    words[setMeta + id * SET_META.words + SET_META.hash] = hash;
    words[setMeta + id * SET_META.words + SET_META.stamp] = cycle;
    words[internSlot] = id;
    words[state + STATE.setsUsed] = used + 1;
    return id;
  }

  #holdsScratch(id: number): boolean {
    const { words, setBits } = this.#memory;
    const from = setBits + id * this.#scratch.length;
    for (let i = 0; i < this.#scratch.length; i++) {
      if (words[from + i] !== this.#scratch[i]) return false;
    }
    return true;
  }

  #freeInternSlot(hash: number): number {
    const { words, intern, internCapacity } = this.#memory;
    for (let probe = hash; ; probe++) {
      const at = intern + (probe & (internCapacity - 1));
      if (words[at] === 0) return at;
    }
  }
}

/** Where the cache keeps a transition: it is direct-mapped. */
function placeOf(setId: number, change: number): number {
  return (Math.imul(setId, 0x9e3779b1) ^ Math.imul(change, 0x85ebca77)) >>> (32 - CACHE_BITS);
}
