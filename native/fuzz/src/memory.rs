//! A small block index in memory of its own.

use warmpath_core::index::{Layout, Memory};
use warmpath_core::shared_words::SharedWords;

pub struct IndexMemory {
    /// Not to be used after this value is gone.
    pub words: SharedWords,
    _memory: Vec<u64>,
}

impl IndexMemory {
    pub fn new(block_capacity: usize) -> Self {
        let (layout, words) = Layout::plan(block_capacity, 64);
        let mut memory = vec![0_u64; words.div_ceil(2)];
        let base = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: the heap memory lives as long as `self`, beside which the words are kept, and is
        // only touched through them.
        let shared = unsafe { SharedWords::new(base, words * 4) };
        let shared = shared.expect("a u64 is aligned");
        Memory::create(shared, layout);
        Self {
            words: shared,
            _memory: memory,
        }
    }
}
