//! Interned endpoint sets: immutable records of (virtual endpoint × tier) bits, named by ids that
//! the table's slots hold. One instance per writer; its cache of transitions (set, change) → set
//! keeps the shared intern lock off the hot path and is dropped whenever ids may have been freed.

use super::lock::{lock, unlock};
use super::memory::{Mask, Memory, TIER_COUNT};
use super::words::{Word, Words};
use crate::layout::index::{set_meta, state};

/// Why there is no set id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSet {
    /// The set table is full.
    Full,
    /// The owner of the intern lock has died.
    Stuck,
}

const CACHE_BITS: u32 = 14;
const CACHE_EMPTY: u32 = u32::MAX;
/// The change that the sweep makes; others are virtual id, tier and direction.
const CACHE_STRIPPED: u32 = u32::MAX - 1;

#[derive(Clone, Copy)]
struct Transition {
    set_id: u32,
    change: u32,
    result: u32,
}

const NO_TRANSITION: Transition = Transition {
    set_id: 0,
    change: CACHE_EMPTY,
    result: 0,
};

/// Computes and interns endpoint sets for one writer.
pub struct EndpointSets<W> {
    memory: Memory<W>,
    owner: u32,
    lock_rounds: u32,
    scratch: Vec<u32>,
    /// Ids an addition may not use up: removals need new sets too, and must not fail.
    reserved: usize,
    cache: Vec<Transition>,
    generation: u32,
}

impl<W: Words> EndpointSets<W> {
    pub fn new(memory: Memory<W>, owner: u32, lock_rounds: u32) -> Self {
        Self {
            scratch: vec![0; TIER_COUNT * memory.layout.mask_words],
            reserved: memory.layout.set_capacity / 4,
            cache: vec![NO_TRANSITION; 1 << CACHE_BITS],
            generation: 0,
            memory,
            owner,
            lock_rounds,
        }
    }

    /// Forgets cached transitions when a sweep has begun or freed ids. To be called with the lock
    /// of the slot's home held: the sweep takes that lock after raising the generation.
    #[inline]
    pub fn refresh(&mut self) {
        let generation = self.memory.state(state::SETS_GENERATION).get_ordered();
        if generation != self.generation {
            self.generation = generation;
            self.cache.fill(NO_TRANSITION);
        }
    }

    /// Set `set_id` with one residency more (`present`) or less.
    #[inline]
    pub fn with_residency(
        &mut self,
        set_id: u32,
        virtual_id: u32,
        tier: u32,
        present: bool,
    ) -> Result<u32, NoSet> {
        let change = virtual_id << 3 | tier << 1 | u32::from(present);
        let place = place_of(set_id, change);
        let known = self.cache[place];
        if known.change == change && known.set_id == set_id {
            return Ok(known.result);
        }
        let result = self.changed(set_id, virtual_id, tier, present)?;
        self.cache[place] = Transition {
            set_id,
            change,
            result,
        };
        Ok(result)
    }

    #[cold]
    fn changed(
        &mut self,
        set_id: u32,
        virtual_id: u32,
        tier: u32,
        present: bool,
    ) -> Result<u32, NoSet> {
        self.load(set_id);
        let word = tier as usize * self.memory.layout.mask_words + (virtual_id >> 5) as usize;
        let bit = 1 << (virtual_id & 31);
        let before = self.scratch[word];
        let after = if present { before | bit } else { before & !bit };
        if after == before {
            return Ok(set_id);
        }
        self.scratch[word] = after;
        self.intern(if present { self.reserved } else { 0 })
    }

    /// Set `set_id` without the endpoints that the running sweep strips.
    pub fn stripped(&mut self, set_id: u32) -> Result<u32, NoSet> {
        let place = place_of(set_id, CACHE_STRIPPED);
        let known = self.cache[place];
        if known.change == CACHE_STRIPPED && known.set_id == set_id {
            return Ok(known.result);
        }
        self.load(set_id);
        let mask_words = self.memory.layout.mask_words;
        let mut changed = 0;
        for (at, word) in self.scratch.iter_mut().enumerate() {
            let mask = self.memory.mask(Mask::Stripping, at % mask_words).get();
            changed |= *word & mask;
            *word &= !mask;
        }
        let result = if changed == 0 {
            set_id
        } else {
            self.intern(0)?
        };
        self.cache[place] = Transition {
            set_id,
            change: CACHE_STRIPPED,
            result,
        };
        Ok(result)
    }

    /// Frees every id not stamped with the running sweep's number; false when the lock is dead.
    pub fn free_unstamped(&mut self) -> bool {
        let memory = self.memory.clone();
        let intern_lock = memory.state(state::INTERN_LOCK);
        if !lock::<W>(intern_lock, self.owner, self.lock_rounds) {
            return false;
        }
        // Raised before an id can be used again: readers that straddle this begin anew.
        memory.state(state::SETS_GENERATION).add(1);
        self.rebuild_intern();
        unlock(intern_lock);
        true
    }

