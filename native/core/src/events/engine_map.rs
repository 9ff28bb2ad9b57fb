//! Engine key → block, the map behind every publisher: open addressing in buckets of seven, two
//! cache lines each, 18.3 bytes a slot. The usual block, whose one residency is its own key in
//! group 0, lies in the slot itself; others are marked as being aside, with an index for a key.
//! A bucket counts the keys that were homed up to it and lie further on. When a key goes, one of
//! those takes its place, so the table is always as if what it holds had just been inserted:
//! without that, look-ups of new keys become a hundred times longer as blocks come and go. Homes
//! are hashes seeded by the process: engines cannot aim.

use std::hash::{BuildHasher, RandomState};

use super::decode::{EngineKey, KeyKind};
use crate::pages::{Zeroable, Zeroed};

const SLOTS: usize = 7;
const BUCKETS_FIRST: usize = 4;
/// Percent of the slots in use beyond which the map grows, by a fifth: homes keep their order, so
/// growing is one pass over both, and memory stays close to what is used. At this load a look-up of
/// a new key goes over three buckets.
const LOAD_PERCENT_MAX: usize = 85;

const USED: u16 = 1 << 15;
const ASIDE: u16 = 1 << 14;
const KIND_SHIFT: u16 = 12;
const KIND_MASK: u16 = 0x3 << KIND_SHIFT;
/// Copies of a tier that fit into a slot.
pub const COPIES_MAX: u16 = 7;
const COPIES_BITS: u16 = 3;
const ALL_COPIES: u16 = (1 << (4 * COPIES_BITS)) - 1;

#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Bucket {
    keys: [u64; SLOTS],
    /// Keys homed here or before that lie further on; stays at the maximum once there.
    overflow: u16,
    metas: [u16; SLOTS],
    values: [u64; SLOTS],
}

// SAFETY: integers only; zeroed it is an empty bucket.
unsafe impl Zeroable for Bucket {}

/// A slot in use. Valid until the map changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    bucket: usize,
    slot: usize,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Key of the block and everything before it, with the copies of group 0 by tier.
    Inline {
        end: u64,
    },
    Aside(usize),
}

pub struct EngineMap {
    buckets: Zeroed<Bucket>,
    length: usize,
    seeds: [u64; 2],
}

