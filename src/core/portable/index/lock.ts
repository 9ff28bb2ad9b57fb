// Locks between writers. A lock word holds its owner (writer id + 1) or 0. Waiting is bounded: a
// lock that stays with one owner for long means that the owner died in between.

/** Tries before sleeping; a lock is held for about a microsecond. */
const SPINS = 64;
/** One sleep. Nobody wakes a sleeper, which keeps releasing cheap. */
const ROUND_MS = 5;
/**
 * Sleeps before the owner counts as dead: half a second of running time, far more than a live
 * owner is kept from a core. Counted in sleeps, so a stopped machine does not use them up.
 */
export const LOCK_ROUNDS = 100;
/** Bound on attempts lost to others that hold the lock in turn. */
const ATTEMPTS_MAX = 1_000_000;

/** Takes the lock at `at` for `owner`; false when its owner has died. */
export function lock(words: Int32Array, at: number, owner: number, rounds: number): boolean {
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.compareExchange(words, at, 0, owner) === 0) return true;
  }
  let slept = 0;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && slept < rounds; attempt++) {
    const seen = Atomics.compareExchange(words, at, 0, owner);
    if (seen === 0) return true;
    if (Atomics.wait(words, at, seen, ROUND_MS) === 'timed-out') slept++;
  }
  return false;
}

/** Gives the lock back. */
export function unlock(words: Int32Array, at: number): void {
  Atomics.store(words, at, 0);
}