    fn rebuild_intern(&self) {
        let memory = &self.memory;
        let cycle = memory.state(state::SWEEP_CYCLE).get();
        let fresh = memory.state(state::SETS_FRESH).get();
        for at in 0..memory.layout.intern_capacity {
            self.intern_slot(at).set(0);
        }
        for id in 1..fresh.min(memory.layout.set_capacity as u32) {
            let hash = memory.set_meta(id, set_meta::HASH);
            let stamp = memory.set_meta(id, set_meta::STAMP);
            if stamp.get() == cycle {
                if let Some(free) = self.free_intern_slot(hash.get()) {
                    free.set(id);
                }
            } else if stamp.get() != 0 {
                stamp.set(0);
                hash.set(memory.state(state::SETS_FREE).get());
                memory.state(state::SETS_FREE).set(id);
                let used = memory.state(state::SETS_USED);
                used.set(used.get().wrapping_sub(1));
            }
        }
    }

    fn load(&mut self, set_id: u32) {
        let from = self.memory.set_bits_at(set_id);
        for (at, word) in self.scratch.iter_mut().enumerate() {
            *word = self.memory.word(from + at).get();
        }
    }

    /// Id of the set in the scratch; new ids are taken while more than `reserved` are left.
    fn intern(&mut self, reserved: usize) -> Result<u32, NoSet> {
        let mut hash = 0_u32;
        let mut any = 0;
        for word in &self.scratch {
            any |= word;
            hash = (hash ^ word).wrapping_mul(0x9e37_79b1);
            hash ^= hash >> 15;
        }
        if any == 0 {
            return Ok(0);
        }
        let intern_lock = self.memory.state(state::INTERN_LOCK);
        if !lock::<W>(intern_lock, self.owner, self.lock_rounds) {
            return Err(NoSet::Stuck);
        }
        let id = self.find_or_add(hash, reserved);
        unlock(intern_lock);
        id
    }

    fn find_or_add(&self, hash: u32, reserved: usize) -> Result<u32, NoSet> {
        let memory = &self.memory;
        let cycle = memory.state(state::SWEEP_CYCLE).get();
        for step in 0..memory.layout.intern_capacity {
            let slot = self.intern_slot(hash as usize + step);
            let id = slot.get();
            if id == 0 {
                return self.add_set(slot, hash, reserved, cycle);
            }
            if memory.set_meta(id, set_meta::HASH).get() == hash && self.holds_scratch(id) {
                memory.set_meta(id, set_meta::STAMP).set(cycle);
                return Ok(id);
            }
        }
        Err(NoSet::Full)
    }

    fn add_set(
        &self,
        intern_slot: &W::Word,
        hash: u32,
        reserved: usize,
        cycle: u32,
    ) -> Result<u32, NoSet> {
        let memory = &self.memory;
        let used = memory.state(state::SETS_USED).get();
        if used as usize + 1 + reserved >= memory.layout.set_capacity {
            memory.state(state::SETS_WANTED).set(1);
            return Err(NoSet::Full);
        }
        let free = memory.state(state::SETS_FREE).get();
        let id = if free != 0 {
            let next = memory.set_meta(free, set_meta::HASH).get();
            memory.state(state::SETS_FREE).set(next);
            free
        } else {
            let fresh = memory.state(state::SETS_FRESH);
            let id = fresh.get();
            fresh.set(id + 1);
            id
        };
        memory.set_meta(id, set_meta::HASH).set(hash);
        memory.set_meta(id, set_meta::STAMP).set(cycle);
        let bits = memory.set_bits_at(id);
        for (at, word) in self.scratch.iter().enumerate() {
            memory.word(bits + at).set(*word);
        }
        intern_slot.set(id);
        memory.state(state::SETS_USED).set(used + 1);
        Ok(id)
    }

    fn holds_scratch(&self, set_id: u32) -> bool {
        let from = self.memory.set_bits_at(set_id);
        let mut words = self.scratch.iter().enumerate();
        words.all(|(at, word)| self.memory.word(from + at).get() == *word)
    }

    /// Slot `number` of the intern hash, wrapping.
    fn intern_slot(&self, number: usize) -> &W::Word {
        let layout = &self.memory.layout;
        let at = number & (layout.intern_capacity - 1);
        self.memory.word(layout.intern + at)
    }

    fn free_intern_slot(&self, hash: u32) -> Option<&W::Word> {
        (0..self.memory.layout.intern_capacity)
            .map(|step| self.intern_slot(hash as usize + step))
            .find(|slot| slot.get() == 0)
    }
}

/// Where the cache keeps a transition: it is direct-mapped.
#[inline]
fn place_of(set_id: u32, change: u32) -> usize {
    let mixed = set_id.wrapping_mul(0x9e37_79b1) ^ change.wrapping_mul(0x85eb_ca77);
    (mixed >> (32 - CACHE_BITS)) as usize
}
