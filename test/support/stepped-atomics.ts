// Turns every atomic access of a thread to one buffer into a step a test can stop at, or spoils it.
// Production code has no such hooks: it calls `Atomics` by name, and these tests replace its
// functions inside a worker thread.

import { BUCKET, PREAMBLE, SLOT } from '#contracts/index-layout.js';

/** Ways to break the protocol of the block index, for negative controls. */
export type Sabotage =
  | 'none'
  /** Overflow counts by load and store instead of one atomic addition. */
  | 'overflow-not-atomic'
  /** Deleting frees the set word before the tag is cleared. */
  | 'delete-set-first'
  /** The reader believes that the tag is still the one it saw first. */
  | 'reader-unchecked';

/** Tag (high word) of the key that a reader under test looks for. */
export const SUBJECT_TAG = 0x5ab0;

const WRITES = ['store', 'compareExchange', 'add', 'sub', 'and', 'or'] as const;
type Access = (view: Int32Array, at: number, ...values: number[]) => number;
type Patchable = Record<(typeof WRITES)[number] | 'load', Access>;

const atomics = Atomics as unknown as Patchable;
const originals: Patchable = {
  load: atomics.load,
  store: atomics.store,
  compareExchange: atomics.compareExchange,
  add: atomics.add,
  sub: atomics.sub,
  and: atomics.and,
  or: atomics.or,
};

/** Calls `step` before every atomic write to `buffer` on this thread; with `loads`, loads too. */
export function stepAtomics(
  buffer: SharedArrayBuffer,
  options: { readonly loads: boolean; readonly sabotage: Sabotage },
  step: () => void,
): void {
  for (const name of options.loads ? [...WRITES, 'load' as const] : WRITES) {
    const access = spoiled(buffer, name, options.sabotage, step);
    atomics[name] = (view, at, ...values) => {
      if (view.buffer !== buffer) return originals[name](view, at, ...values);
      step();
      return access(view, at, ...values);
    };
  }
}

function spoiled(
  buffer: SharedArrayBuffer,
  name: keyof Patchable,
  sabotage: Sabotage,
  step: () => void,
): Access {
  const kind = wordKinds(buffer);
  const original = originals[name];
  if (sabotage === 'overflow-not-atomic' && (name === 'add' || name === 'sub')) {
    return (view, at, change) => {
      if (kind(at) !== 'overflow') return original(view, at, change ?? 0);
      const before = originals.load(view, at);
      step();
      return originals.store(view, at, before + (name === 'add' ? 1 : -1));
    };
  }
  if (sabotage === 'delete-set-first' && name === 'store') {
    let cleared = -1;
    return (view, at, value) => {
      if (value === 0 && kind(at) === 'tag') {
        cleared = at;
        return 0;
      }
      if (value !== 0 || kind(at) !== 'set' || at - 1 !== cleared) {
        return original(view, at, value ?? 0);
      }
      original(view, at, 0);
      step();
      return original(view, cleared, 0);
    };
  }
  if (sabotage === 'reader-unchecked' && name === 'load') {
    return (view, at) => (kind(at) === 'tag' ? SUBJECT_TAG : original(view, at));
  }
  return original;
}

type WordKind = 'lock' | 'overflow' | 'tag' | 'set' | 'other';

function wordKinds(buffer: SharedArrayBuffer): (at: number) => WordKind {
  const words = new Int32Array(buffer);
  const first = words[PREAMBLE.buckets] ?? 0;
  const end = first + (words[PREAMBLE.bucketCount] ?? 0) * BUCKET.words;
  return (at) => {
    if (at < first || at >= end) return 'other';
    const inside = (at - first) % BUCKET.words;
    if (inside === BUCKET.lock) return 'lock';
    if (inside === BUCKET.overflow) return 'overflow';
    return (inside - BUCKET.slots) % SLOT.words === SLOT.tag ? 'tag' : 'set';
  };
}
