//! Matches chains of request keys against the block index, lock-free; one instance per thread,
//! whose scratch memory it keeps. A match is tried again when endpoint-set ids were freed under it,
//! and reports nothing while the index is being recovered.

use super::buckets::{Place, probe};
use super::memory::{Mask, Memory, TIER_COUNT};
use super::windows::GroupWindows;
use super::words::{Word, Words};
use crate::layout::index::{OWNER_SLOT_MASK, state, virtual_endpoint};
use crate::shared_words::SharedWords;

/// Keys whose buckets are loaded ahead of probing them: enough to hide a miss to memory, few enough
/// to stay in the first-level cache.
const PREFETCH_BLOCKS: usize = 32;
/// Matches begun anew because a sweep freed set ids; sweeps are seconds apart.
const ATTEMPTS_MAX: usize = 3;

/// Where a match is written, by endpoint slot (tiers: slot × 4 + tier). Every element is
/// overwritten.
pub struct MatchResult<'a> {
    /// Leading blocks the engine will reuse, in any tier, all groups considered.
    pub usable_blocks: &'a mut [u32],
    /// Of those, how many have each tier as their fastest residency.
    pub tier_blocks: &'a mut [u32],
    /// Leading blocks of group 0 alone.
    pub raw_blocks: &'a mut [u32],
}

impl MatchResult<'_> {
    fn clear(&mut self) {
        self.usable_blocks.fill(0);
        self.tier_blocks.fill(0);
        self.raw_blocks.fill(0);
    }

    /// Endpoint slots that fit into all three.
    fn slots(&self) -> usize {
        let tiers = self.tier_blocks.len() / TIER_COUNT;
        self.usable_blocks
            .len()
            .min(self.raw_blocks.len())
            .min(tiers)
    }
}

/// Consecutive blocks with the same endpoint set.
#[derive(Clone, Copy)]
struct Run {
    end: usize,
    set_id: u32,
}

pub struct IndexReader<W = SharedWords> {
    memory: Memory<W>,
    /// Endpoints that held the first block and were alive, those that hold every block so far, and
    /// how far each held the chain.
    started: Vec<u32>,
    current: Vec<u32>,
    raw: Vec<u32>,
    runs: Vec<Run>,
    windows: GroupWindows,
}

impl<W: Words> IndexReader<W> {
    pub fn open(words: W) -> Result<Self, String> {
        Ok(Self::over(Memory::open(words)?))
    }

    /// Opens an index whose layout is known.
    pub fn over(memory: Memory<W>) -> Self {
        Self {
            started: vec![0; memory.layout.mask_words],
            current: vec![0; memory.layout.mask_words],
            raw: vec![0; memory.layout.endpoint_capacity],
            runs: Vec::with_capacity(256),
            windows: GroupWindows::new(),
            memory,
        }
    }

    pub fn endpoint_capacity(&self) -> usize {
        self.memory.layout.endpoint_capacity
    }

    /// Matches `keys`; `block_limit` is the most an engine would reuse. Returns the index epoch it
    /// read in.
    pub fn match_keys(
        &mut self,
        keys: &[u64],
        block_limit: usize,
        result: &mut MatchResult<'_>,
    ) -> u32 {
        let mut epoch = 0;
        for _ in 0..ATTEMPTS_MAX {
            result.clear();
            epoch = self.memory.state(state::EPOCH).get_ordered();
            let generation = self.memory.state(state::SETS_GENERATION).get_ordered();
            if !self.is_usable(epoch) {
                return epoch;
            }
            self.walk(keys);
            self.report(keys, block_limit, result);
            if !self.is_usable(epoch) {
                break;
            }
            if self.memory.state(state::SETS_GENERATION).get_ordered() == generation {
                return epoch;
            }
        }
        result.clear();
        epoch
    }

    fn is_usable(&self, epoch: u32) -> bool {
        epoch & 1 == 0
            && self.memory.state(state::EPOCH).get_ordered() == epoch
            && !self.memory.is_suspended()
    }

