//! Engine key → block, the map behind every publisher: buckets of seven slots on two cache lines,
//! the keys on one, what they stand for on the other; 18.3 bytes a slot. A key lies in one of two
//! buckets, the emptier one when it came, so a look-up reads two lines and no more, whether the key
//! is there or not, and removing leaves nothing behind. When both are full, one of their keys moves
//! to its other bucket. The usual block, whose one residency is its own key in group 0, lies in the
//! slot itself; others are marked as being aside, with an index for a value. Homes are hashes seeded
//! by the process: engines cannot aim.

use std::hash::{BuildHasher, RandomState};

use super::event::{EngineKey, KeyKind};
use crate::pages::{Zeroable, Zeroed, prefetch};

const SLOTS: usize = 7;
const BUCKETS_FIRST: usize = 4;
/// Percent of the slots in use beyond which the map grows, by a fifth, which keeps memory close to
/// what is used. A key that finds no room makes it grow sooner, hardly ever below 85.
const LOAD_PERCENT_MAX: usize = 90;

const USED: u8 = 1 << 7;
const ASIDE: u8 = 1 << 6;
/// The used slots of a bucket's tags, which are read as one number.
const ALL_USED: u64 = 0x0080_8080_8080_8080;
const KIND_MASK: u8 = 0x3;
/// Copies of a tier that fit into a slot.
pub const COPIES_MAX: u8 = 3;
const COPIES_BITS: u8 = 2;

#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Bucket {
    keys: [u64; SLOTS],
    /// Whether a slot is used, whether its block is aside, and the key's kind; one byte is spare.
    tags: [u8; SLOTS + 1],
    values: [u64; SLOTS],
    /// Copies of an inline block, two bits a tier; one byte is spare.
    copies: [u8; SLOTS + 1],
}

// SAFETY: integers only; zeroed it is an empty bucket.
unsafe impl Zeroable for Bucket {}

impl Bucket {
    /// The slot of a key whose tag is `tag`, but for whether its block is aside.
    #[inline]
    fn find(&self, bits: u64, tag: u8) -> Option<usize> {
        let mut equal = 0_u32;
        for (slot, key) in self.keys.iter().enumerate() {
            equal |= u32::from(*key == bits) << slot;
        }
        while equal != 0 {
            let slot = equal.trailing_zeros() as usize;
            if self.tags[slot] & !ASIDE == tag {
                return Some(slot);
            }
            equal &= equal - 1;
        }
        None
    }

    /// One bit in each byte of a free slot.
    #[inline]
    fn free(&self) -> u64 {
        !u64::from_le_bytes(self.tags) & ALL_USED
    }
}

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

/// All of a slot.
#[derive(Clone, Copy)]
struct Held {
    key: u64,
    tag: u8,
    value: u64,
    copies: u8,
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

    /// Begins to load both buckets of a key, keys and values: telling first which of the two is
    /// needed costs more than it spares.
    #[inline]
    pub fn prefetch(&self, key: EngineKey) {
        for home in self.homes(key.bits) {
            let bucket = &self.buckets[home];
            prefetch((&raw const bucket.keys).cast());
            prefetch((&raw const bucket.values).cast());
        }
    }

    #[inline]
    pub fn find(&self, key: EngineKey) -> Option<Position> {
        let [first, second] = self.homes(key.bits);
        let tag = key.kind as u8 | USED;
        if let Some(slot) = self.buckets[first].find(key.bits, tag) {
            let bucket = first;
            return Some(Position { bucket, slot });
        }
        let slot = self.buckets[second].find(key.bits, tag)?;
        let bucket = second;
        Some(Position { bucket, slot })
    }

