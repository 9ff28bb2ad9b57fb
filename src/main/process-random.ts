// Randomness of this process. Decisions stay repeatable, because the seed is logged at start.

import type { Random } from '#contracts/random.js';

/** Mulberry32 from a 32-bit seed: ties and jitter need no more. */
export function processRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    next: () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    },
  };
}
