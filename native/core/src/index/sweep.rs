//! The background sweep: strips the bits of dropped endpoints from every slot, frees slots that
//! become empty, then frees the endpoint ids and all endpoint sets no slot refers to. One sweep
//! goes once over all home buckets, in as many calls, by as many writers, as it takes.
//!
//! Why no id in use is freed: the sweep stamps every set it meets, home by home under the home's
//! lock, and every set handed out since the sweep began is stamped by the interner, because raising
//! `setsGeneration` emptied the writers' caches. A write that began earlier still holds its home's
//! lock, so the sweep meets what it stores.

use super::buckets::{Slot, delete_slot, used_slots};
use super::lock::{lock, unlock};
use super::memory::{Mask, Memory};
use super::sets::{EndpointSets, NoSet};
use super::words::{Word, Words};
use crate::layout::index::{bucket, set_meta, slot, state};

/// Fewer sets than this are not worth going over the table for.
const SETS_WORTH_SWEEPING: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Clean,
    More,
    /// The owner of a lock has died.
    Stuck,
}

/// Who sweeps, and what the call has done so far.
pub struct Sweeper<'a, W> {
    pub memory: &'a Memory<W>,
    pub sets: &'a mut EndpointSets<W>,
    pub owner: u32,
    pub lock_rounds: u32,
    /// Slots freed, and slots given up because the set table was full.
    pub freed: u32,
    pub rejected: u32,
}

impl<W: Words> Sweeper<'_, W> {
    /// Sweeps up to `bucket_count` home buckets. Does nothing while another writer sweeps.
    pub fn sweep(&mut self, bucket_count: usize) -> Outcome {
        let sweep_lock = self.memory.state(state::SWEEP_LOCK);
        if sweep_lock.swap_if(0, self.owner).is_err() {
            return Outcome::More;
        }
        let outcome = self.advance(bucket_count);
        unlock(sweep_lock);
        outcome
    }

    fn advance(&mut self, bucket_count: usize) -> Outcome {
        let memory = self.memory;
        if memory.state(state::SWEEP_ACTIVE).get() == 0 {
            if !is_due(memory) {
                return Outcome::Clean;
            }
            begin(memory);
        }
        let first = memory.state(state::SWEEP_CURSOR).get() as usize;
        let end = first
            .saturating_add(bucket_count)
            .min(memory.layout.bucket_count);
        for home in first..end {
            if !self.sweep_home(home) {
                return Outcome::Stuck;
            }
        }
        memory.state(state::SWEEP_CURSOR).set(end as u32);
        if end < memory.layout.bucket_count {
            return Outcome::More;
        }
        if !self.sets.free_unstamped() {
            return Outcome::Stuck;
        }
        finish(memory);
        if is_due(memory) {
            Outcome::More
        } else {
            Outcome::Clean
        }
    }

    /// False when a lock's owner has died.
    fn sweep_home(&mut self, home: usize) -> bool {
        let words = self.memory.bucket(home, 0);
        if is_untouched(words) {
            return true;
        }
        let home_lock = &words[bucket::LOCK];
        if !lock::<W>(home_lock, self.owner, self.lock_rounds) {
            return false;
        }
        self.sets.refresh();
        let fine = self.sweep_homed_slots(home);
        unlock(home_lock);
        fine
    }

    fn sweep_homed_slots(&mut self, home: usize) -> bool {
        let memory = self.memory;
        for distance in 0..=memory.layout.reach {
            for found in used_slots(memory, home, distance) {
                if found.distance() == distance && !self.sweep_slot(home, found) {
                    return false;
                }
            }
            if memory.bucket(home, distance)[bucket::OVERFLOW].get() == 0 {
                break;
            }
        }
        true
    }

    fn sweep_slot(&mut self, home: usize, found: Slot) -> bool {
        let set_id = found.set_id();
        let stripped = match self.sets.stripped(set_id) {
            Err(NoSet::Stuck) => return false,
            Err(NoSet::Full) => {
                self.rejected += 1;
                0
            }
            Ok(stripped) => stripped,
        };
        if stripped == 0 {
            delete_slot(self.memory, home, found);
            self.freed += 1;
            return true;
        }
        if stripped != set_id {
            let word = self.memory.word(found.at + slot::SET);
            word.set(found.with_set(stripped));
        }
        let cycle = self.memory.state(state::SWEEP_CYCLE).get();
        self.memory.set_meta(stripped, set_meta::STAMP).set(cycle);
        true
    }
}

/// Whether there are dropped endpoints, or sets are wanted or have doubled since the last sweep.
fn is_due<W: Words>(memory: &Memory<W>) -> bool {
    let dropped = (0..memory.layout.mask_words).any(|at| memory.mask(Mask::Dropped, at).get() != 0);
    let kept = memory.state(state::SETS_KEPT).get();
    let used = memory.state(state::SETS_USED).get();
    dropped
        || memory.state(state::SETS_WANTED).get() != 0
        || used > kept.max(SETS_WORTH_SWEEPING).saturating_mul(2)
}

fn begin<W: Words>(memory: &Memory<W>) {
    for at in 0..memory.layout.mask_words {
        let dropped = memory.mask(Mask::Dropped, at).get();
        memory.mask(Mask::Stripping, at).set(dropped);
    }
    memory.state(state::SWEEP_CURSOR).set(0);
    memory.state(state::SWEEP_ACTIVE).set(1);
    memory.state(state::SETS_WANTED).set(0);
    // In this order: whoever sees the new generation stamps with the new number.
    memory.state(state::SWEEP_CYCLE).add(1);
    memory.state(state::SETS_GENERATION).add(1);
}

fn finish<W: Words>(memory: &Memory<W>) {
    for at in 0..memory.layout.mask_words {
        let stripping = memory.mask(Mask::Stripping, at);
        let mask = stripping.get();
        stripping.set(0);
        // Last of all, the ids may be opened again.
        for name in [Mask::Windowed, Mask::Dropped, Mask::Opened] {
            memory.mask(name, at).and(!mask);
        }
    }
    let used = memory.state(state::SETS_USED).get();
    memory.state(state::SETS_KEPT).set(used);
    memory.state(state::SWEEP_ACTIVE).set(0);
}

/// Whether nothing is homed here. The lock is read first: a write that began before the sweep
/// either still holds it, or what it stored is seen. Spares committing pages never written.
fn is_untouched<T: Word>(words: &[T; bucket::WORDS]) -> bool {
    words[bucket::LOCK].get_ordered() == 0 && words[1..].iter().all(|word| word.get() == 0)
}