    pub fn key(&self, position: Position) -> EngineKey {
        let bucket = &self.buckets[position.bucket];
        let kind = match bucket.tags[position.slot] & KIND_MASK {
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
        if bucket.tags[position.slot] & ASIDE == 0 {
            Entry::Inline { end: value }
        } else {
            Entry::Aside(value as usize)
        }
    }

    /// Copies in `tier` of an inline block.
    #[inline]
    pub fn copies(&self, position: Position, tier: u8) -> u8 {
        let copies = self.buckets[position.bucket].copies[position.slot];
        copies >> (tier * COPIES_BITS) & COPIES_MAX
    }

    /// Whether an inline block has a copy in any tier.
    #[inline]
    pub fn has_copies(&self, position: Position) -> bool {
        self.buckets[position.bucket].copies[position.slot] != 0
    }

    /// `copies` ≤ COPIES_MAX.
    #[inline]
    pub fn set_copies(&mut self, position: Position, tier: u8, copies: u8) {
        let shift = tier * COPIES_BITS;
        let all = &mut self.buckets[position.bucket].copies[position.slot];
        *all = *all & !(COPIES_MAX << shift) | copies << shift;
    }

    /// Marks a block as being aside, at `index`.
    pub fn move_aside(&mut self, position: Position, index: usize) {
        let bucket = &mut self.buckets[position.bucket];
        bucket.tags[position.slot] |= ASIDE;
        bucket.copies[position.slot] = 0;
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
        let held = Held {
            key: key.bits,
            tag: key.kind as u8 | USED | flag,
            value,
            copies: 0,
        };
        self.length += 1;
        loop {
            if let Some(position) = self.free_position(key.bits) {
                self.put(position, held);
                return position;
            }
            self.grow();
        }
    }

    #[inline]
    pub fn remove(&mut self, position: Position) {
        self.buckets[position.bucket].tags[position.slot] = 0;
        self.length -= 1;
    }

    /// A free slot for a key; None when its buckets, and those their keys could move to, are full.
    #[inline]
    fn free_position(&mut self, key: u64) -> Option<Position> {
        let [first, second] = self.homes(key);
        let (free, other) = (self.buckets[first].free(), self.buckets[second].free());
        let (bucket, free) = if free.count_ones() >= other.count_ones() {
            (first, free)
        } else {
            (second, other)
        };
        if free == 0 {
            return self.make_room(first).or_else(|| self.make_room(second));
        }
        let slot = free.trailing_zeros() as usize / 8;
        Some(Position { bucket, slot })
    }

    /// Moves a key of a full bucket to its other bucket.
    #[cold]
    fn make_room(&mut self, bucket: usize) -> Option<Position> {
        for slot in 0..SLOTS {
            let position = Position { bucket, slot };
            let [first, second] = self.homes(self.buckets[bucket].keys[slot]);
            let other = if first == bucket { second } else { first };
            let free = self.buckets[other].free();
            if free != 0 {
                let held = self.held(position);
                let slot = free.trailing_zeros() as usize / 8;
                let bucket = other;
                self.put(Position { bucket, slot }, held);
                return Some(position);
            }
        }
        None
    }

    #[inline]
    fn held(&self, Position { bucket, slot }: Position) -> Held {
        let bucket = &self.buckets[bucket];
        Held {
            key: bucket.keys[slot],
            tag: bucket.tags[slot],
            value: bucket.values[slot],
            copies: bucket.copies[slot],
        }
    }

    #[inline]
    fn put(&mut self, Position { bucket, slot }: Position, held: Held) {
        let bucket = &mut self.buckets[bucket];
        bucket.keys[slot] = held.key;
        bucket.tags[slot] = held.tag;
        bucket.values[slot] = held.value;
        bucket.copies[slot] = held.copies;
    }

    #[cold]
    fn grow(&mut self) {
        let mut count = self.buckets.len();
        loop {
            count += count / 5 + BUCKETS_FIRST;
            let old = std::mem::replace(&mut self.buckets, Zeroed::new(count));
            if self.take_over(&old) {
                return;
            }
            self.buckets = old;
        }
    }

    /// Stores every key of a smaller table; false when one has no room. Homes keep their order, so
    /// that a key put into the same one of its two buckets lies where those before it have gone.
    fn take_over(&mut self, old: &[Bucket]) -> bool {
        for (number, bucket) in old.iter().enumerate() {
            for slot in 0..SLOTS {
                if bucket.tags[slot] == 0 {
                    continue;
                }
                let held = Held {
                    key: bucket.keys[slot],
                    tag: bucket.tags[slot],
                    value: bucket.values[slot],
                    copies: bucket.copies[slot],
                };
                let was_first = self.homes_in(held.key, old.len())[0] == number;
                let homes = self.homes(held.key);
                let same = homes[usize::from(!was_first)];
                let free = self.buckets[same].free();
                let position = if free == 0 {
                    self.free_position(held.key)
                } else {
                    let slot = free.trailing_zeros() as usize / 8;
                    Some(Position { bucket: same, slot })
                };
                match position {
                    Some(position) => self.put(position, held),
                    None => return false,
                }
            }
        }
        true
    }

    #[inline]
    fn homes(&self, key: u64) -> [usize; 2] {
        self.homes_in(key, self.buckets.len())
    }

    /// The two buckets of a key in a table of `count`; they may be the same.
    #[inline]
    fn homes_in(&self, key: u64, count: usize) -> [usize; 2] {
        let product = u128::from(key ^ self.seeds[0]) * u128::from(self.seeds[1]);
        let mixed = product as u64 ^ (product >> 64) as u64;
        let home = |half: u64| ((half * count as u64) >> 32) as usize;
        [home(mixed >> 32), home(mixed & 0xffff_ffff)]
    }
}

#[cfg(test)]
mod tests;
