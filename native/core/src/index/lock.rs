//! Locks between writers. A lock word holds its owner (writer id + 1) or 0. Waiting is bounded: a
//! lock that stays with one owner for long means that the owner died in between.

use super::words::{Word, Words};

/// Tries before sleeping; a lock is held for about a microsecond.
const SPINS: usize = 64;
/// Sleeps before the owner counts as dead: half a second of running time, far more than a live
/// owner is kept from a core. Counted in sleeps, so a stopped machine does not use them up.
pub const LOCK_ROUNDS: u32 = 100;
/// Bound on attempts lost to others that hold the lock in turn.
const ATTEMPTS_MAX: usize = 1_000_000;

/// Takes the lock at `word` for `owner`; false when its owner has died.
#[inline]
pub fn lock<W: Words>(word: &W::Word, owner: u32, rounds: u32) -> bool {
    word.swap_if(0, owner).is_ok() || wait::<W>(word, owner, rounds)
}

/// Gives the lock back.
#[inline]
pub fn unlock<T: Word>(word: &T) {
    word.set(0);
}

#[cold]
fn wait<W: Words>(word: &W::Word, owner: u32, rounds: u32) -> bool {
    for _ in 0..SPINS {
        if word.swap_if(0, owner).is_ok() {
            return true;
        }
        std::hint::spin_loop();
    }
    let mut slept = 0;
    for _ in 0..ATTEMPTS_MAX {
        if slept >= rounds {
            return false;
        }
        match word.swap_if(0, owner) {
            Ok(()) => return true,
            Err(seen) if word.get() == seen => {
                W::nap();
                slept += 1;
            }
            Err(_) => {}
        }
    }
    false
}
