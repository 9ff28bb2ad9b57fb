//! Writes residencies into the block index for one event worker. Any number of writers, on any
//! threads and of either core, may work at once; each must have an id of its own.

use super::buckets::{Place, Slot, delete_slot, find_slot, insert_slot};
use super::endpoints::{self, VirtualId};
use super::lock::{LOCK_ROUNDS, lock, unlock};
use super::memory::{Memory, TIER_COUNT};
use super::sets::{EndpointSets, NoSet};
use super::sweep::{Outcome, Sweeper};
use super::words::{Word, Words};
use crate::layout::index::{INDEX_WRITERS_MAX, bucket, slot, writer};
use crate::layout::limits::{ENDPOINTS_MAX, KV_GROUPS_MAX};
use crate::shared_words::SharedWords;

/// Outcome of one write; numbers are those the binding gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStatus {
    Done = 0,
    /// Already there (add) or not there (remove): nothing changed.
    Unchanged = 1,
    /// Table or set table full: not recorded, counted.
    Full = 2,
    /// A lock stayed taken beyond the bound: its owner died; main must recover.
    Stuck = 3,
}

/// One residency of an endpoint, the endpoint left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Residency {
    pub key: u64,
    pub tier: u32,
    pub group: u32,
}

pub struct IndexWriter<W = SharedWords> {
    memory: Memory<W>,
    sets: EndpointSets<W>,
    owner: u32,
    lock_rounds: u32,
    counters: usize,
}

impl<W: Words> IndexWriter<W> {
    /// Opens the index for writing as `writer_id` (0 … 63). `lock_rounds` is the patience with a
    /// lock whose owner may be dead, in sleeps of 5 ms.
    pub fn open(words: W, writer_id: u32, lock_rounds: Option<u32>) -> Result<Self, String> {
        let memory = Memory::open(words)?;
        Self::over(memory, writer_id, lock_rounds)
    }

    /// Opens an index whose layout is known.
    pub fn over(
        memory: Memory<W>,
        writer_id: u32,
        lock_rounds: Option<u32>,
    ) -> Result<Self, String> {
        if writer_id as usize >= INDEX_WRITERS_MAX {
            return Err(format!(
                "writer id {writer_id} is not below {INDEX_WRITERS_MAX}"
            ));
        }
        let lock_rounds = lock_rounds.unwrap_or(LOCK_ROUNDS);
        let owner = writer_id + 1;
        Ok(Self {
            sets: EndpointSets::new(memory.clone(), owner, lock_rounds),
            counters: memory.layout.writers + writer_id as usize * writer::WORDS,
            memory,
            owner,
            lock_rounds,
        })
    }

    /// Opens a generation of the endpoint in `slot`; None when all virtual ids are taken.
    pub fn open_endpoint(&self, slot: u32) -> Option<VirtualId> {
        assert!((slot as usize) < ENDPOINTS_MAX, "the endpoint slot exists");
        endpoints::open(&self.memory, slot)
    }

    /// Forgets everything of that generation at once: O(1), a later `sweep` frees the bits.
    pub fn drop_endpoint(&self, virtual_id: VirtualId) {
        endpoints::drop_generation(&self.memory, virtual_id);
    }

    /// Whether that generation is open: not dropped, by whatever writer.
    pub fn is_open(&self, virtual_id: VirtualId) -> bool {
        endpoints::is_open(&self.memory, virtual_id)
    }

    /// Drops every generation of `slot`, whoever opened it.
    pub fn drop_slot(&self, slot: u32) {
        assert!((slot as usize) < ENDPOINTS_MAX, "the endpoint slot exists");
        endpoints::drop_slot(&self.memory, slot);
    }

    /// Declares KV group `group` (1 … 7): a hit also needs its last `blocks` blocks.
    pub fn set_group_window(&self, virtual_id: VirtualId, group: u32, blocks: u32) {
        assert!(
            (1..KV_GROUPS_MAX as u32).contains(&group),
            "the group is 1 to 7"
        );
        endpoints::set_window(&self.memory, virtual_id, group, blocks);
    }

    /// Declares what hits of this generation are multiples of.
    pub fn set_hit_alignment(&self, virtual_id: VirtualId, blocks: u32) {
        endpoints::set_alignment(&self.memory, virtual_id, blocks);
    }

    #[inline]
    pub fn add(&mut self, virtual_id: VirtualId, residency: Residency) -> WriteStatus {
        self.write(virtual_id, residency, true)
    }

    #[inline]
    pub fn remove(&mut self, virtual_id: VirtualId, residency: Residency) -> WriteStatus {
        self.write(virtual_id, residency, false)
    }

