//! Speculative residencies: blocks an endpoint will hold once it has worked off a prompt that was
//! just sent to it. Main alone writes them, when it routes; encoder threads read them beside the
//! block index, without a lock: a torn read costs at most one wrong guess. They end by themselves
//! after SPECULATIVE_TTL_MS, when events have confirmed them or never will.

use std::sync::atomic::{AtomicU32, Ordering};

use super::words::Words;
use crate::layout::index::bucket;
use crate::layout::limits::{
    ENDPOINTS_MAX, REQUESTS_IN_FLIGHT_MAX, SPECULATIVE_ENTRIES, SPECULATIVE_TTL_MS,
};
use crate::layout::shared::{
    SPECULATIVE_ROW, record, record_endpoint_arrays, request_memory, speculative,
};
use crate::shared_words::SharedWords;

const ROWS: usize = SPECULATIVE_ENTRIES / SPECULATIVE_ROW;
/// Expiry of an entry that was never used, or is withdrawn.
const FREE: u32 = 0;
/// Words the index compares at once.
const LINE_WORDS: usize = bucket::WORDS;
/// Rows a loop is ahead of itself in loading: as many misses as a core has under way at once.
const ROWS_AHEAD: usize = 12;
/// Blocks recorded of one prompt: under 1 ms of the main thread, and few others are evicted.
const BLOCKS_MAX: usize = SPECULATIVE_ENTRIES / 64;

/// The table inside the `requests` buffer. One writer per buffer, any number of readers.
#[derive(Clone, Copy)]
pub struct SpeculativeTable {
    words: SharedWords,
    /// Word offset of the first row.
    rows: usize,
}

impl SpeculativeTable {
    pub fn open(requests: SharedWords) -> Result<Self, String> {
        if requests.len() < request_memory::HEAD_BYTES / 4 {
            return Err("the buffer holds no requests".to_owned());
        }
        let capacity = requests.load(request_memory::ENDPOINT_CAPACITY, Ordering::Acquire) as usize;
        if !(1..=ENDPOINTS_MAX).contains(&capacity) {
            return Err("the requests buffer has not been laid out".to_owned());
        }
        let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * capacity;
        let rows = request_memory::HEAD_BYTES / 4 + REQUESTS_IN_FLIGHT_MAX * record_words;
        if rows + ROWS * speculative::ROW_WORDS > requests.len() {
            return Err("the requests buffer is too short".to_owned());
        }
        Ok(Self {
            words: requests,
            rows,
        })
    }

    /// Expects `keys` at endpoint `slot` for SPECULATIVE_TTL_MS from `now_ms`.
    pub fn add(&self, slot: u32, keys: &[u64], now_ms: f64) {
        let now = wrapped(now_ms);
        let expiry = expiry_from(now);
        let keys = &keys[..keys.len().min(BLOCKS_MAX)];
        for key in keys.iter().take(ROWS_AHEAD) {
            self.prefetch(*key);
        }
        for (block, key) in keys.iter().enumerate() {
            if let Some(ahead) = keys.get(block + ROWS_AHEAD) {
                self.prefetch(*ahead);
            }
            self.store(*key, slot + 1, now, expiry);
        }
        let until = self.words.word(request_memory::SPECULATIVE_UNTIL);
        until.store(expiry, Ordering::Release);
    }

    /// No longer expects them: the endpoint failed.
    pub fn withdraw(&self, slot: u32, keys: &[u64]) {
        for key in keys.iter().take(BLOCKS_MAX) {
            let row = self.row(*key);
            if let Some(at) = row.find(*key, slot + 1) {
                row.slot(at).store(0, Ordering::Release);
                row.expiry(at).store(FREE, Ordering::Release);
            }
        }
    }

    /// Sets `blocks[slot]` to the leading blocks, up to `block_limit`, that the endpoint holds
    /// (`usable`) or is expected to hold from there on.
    pub fn match_keys(
        &self,
        keys: &[u64],
        block_limit: usize,
        usable: &[u32],
        blocks: &mut [u32],
        now_ms: f64,
    ) {
        for (block, usable) in blocks.iter_mut().zip(usable) {
            *block = *usable;
        }
        let now = wrapped(now_ms);
        let until = self.words.word(request_memory::SPECULATIVE_UNTIL);
        if !is_live(until.load(Ordering::Acquire), now) {
            return;
        }
        let limit = block_limit.min(keys.len());
        let mut block = next_depth(blocks, 0);
        while block < limit {
            let goes_on = self.extend(keys[block], block as u32, now, blocks);
            block = if goes_on {
                block + 1
            } else {
                next_depth(blocks, block + 1)
            };
        }
    }

    /// Lengthens every run that ends right before `block` and is expected to go on; whether any is.
    fn extend(&self, key: u64, block: u32, now: u32, blocks: &mut [u32]) -> bool {
        let row = self.row(key);
        let mut any = false;
        for at in row.having(key) {
            let slot = row.slot(at).load(Ordering::Acquire);
            let live = is_live(row.expiry(at).load(Ordering::Acquire), now);
            // The entry may have become another key's meanwhile; then its slot says nothing.
            if !live || !row.has_key(at, key) {
                continue;
            }
            let depth = (slot as usize)
                .checked_sub(1)
                .and_then(|slot| blocks.get_mut(slot));
            if let Some(depth) = depth.filter(|depth| **depth == block) {
                *depth = block + 1;
                any = true;
            }
        }
        any
    }

