// Randomness comes in as an argument, so that every decision can be repeated from its seed.

/** Source of uniform random numbers. */
export interface Random {
  /** Next number in [0, 1). */
  next(): number;
}

/** Numbers from a 32-bit seed (Mulberry32): ties, jitter, simulated faults and tests need no more. */
export function seededRandom(seed: number): Random {
  // Signed, which is kept without an object.
  let state = seed | 0;
  return {
    next: () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    },
  };
}