    /// Follows the chain while some endpoint holds all of it, noting runs and each raw depth.
    fn walk(&mut self, keys: &[u64]) {
        self.started.fill(0);
        self.runs.clear();
        let bucket_count = self.memory.layout.bucket_count;
        for key in &keys[..keys.len().min(PREFETCH_BLOCKS)] {
            self.prefetch(*key);
        }
        let mut set_id = 0;
        let mut block = 0;
        while block < keys.len() {
            if let Some(ahead) = keys.get(block + PREFETCH_BLOCKS) {
                self.prefetch(*ahead);
            }
            let found = probe(&self.memory, Place::of(keys[block], 0, bucket_count));
            if found != set_id || found == 0 {
                self.end_run(block);
                if found == 0 || !self.narrow(found, block) {
                    break;
                }
                self.runs.push(Run {
                    end: block,
                    set_id: found,
                });
                set_id = found;
            }
            block += 1;
        }
        self.end_run(block);
        for word in 0..self.started.len() {
            if self.started[word] != 0 {
                note_depths(&mut self.raw, self.current[word], word, block as u32);
            }
        }
    }

    #[inline]
    fn prefetch(&self, key: u64) {
        let place = Place::of(key, 0, self.memory.layout.bucket_count);
        let at = self.memory.bucket_at(place.home, 0);
        self.memory.words.prefetch(at);
    }

    fn end_run(&mut self, block: usize) {
        if let Some(run) = self.runs.last_mut() {
            run.end = block;
        }
    }

    /// Leaves only endpoints of `set_id`; the others' raw depth is `block`. False when none is
    /// left.
    fn narrow(&mut self, set_id: u32, block: usize) -> bool {
        let mask_words = self.memory.layout.mask_words;
        let bits = self.memory.set_bits_at(set_id);
        let mut any = 0;
        for at in 0..mask_words {
            let holders = (0..TIER_COUNT)
                .map(|tier| self.memory.word(bits + tier * mask_words + at).get())
                .fold(0, |all, word| all | word);
            let before = if block == 0 {
                self.memory.mask(Mask::Alive, at).get()
            } else {
                self.current[at]
            };
            let after = before & holders;
            self.current[at] = after;
            if block == 0 {
                self.started[at] = after;
            } else {
                note_depths(&mut self.raw, before & !holders, at, block as u32);
            }
            any |= after;
        }
        any != 0
    }

    /// Per endpoint that holds the first block: usable blocks, their tiers, raw depth.
    fn report(&mut self, keys: &[u64], block_limit: usize, result: &mut MatchResult<'_>) {
        self.windows.begin();
        let slots = result.slots();
        for word in 0..self.started.len() {
            let windowed = self.memory.mask(Mask::Windowed, word).get();
            let mut left = self.started[word];
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let id = word * 32 + bit as usize;
                let limit = (self.raw[id] as usize).min(block_limit);
                let usable = if windowed >> bit & 1 == 1 {
                    self.windows.usable(&self.memory, keys, id, limit)
                } else {
                    limit
                };
                self.report_endpoint(id, usable as u32, slots, result);
            }
        }
    }

    /// Of several generations of one endpoint the one with more to reuse is reported.
    fn report_endpoint(&self, id: usize, usable: u32, slots: usize, result: &mut MatchResult<'_>) {
        let owner = self.memory.endpoint(id, virtual_endpoint::OWNER).get();
        let slot = (owner as usize & OWNER_SLOT_MASK).wrapping_sub(1);
        if slot >= slots {
            return;
        }
        let raw = self.raw[id];
        let before = (result.usable_blocks[slot], result.raw_blocks[slot]);
        if (usable, raw) <= before {
            return;
        }
        result.usable_blocks[slot] = usable;
        result.raw_blocks[slot] = raw;
        let tiers = &mut result.tier_blocks[slot * TIER_COUNT..(slot + 1) * TIER_COUNT];
        self.count_tiers(id, usable as usize, tiers);
    }

    fn count_tiers(&self, id: usize, usable: usize, tiers: &mut [u32]) {
        tiers.fill(0);
        let mask_words = self.memory.layout.mask_words;
        let mut from = 0;
        for run in &self.runs {
            if from >= usable {
                return;
            }
            let end = run.end.min(usable);
            let bits = self.memory.set_bits_at(run.set_id) + (id >> 5);
            let fastest = (0..TIER_COUNT).find(|tier| {
                self.memory.word(bits + tier * mask_words).get() >> (id & 31) & 1 == 1
            });
            if let Some(tier) = fastest {
                tiers[tier] += (end - from) as u32;
            }
            from = end;
        }
    }
}

fn note_depths(raw: &mut [u32], mask: u32, word: usize, depth: u32) {
    let mut left = mask;
    while left != 0 {
        raw[word * 32 + left.trailing_zeros() as usize] = depth;
        left &= left - 1;
    }
}
