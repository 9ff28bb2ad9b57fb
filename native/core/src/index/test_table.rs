//! Memory of an index for tests, and what lies in it, read slot by slot.

use std::collections::BTreeSet;

use super::buckets::{Place, find_slot};
use super::memory::{Layout, Memory, TIER_COUNT};
use super::words::Word;
use crate::shared_words::SharedWords;

/// An empty index of exactly these sizes, with its memory.
pub struct Table {
    pub memory: Memory<SharedWords>,
    pub words: SharedWords,
    _backing: Vec<u32>,
}

impl Table {
    pub fn create(bucket_count: usize, endpoint_capacity: usize, set_capacity: usize) -> Self {
        let (layout, count) = Layout::place(bucket_count, endpoint_capacity, set_capacity);
        let mut backing = vec![0_u32; count];
        // SAFETY: the vector is kept, and not touched, as long as the words are used.
        let words = unsafe { SharedWords::new(backing.as_mut_ptr().cast(), count * 4) };
        let words = words.expect("words are aligned");
        Self {
            memory: Memory::create(words, layout),
            words,
            _backing: backing,
        }
    }

    /// What the key's slot says: (bit of a virtual endpoint, tier).
    pub fn holders(&self, key: u64, group: u32) -> BTreeSet<(u32, u32)> {
        let place = Place::of(key, group, self.memory.layout.bucket_count);
        let slot = find_slot(&self.memory, place);
        self.members(slot.map_or(0, |slot| slot.set_id()))
    }

    /// The bits of an endpoint set.
    pub fn members(&self, set_id: u32) -> BTreeSet<(u32, u32)> {
        let bits = self.memory.set_bits_at(set_id);
        let mask_words = self.memory.layout.mask_words;
        let mut members = BTreeSet::new();
        for at in 0..TIER_COUNT * mask_words {
            let word = self.memory.word(bits + at).get();
            for bit in (0..32).filter(|bit| word >> bit & 1 == 1) {
                let virtual_id = (at % mask_words) as u32 * 32 + bit;
                members.insert((virtual_id, (at / mask_words) as u32));
            }
        }
        members
    }
}