impl EngineMap {
    pub fn new() -> Self {
        let random = RandomState::new();
        Self {
            buckets: Zeroed::new(BUCKETS_FIRST),
            length: 0,
            seeds: [random.hash_one(1), random.hash_one(2) | 1],
        }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.buckets = Zeroed::new(BUCKETS_FIRST);
        self.length = 0;
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// Begins to load the bucket of a key.
    #[inline]
    pub fn prefetch(&self, key: EngineKey) {
        let home = self.home(key.bits, self.buckets.len());
        let bucket = (&raw const self.buckets[home]).cast::<u8>();
        // The keys, the values, and the keys of the bucket after it, which is often needed too.
        prefetch(bucket);
        prefetch(bucket.wrapping_add(64));
        prefetch(bucket.wrapping_add(128));
    }

    #[inline]
    pub fn find(&self, key: EngineKey) -> Option<Position> {
        let kind = (key.kind as u16) << KIND_SHIFT | USED;
        let mut at = self.home(key.bits, self.buckets.len());
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            for slot in 0..SLOTS {
                if bucket.keys[slot] == key.bits && bucket.metas[slot] & (KIND_MASK | USED) == kind
                {
                    return Some(Position { bucket: at, slot });
                }
            }
            if bucket.overflow == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    pub fn key(&self, position: Position) -> EngineKey {
        let bucket = &self.buckets[position.bucket];
        let kind = match (bucket.metas[position.slot] & KIND_MASK) >> KIND_SHIFT {
            0 => KeyKind::Natural,
            1 => KeyKind::Negative,
            _ => KeyKind::Bytes,
        };
        EngineKey {
            bits: bucket.keys[position.slot],
            kind,
        }
    }

    #[inline]
    pub fn entry(&self, position: Position) -> Entry {
        let bucket = &self.buckets[position.bucket];
        let value = bucket.values[position.slot];
        if bucket.metas[position.slot] & ASIDE == 0 {
            Entry::Inline { end: value }
        } else {
            Entry::Aside(value as usize)
        }
    }

    /// Copies in `tier` of an inline block.
    #[inline]
    pub fn copies(&self, position: Position, tier: u8) -> u16 {
        let meta = self.buckets[position.bucket].metas[position.slot];
        meta >> (u16::from(tier) * COPIES_BITS) & COPIES_MAX
    }

    /// Whether an inline block has a copy in any tier.
    #[inline]
    pub fn has_copies(&self, position: Position) -> bool {
        self.buckets[position.bucket].metas[position.slot] & ALL_COPIES != 0
    }

    /// `copies` ≤ COPIES_MAX.
    #[inline]
    pub fn set_copies(&mut self, position: Position, tier: u8, copies: u16) {
        let shift = u16::from(tier) * COPIES_BITS;
        let meta = &mut self.buckets[position.bucket].metas[position.slot];
        *meta = *meta & !(COPIES_MAX << shift) | copies << shift;
    }

    /// Marks a block as being aside, at `index`.
    pub fn move_aside(&mut self, position: Position, index: usize) {
        let bucket = &mut self.buckets[position.bucket];
        bucket.metas[position.slot] = bucket.metas[position.slot] & !ALL_COPIES | ASIDE;
        bucket.values[position.slot] = index as u64;
    }

    /// Adds a key that is not there, without copies.
    #[inline]
    pub fn insert(&mut self, key: EngineKey, entry: Entry) -> Position {
        if (self.length + 1) * 100 > self.buckets.len() * SLOTS * LOAD_PERCENT_MAX {
            self.grow();
        }
        let (flag, value) = match entry {
            Entry::Inline { end } => (0, end),
            Entry::Aside(index) => (ASIDE, index as u64),
        };
        let meta = (key.kind as u16) << KIND_SHIFT | USED | flag;
        self.length += 1;
        self.place(key.bits, meta, value)
    }

    #[inline]
    pub fn remove(&mut self, position: Position) {
        let key = self.buckets[position.bucket].keys[position.slot];
        self.release_path(self.home(key, self.buckets.len()), position.bucket);
        self.length -= 1;
        let mut free = position;
        while self.buckets[free.bucket].overflow != 0
            && let Some(next) = self.displaced_past(free.bucket)
        {
            let from = &self.buckets[next.bucket];
            let (key, meta) = (from.keys[next.slot], from.metas[next.slot]);
            let value = from.values[next.slot];
            self.release_path(free.bucket, next.bucket);
            let to = &mut self.buckets[free.bucket];
            to.keys[free.slot] = key;
            to.metas[free.slot] = meta;
            to.values[free.slot] = value;
            free = next;
        }
        self.buckets[free.bucket].metas[free.slot] = 0;
    }

    /// The next key that lies beyond `bucket` although it was homed there or before. None when the
    /// count of such keys no longer tells (it has reached its maximum).
    fn displaced_past(&self, bucket: usize) -> Option<Position> {
        let count = self.buckets.len();
        let mut at = bucket;
        for distance in 1..count {
            at = self.after(at);
            let there = &self.buckets[at];
            for slot in 0..SLOTS {
                if there.metas[slot] == 0 {
                    continue;
                }
                let home = self.home(there.keys[slot], count);
                let from_home = if at >= home {
                    at - home
                } else {
                    at + count - home
                };
                if from_home >= distance {
                    return Some(Position { bucket: at, slot });
                }
            }
        }
        None
    }

    /// Takes a key that lies in `end` out of the counts of the buckets from `first` on before it.
    fn release_path(&mut self, first: usize, end: usize) {
        let mut at = first;
        while at != end {
            let bucket = &mut self.buckets[at];
            if bucket.overflow != u16::MAX {
                bucket.overflow -= 1;
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn place(&mut self, key: u64, meta: u16, value: u64) -> Position {
        let mut at = self.home(key, self.buckets.len());
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(slot) = bucket.metas.iter().position(|meta| *meta == 0) {
                bucket.keys[slot] = key;
                bucket.metas[slot] = meta;
                bucket.values[slot] = value;
                return Position { bucket: at, slot };
            }
            bucket.overflow = bucket.overflow.saturating_add(1);
            at = self.after(at);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let count = self.buckets.len() + self.buckets.len() / 5 + BUCKETS_FIRST;
        let old = std::mem::replace(&mut self.buckets, Zeroed::new(count));
        for bucket in old.iter() {
            for slot in 0..SLOTS {
                if bucket.metas[slot] != 0 {
                    self.place(bucket.keys[slot], bucket.metas[slot], bucket.values[slot]);
                }
            }
        }
    }

    #[inline]
    fn home(&self, key: u64, buckets: usize) -> usize {
        let product = u128::from(key ^ self.seeds[0]) * u128::from(self.seeds[1]);
        let mixed = product as u64 ^ (product >> 64) as u64;
        ((u128::from(mixed) * buckets as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 < self.buckets.len() {
            bucket + 1
        } else {
            0
        }
    }
}

#[inline]
fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const STEPS: u64 = if cfg!(miri) { 2000 } else { 200_000 };

    /// Random numbers of splitmix64.
    struct Random(u64);

    impl Random {
        fn below(&mut self, count: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((u128::from(mixed ^ mixed >> 27) * u128::from(count)) >> 64) as u64
        }
    }

    #[test]
    fn answers_as_a_hash_map_does_and_leaves_no_counts_behind() {
        for seed in 1..4 {
            let mut random = Random(seed);
            let mut map = EngineMap::new();
            let mut model: HashMap<EngineKey, u64> = HashMap::new();
            for step in 0..STEPS {
                let kind = if random.below(8) == 0 {
                    KeyKind::Negative
                } else {
                    KeyKind::Natural
                };
                let bits = random.below(STEPS / 20);
                let key = EngineKey { bits, kind };
                let found = map.find(key);
                let known = model.get(&key).copied();
                let entry = found.map(|position| map.entry(position));
                let expected = known.map(|end| Entry::Inline { end });
                assert_eq!(entry, expected, "seed {seed}, step {step}");
                match found {
                    Some(position) => {
                        assert_eq!(map.key(position), key);
                        assert_eq!(map.copies(position, 3), 5);
                        map.remove(position);
                        model.remove(&key);
                    }
                    None => {
                        let position = map.insert(key, Entry::Inline { end: step });
                        map.set_copies(position, 3, 5);
                        model.insert(key, step);
                    }
                }
                assert_eq!(map.len(), model.len());
            }
            for key in model.keys() {
                let position = map.find(*key).expect("the key is there");
                map.remove(position);
            }
            assert!(map.buckets.iter().all(|bucket| {
                bucket.overflow == 0 && bucket.metas.iter().all(|meta| *meta == 0)
            }));
        }
    }
}