    /// Begins to load the bucket that `add` or `remove` will need.
    #[inline]
    pub fn prefetch(&self, residency: Residency) {
        let bucket_count = self.memory.layout.bucket_count;
        let place = Place::of(residency.key, residency.group, bucket_count);
        self.memory
            .words
            .prefetch(self.memory.bucket_at(place.home, 0));
    }

    pub fn is_suspended(&self) -> bool {
        self.memory.is_suspended()
    }

    /// Strips bits of dropped generations from up to `bucket_count` buckets; true when all is
    /// clean.
    pub fn sweep(&mut self, bucket_count: usize) -> bool {
        if self.memory.is_suspended() {
            return false;
        }
        let mut sweeper = Sweeper {
            memory: &self.memory,
            sets: &mut self.sets,
            owner: self.owner,
            lock_rounds: self.lock_rounds,
            freed: 0,
            rejected: 0,
        };
        let outcome = sweeper.sweep(bucket_count);
        let (freed, rejected) = (sweeper.freed, sweeper.rejected);
        self.count(writer::BLOCKS, freed.wrapping_neg());
        self.count(writer::REJECTED, rejected);
        if outcome == Outcome::Stuck {
            self.memory.suspend();
        }
        outcome == Outcome::Clean
    }

    #[inline]
    fn write(&mut self, virtual_id: VirtualId, residency: Residency, present: bool) -> WriteStatus {
        if self.memory.is_suspended() {
            return WriteStatus::Stuck;
        }
        let Residency { key, tier, group } = residency;
        assert!((tier as usize) < TIER_COUNT, "the tier is 0 to 3");
        assert!((group as usize) < KV_GROUPS_MAX, "the group is 0 to 7");
        let place = Place::of(key, group, self.memory.layout.bucket_count);
        let home_lock = self.memory.bucket_at(place.home, 0) + bucket::LOCK;
        if !lock::<W>(self.memory.word(home_lock), self.owner, self.lock_rounds) {
            return self.stuck();
        }
        let status = self.write_locked(virtual_id, tier, place, present);
        unlock(self.memory.word(home_lock));
        status
    }

    #[inline]
    fn write_locked(
        &mut self,
        virtual_id: VirtualId,
        tier: u32,
        place: Place,
        present: bool,
    ) -> WriteStatus {
        // Under the lock, so that a sweep that strips this generation comes here either afterwards,
        // or before, and then the generation is seen closed.
        if !endpoints::is_open(&self.memory, virtual_id) {
            return WriteStatus::Unchanged;
        }
        self.sets.refresh();
        let bit = virtual_id.bit();
        match find_slot(&self.memory, place) {
            Some(found) => self.change(bit, tier, place.home, found, present),
            None if present => self.insert(bit, tier, place),
            None => WriteStatus::Unchanged,
        }
    }

    #[inline]
    fn insert(&mut self, bit: u32, tier: u32, place: Place) -> WriteStatus {
        match self.sets.with_residency(0, bit, tier, true) {
            Ok(set_id) if insert_slot(&self.memory, place, set_id) => {
                self.count(writer::BLOCKS, 1);
                WriteStatus::Done
            }
            Ok(_) | Err(NoSet::Full) => {
                self.count(writer::REJECTED, 1);
                WriteStatus::Full
            }
            Err(NoSet::Stuck) => self.stuck(),
        }
    }

    #[inline]
    fn change(
        &mut self,
        bit: u32,
        tier: u32,
        home: usize,
        found: Slot,
        present: bool,
    ) -> WriteStatus {
        match self.sets.with_residency(found.set_id(), bit, tier, present) {
            Ok(next) if next == found.set_id() => return WriteStatus::Unchanged,
            Ok(0) => {}
            Ok(next) => {
                let word = self.memory.word(found.at + slot::SET);
                word.set(found.with_set(next));
                return WriteStatus::Done;
            }
            Err(NoSet::Stuck) => return self.stuck(),
            Err(NoSet::Full) => {
                self.count(writer::REJECTED, 1);
                if present {
                    return WriteStatus::Full;
                }
                // A removal must not be lost. With no id left for the smaller set the whole block
                // goes: others are claimed too little, nobody too much.
            }
        }
        delete_slot(&self.memory, home, found);
        self.count(writer::BLOCKS, 1_u32.wrapping_neg());
        WriteStatus::Done
    }

    #[cold]
    fn stuck(&self) -> WriteStatus {
        self.memory.suspend();
        WriteStatus::Stuck
    }

    /// Counters are this writer's own words, so no other thread's store can be lost.
    #[inline]
    fn count(&self, counter: usize, change: u32) {
        let word = self.memory.word(self.counters + counter);
        word.set(word.get().wrapping_add(change));
    }
}
