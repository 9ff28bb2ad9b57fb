// An event applier over a plain shared array, one word per (slot, key), for tests of how frames
// reach an applier. Payloads are JSON; main reads the very memory that the worker writes.

import type { ApplyResult, EventApplier } from '#contracts/core.js';

const KEYS = 256;
const SLOTS = 8;
/** Set by a test: the next write finds a lock without a living owner. */
const STUCK_WORD: number = SLOTS * KEYS;

/** What a frame of these tests says. */
export interface SetFrame {
  readonly process: number;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

export function createSetMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer((SLOTS * KEYS + 1) * 4);
}

/** Keys the slot holds, ascending. */
export function keysOf(memory: SharedArrayBuffer, slot: number): readonly number[] {
  const words = new Int32Array(memory, slot * KEYS * 4, KEYS);
  return [...words.keys()].filter((key) => Atomics.load(words, key) !== 0);
}

export function setStuck(memory: SharedArrayBuffer): void {
  Atomics.store(new Int32Array(memory), STUCK_WORD, 1);
}

export function clearSetMemory(memory: SharedArrayBuffer): void {
  new Int32Array(memory).fill(0);
}

export function createSetApplier(memory: SharedArrayBuffer): EventApplier {
  const words = new Int32Array(memory);
  const drop = (slot: number): void => {
    words.fill(0, slot * KEYS, (slot + 1) * KEYS);
  };
  return {
    open: drop,
    reset: drop,
    close: drop,
    sweep: () => true,
    apply: (slot, payload) => {
      if (Atomics.load(words, STUCK_WORD) !== 0) return result({ status: 'index-stuck' });
      let frame: SetFrame;
      try {
        frame = JSON.parse(Buffer.from(payload).toString()) as SetFrame;
      } catch {
        return result({ status: 'malformed', detail: 'no JSON' });
      }
      for (const key of frame.remove) Atomics.store(words, slot * KEYS + key, 0);
      for (const key of frame.add) Atomics.store(words, slot * KEYS + key, 1);
      return result({ blocksStored: frame.add.length, blocksRemoved: frame.remove.length });
    },
  };
}

function result(changes: Partial<ApplyResult>): ApplyResult {
  return {
    status: 'applied',
    detail: '',
    blocksStored: 0,
    blocksRemoved: 0,
    cleared: false,
    unknownParents: 0,
    unknownBlocks: 0,
    unknownEvents: 0,
    indexFull: 0,
    blockSize: 0,
    ...changes,
  };
}
