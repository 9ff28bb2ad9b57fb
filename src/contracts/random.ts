// Randomness comes in as an argument, so that every decision can be repeated from its seed.

/** Source of uniform random numbers. */
export interface Random {
  /** Next number in [0, 1). */
  next(): number;
}
