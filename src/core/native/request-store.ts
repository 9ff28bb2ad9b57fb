// The native RequestStore's face: handles and status codes in, no body byte out unless asked for.

import { assert } from '#contracts/assert.js';
import type { RequestStore } from '#contracts/core.js';
import type { RequestHandle } from '#contracts/request.js';

export interface StoreAddon {
  storeCreate(): number;
  storeClose(store: number): void;
  /** Generation × 65,536 + slot, −1 when the store is full. */
  storeOpen(store: number, bytesHint: number): number;
  storeAppend(store: number, slot: number, generation: number, chunk: Uint8Array): number;
  readonly storeReplace: (
    store: number,
    slot: number,
    generation: number,
    offset: number,
    length: number,
    text: Uint8Array,
  ) => number;
  storeBody(store: number, slot: number, generation: number): Uint8Array | null;
  storeRelease(store: number, slot: number, generation: number): void;
  storeUsage(store: number): readonly number[];
}

const APPENDED = ['done', 'stale', 'too-large', 'full'] as const;
const REPLACED = [...APPENDED, 'out-of-bounds'] as const;
/** Natively a number that is none of these would silently become another one. */
const isUint32 = (number: number): boolean => number >>> 0 === number;

/** A store whose number other native parts are given. */
export interface NativeRequestStore extends RequestStore {
  readonly id: number;
}

export function createRequestStore(addon: StoreAddon): NativeRequestStore {
  const id = addon.storeCreate();
  return {
    id,
    open: (bytesHint) => {
      const hint = Math.min(Math.max(0, Math.trunc(bytesHint)), 0xffff_ffff);
      const opened = addon.storeOpen(id, hint);
      if (opened < 0) return null;
      return { slot: opened % 65_536, generation: Math.floor(opened / 65_536) };
    },
    append: ({ slot, generation }, chunk) => {
      const status = APPENDED[addon.storeAppend(id, slot, generation, chunk)];
      assert(status !== undefined, 'append gives a known status');
      return status;
    },
    replace: ({ slot, generation }, { offset, length }, text) => {
      if (!isUint32(offset) || !isUint32(length)) return 'out-of-bounds';
      const answer = addon.storeReplace(id, slot, generation, offset, length, text);
      const status = REPLACED[answer];
      assert(status !== undefined, 'replace gives a known status');
      return status;
    },
    body: ({ slot, generation }: RequestHandle) => addon.storeBody(id, slot, generation),
    release: ({ slot, generation }) => addon.storeRelease(id, slot, generation),
    usage: () => {
      const [slots = 0, bytes = 0] = addon.storeUsage(id);
      return { slots, bytes };
    },
  };
}
