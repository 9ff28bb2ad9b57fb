//! The rule of hybrid models (several KV groups): an engine reuses the greatest L such that its
//! group 0 holds blocks 0 … L−1 and every other group the last min(L, window) blocks before L
//! (wire-formats §2), and L is a multiple of the endpoint's hit alignment. Used by the reader for
//! endpoints that have one of the two; endpoint sets met are kept per match.

use super::buckets::{Place, probe};
use super::memory::{Memory, TIER_COUNT};
use super::words::{Word, Words};
use crate::layout::index::virtual_endpoint;
use crate::layout::limits::KV_GROUPS_MAX;

const UNKNOWN: u32 = u32::MAX;

/// Applies group windows within one match at a time.
pub struct GroupWindows {
    /// Per group: set id under the group's key of each block, or UNKNOWN.
    sets: [Vec<u32>; KV_GROUPS_MAX],
    /// Per group: how low the run of resident blocks reaches that is known for this endpoint.
    known_from: [usize; KV_GROUPS_MAX],
    is_fresh: bool,
}

impl GroupWindows {
    pub fn new() -> Self {
        Self {
            sets: std::array::from_fn(|_| Vec::new()),
            known_from: [0; KV_GROUPS_MAX],
            is_fresh: true,
        }
    }

    /// Begins a match. Costs nothing unless an endpoint with windows is met.
    pub fn begin(&mut self) {
        self.is_fresh = true;
    }

    /// Greatest usable number of blocks of virtual endpoint `id` up to `limit`, which group 0 holds.
    pub fn usable<W: Words>(
        &mut self,
        memory: &Memory<W>,
        keys: &[u64],
        id: usize,
        limit: usize,
    ) -> usize {
        if self.is_fresh {
            self.forget(keys.len());
        }
        let alignment = memory.endpoint(id, virtual_endpoint::ALIGNMENT).get();
        let alignment = alignment.max(1) as usize;
        self.known_from.fill(limit);
        let mut length = limit - limit % alignment;
        // A missing block rules out every length whose window would cover it, so the length falls
        // to that block, and every group is looked at again below what is known of it.
        let mut group = 1;
        while length > 0 && group < KV_GROUPS_MAX {
            let window = memory
                .endpoint(id, virtual_endpoint::WINDOWS + group - 1)
                .get() as usize;
            let bottom = length.saturating_sub(window);
            let missing = if window == 0 {
                None
            } else {
                self.highest_missing(memory, keys, id, group, bottom..length)
            };
            match missing {
                None => group += 1,
                Some(block) => {
                    length = block - block % alignment;
                    group = 1;
                }
            }
        }
        length
    }

    /// The highest block in `blocks` that the group lacks, None when it has them all.
    fn highest_missing<W: Words>(
        &mut self,
        memory: &Memory<W>,
        keys: &[u64],
        id: usize,
        group: usize,
        blocks: std::ops::Range<usize>,
    ) -> Option<usize> {
        let from = self.known_from[group].min(blocks.end);
        for block in (blocks.start..from).rev() {
            if !self.holds(memory, keys, id, group, block) {
                self.known_from[group] = block;
                return Some(block);
            }
        }
        self.known_from[group] = from.min(blocks.start);
        None
    }

    fn holds<W: Words>(
        &mut self,
        memory: &Memory<W>,
        keys: &[u64],
        id: usize,
        group: usize,
        block: usize,
    ) -> bool {
        let known = &mut self.sets[group][block];
        if *known == UNKNOWN {
            let bucket_count = memory.layout.bucket_count;
            *known = probe(memory, Place::of(keys[block], group as u32, bucket_count));
        }
        if *known == 0 {
            return false;
        }
        let bits = memory.set_bits_at(*known) + (id >> 5);
        let mask_words = memory.layout.mask_words;
        let holders = (0..TIER_COUNT)
            .map(|tier| memory.word(bits + tier * mask_words).get())
            .fold(0, |all, word| all | word);
        holders >> (id & 31) & 1 == 1
    }

    fn forget(&mut self, block_count: usize) {
        self.is_fresh = false;
        for sets in &mut self.sets[1..] {
            sets.clear();
            sets.resize(block_count, UNKNOWN);
        }
    }
}
