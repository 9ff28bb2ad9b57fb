// Mixing functions of the simulator: turn (seed, prompt, position) into output tokens without state.

/** Scrambles 32 bits into 32 bits (finaliser of MurmurHash3). */
export function mix(value: number): number {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** Folds integers into 32 bits, order-dependent. */
export function fold(seed: number, values: readonly number[]): number {
  let bits = seed >>> 0;
  for (const value of values) bits = (Math.imul(bits, 31) + value) >>> 0;
  return mix(bits);
}
