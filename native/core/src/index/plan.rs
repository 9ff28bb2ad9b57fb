//! Lays out an index as `indexLayout` of `src/contracts/index-layout.ts` does, for tests, models
//! and benchmarks; the index of a running router is allocated by TypeScript.

use super::memory::{Layout, Memory, TIER_COUNT};
use super::words::{Word, Words};
use crate::layout::index::{
    BUCKET_SLOTS, DISPLACEMENT_MAX, INDEX_LAYOUT_VERSION, INDEX_MAGIC, INDEX_WRITERS_MAX,
    LOAD_FACTOR, bucket, masks, preamble, set_meta, state, virtual_endpoint, writer,
};

const BUCKETS_MIN: usize = 16;
const LINE_WORDS: usize = 32;
const BLOCKS_PER_SET: usize = 128;
const SETS_MIN: usize = 4096;
const SETS_MAX: usize = 1 << 20;
/// Puts regions on lines where the base lies 16 bytes past one, as V8's buffers do.
const BASE_WORDS: usize = 28;

impl Layout {
    /// Layout of an index for `block_capacity` blocks, and its words.
    pub fn plan(block_capacity: usize, endpoint_capacity: usize) -> (Self, usize) {
        let slots = block_capacity as f64 / LOAD_FACTOR;
        let bucket_count = ((slots / BUCKET_SLOTS as f64).ceil() as usize).max(BUCKETS_MIN);
        let set_capacity = block_capacity
            .div_ceil(BLOCKS_PER_SET)
            .clamp(SETS_MIN, SETS_MAX);
        Self::place(bucket_count, endpoint_capacity, set_capacity)
    }

    /// Layout of an index of exactly these sizes, and its words.
    pub fn place(
        bucket_count: usize,
        endpoint_capacity: usize,
        set_capacity: usize,
    ) -> (Self, usize) {
        let mask_words = endpoint_capacity.div_ceil(32);
        let intern_capacity = (2 * set_capacity).next_power_of_two();
        let mut next = BASE_WORDS;
        let mut place = |words: usize| {
            let at = next;
            next += words.next_multiple_of(LINE_WORDS);
            at
        };
        let layout = Self {
            bucket_count,
            reach: DISPLACEMENT_MAX.min(bucket_count - 1),
            endpoint_capacity,
            mask_words,
            set_capacity,
            intern_capacity,
            state: place(state::WORDS),
            writers: place(INDEX_WRITERS_MAX * writer::WORDS),
            endpoints: place(endpoint_capacity * virtual_endpoint::WORDS),
            masks: place(masks::COUNT * mask_words),
            set_meta: place(set_capacity * set_meta::WORDS),
            intern: place(intern_capacity),
            set_bits: place(set_capacity * mask_words * TIER_COUNT),
            buckets: place(bucket_count * bucket::WORDS),
        };
        (layout, next)
    }
}

impl<W: Words> Memory<W> {
    /// Makes an empty index of zeroed words.
    pub fn create(words: W, layout: Layout) -> Self {
        for (field, value) in [
            (preamble::MAGIC, INDEX_MAGIC),
            (preamble::VERSION, INDEX_LAYOUT_VERSION),
            (preamble::BUCKET_COUNT, layout.bucket_count),
            (preamble::ENDPOINT_CAPACITY, layout.endpoint_capacity),
            (preamble::SET_CAPACITY, layout.set_capacity),
            (preamble::INTERN_CAPACITY, layout.intern_capacity),
            (preamble::STATE, layout.state),
            (preamble::WRITERS, layout.writers),
            (preamble::ENDPOINTS, layout.endpoints),
            (preamble::MASKS, layout.masks),
            (preamble::SET_META, layout.set_meta),
            (preamble::INTERN, layout.intern),
            (preamble::SET_BITS, layout.set_bits),
            (preamble::BUCKETS, layout.buckets),
        ] {
            words.word(field).set(value as u32);
        }
        let memory = Self { words, layout };
        // Id 0 is the empty set, and a stamp of 0 marks a freed id: both count from 1.
        memory.state(state::SETS_FRESH).set(1);
        memory.state(state::SWEEP_CYCLE).set(1);
        memory
    }
}