    /// Renews the entry, or takes a free or ended one of its row, or the one that ends first.
    fn store(&self, key: u64, owner: u32, now: u32, expiry: u32) {
        let row = self.row(key);
        let at = row
            .find(key, owner)
            .unwrap_or_else(|| row.least_needed(now));
        row.slot(at).store(0, Ordering::Release);
        row.key_low(at).store(key as u32, Ordering::Release);
        row.key_high(at)
            .store((key >> 32) as u32, Ordering::Release);
        row.expiry(at).store(expiry, Ordering::Release);
        row.slot(at).store(owner, Ordering::Release);
    }

    #[inline]
    fn row_at(&self, key: u64) -> usize {
        self.rows + (key as usize & (ROWS - 1)) * speculative::ROW_WORDS
    }

    #[inline]
    fn row(&self, key: u64) -> Row<'_> {
        Row(self.words.run(self.row_at(key)))
    }

    /// Begins to load what a search reads: low keys and expiries.
    #[inline]
    fn prefetch(&self, key: u64) {
        let row = self.row_at(key);
        for column in [speculative::KEY_LOW, speculative::EXPIRY] {
            for line in (column..column + SPECULATIVE_ROW).step_by(LINE_WORDS) {
                self.words.prefetch(row + line);
            }
        }
    }
}

/// The entries of keys that share a row, by their number in it.
#[derive(Clone, Copy)]
struct Row<'a>(&'a [AtomicU32; speculative::ROW_WORDS]);

impl<'a> Row<'a> {
    fn key_low(self, at: usize) -> &'a AtomicU32 {
        &self.0[speculative::KEY_LOW + at]
    }

    fn key_high(self, at: usize) -> &'a AtomicU32 {
        &self.0[speculative::KEY_HIGH + at]
    }

    fn slot(self, at: usize) -> &'a AtomicU32 {
        &self.0[speculative::SLOT + at]
    }

    fn expiry(self, at: usize) -> &'a AtomicU32 {
        &self.0[speculative::EXPIRY + at]
    }

    /// Entries of `key`, in use or not.
    fn having(self, key: u64) -> impl Iterator<Item = usize> + 'a {
        let (lines, _) = self.0[..SPECULATIVE_ROW].as_chunks::<LINE_WORDS>();
        let mut left = lines.iter().rev().fold(0, |mask, line| {
            mask << LINE_WORDS | SharedWords::equal(line, key as u32)
        });
        std::iter::from_fn(move || {
            let at = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (at < u32::BITS).then_some(at as usize)
        })
        .filter(move |at| self.has_key(*at, key))
    }

    fn has_key(self, at: usize, key: u64) -> bool {
        self.key_low(at).load(Ordering::Acquire) == key as u32
            && self.key_high(at).load(Ordering::Acquire) == (key >> 32) as u32
    }

    fn find(self, key: u64, owner: u32) -> Option<usize> {
        self.having(key)
            .find(|at| self.slot(*at).load(Ordering::Acquire) == owner)
    }

    /// A free or ended entry, or the one that ends first.
    fn least_needed(self, now: u32) -> usize {
        let mut least = (0, u32::MAX);
        for at in 0..SPECULATIVE_ROW {
            let left = self.time_left(at, now);
            if left == 0 {
                return at;
            }
            if left < least.1 {
                least = (at, left);
            }
        }
        least.0
    }

    /// 0 for an entry that is free or has ended.
    fn time_left(self, at: usize, now: u32) -> u32 {
        let expiry = self.expiry(at).load(Ordering::Acquire);
        if expiry != FREE && is_live(expiry, now) {
            expiry.wrapping_sub(now)
        } else {
            0
        }
    }
}

/// When what is noted at `now` ends; a millisecond early where that would read as free.
fn expiry_from(now: u32) -> u32 {
    match now.wrapping_add(SPECULATIVE_TTL_MS as u32) {
        FREE => u32::MAX,
        expiry => expiry,
    }
}

/// Words compare modulo 2^32, so an age is told apart from a future only within the lifetime.
fn is_live(expiry: u32, now: u32) -> bool {
    (1..=SPECULATIVE_TTL_MS as u32).contains(&expiry.wrapping_sub(now))
}

/// The smallest depth from `from` on: the next block at which some run could go on.
fn next_depth(blocks: &[u32], from: usize) -> usize {
    let depths = blocks.iter().map(|depth| *depth as usize);
    depths
        .filter(|depth| *depth >= from)
        .min()
        .unwrap_or(usize::MAX)
}

/// Low 32 bits of a time in whole milliseconds, as JavaScript's `| 0` gives them.
fn wrapped(now_ms: f64) -> u32 {
    now_ms as i64 as u32
}
