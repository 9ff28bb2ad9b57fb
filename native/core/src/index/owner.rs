//! Main's side of the block index: counters for metrics, and recovery after a writer has died.

use super::memory::Memory;
use super::words::{Word, Words};
use crate::layout::index::{
    BUCKET_SLOTS, INDEX_WRITERS_MAX, OWNER_SLOT_MASK, masks, state, virtual_endpoint, writer,
};
use crate::shared_words::SharedWords;

/// Counters, read without a lock; they may lag by a few operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexStats {
    pub epoch: u32,
    /// Distinct (block, group) slots in use, and the number of slots there are.
    pub blocks: i32,
    pub block_capacity: usize,
    /// Live interned endpoint sets and their capacity.
    pub sets: u32,
    pub set_capacity: usize,
    /// Residencies not recorded because a table was full.
    pub rejected: u32,
    pub bytes: usize,
}

/// The index as its owner sees it; one per buffer, on the main thread.
pub struct IndexOwner<W = SharedWords> {
    memory: Memory<W>,
}

impl<W: Words> IndexOwner<W> {
    /// Opens the index as its owner, best before anything was written: its pages can still become
    /// large ones.
    pub fn open(words: W) -> Result<Self, String> {
        let memory = Memory::open(words)?;
        let end = memory.words.len();
        memory.words.advise_large_pages(memory.layout.set_meta, end);
        Ok(Self { memory })
    }

    pub fn stats(&self) -> IndexStats {
        let memory = &self.memory;
        IndexStats {
            epoch: memory.state(state::EPOCH).get(),
            blocks: self.sum(writer::BLOCKS).cast_signed(),
            block_capacity: memory.layout.bucket_count * BUCKET_SLOTS,
            sets: memory.state(state::SETS_USED).get(),
            set_capacity: memory.layout.set_capacity,
            rejected: self.sum(writer::REJECTED),
            bytes: memory.words.len() * 4,
        }
    }

    /// A writer has died: readers report no match and writers stop until `recover`.
    pub fn suspend(&self) {
        self.memory.suspend();
    }

    /// Clears table and sets and raises the epoch. No writer may be running.
    pub fn recover(&self) {
        let memory = &self.memory;
        let layout = &memory.layout;
        let epoch = memory.state(state::EPOCH);
        let odd = epoch.get() | 1;
        epoch.set(odd);
        for number in 0..INDEX_WRITERS_MAX {
            memory
                .word(layout.writers + number * writer::WORDS + writer::BLOCKS)
                .set(0);
        }
        self.clear(
            layout.state + state::INTERN_LOCK,
            state::WORDS - state::INTERN_LOCK,
        );
        for id in 0..layout.endpoint_capacity {
            // A generation is closed but keeps its count: an old virtual id must not become valid.
            let owner = memory.endpoint(id, virtual_endpoint::OWNER);
            owner.set(owner.get() & !(OWNER_SLOT_MASK as u32));
        }
        self.clear(layout.masks, masks::COUNT * layout.mask_words);
        self.clear(layout.set_meta, layout.set_bits - layout.set_meta);
        self.clear(layout.buckets, memory.words.len() - layout.buckets);
        memory.state(state::SETS_FRESH).set(1);
        memory.state(state::SWEEP_CYCLE).set(1);
        memory.state(state::SETS_GENERATION).add(1);
        memory.state(state::SUSPENDED).set(0);
        epoch.set(odd.wrapping_add(1));
    }

    /// Zeroes what is not zero: writing to pages never touched would commit all of the table.
    fn clear(&self, from: usize, count: usize) {
        for at in from..from + count {
            let word = self.memory.word(at);
            if word.get() != 0 {
                word.set(0);
            }
        }
    }

    fn sum(&self, counter: usize) -> u32 {
        (0..INDEX_WRITERS_MAX)
            .map(|number| {
                let at = self.memory.layout.writers + number * writer::WORDS + counter;
                self.memory.word(at).get()
            })
            .fold(0, u32::wrapping_add)
    }
}
