//! A key's slot: finding, inserting and deleting it on the writer's side, looking it up on the
//! reader's. Writers hold the lock of the key's home bucket, so the slots homed there are theirs
//! alone; free slots and overflow counts are shared with writers of other homes.

use super::memory::Memory;
use super::words::{Word, Words};
use crate::layout::index::{BUCKET_SLOTS, DISPLACEMENT_SHIFT, SET_ID_MASK, bucket, slot};

/// Multipliers that give each KV group keys of its own; odd, so no group shares bits with another.
const GROUP_LOW: u32 = 0x9e37_79b1;
const GROUP_HIGH: u32 = 0x85eb_ca77;
/// Words of a bucket that are tags, and that are set words, as `Words::equal` tells them.
const TAG_WORDS: u32 = 0x5554;
const SET_WORDS: u32 = 0xaaa8;

/// Where a key belongs, and what it is recognised by there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub home: usize,
    pub tag: u32,
}

/// A slot in use: word offset, and distance from the key's home.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub at: usize,
    pub set_word: u32,
}

impl Slot {
    #[inline]
    pub fn set_id(self) -> u32 {
        self.set_word & SET_ID_MASK as u32
    }

    #[inline]
    pub fn distance(self) -> usize {
        distance_of(self.set_word)
    }

    /// The set word with another id.
    #[inline]
    pub fn with_set(self, set_id: u32) -> u32 {
        (self.set_word & !(SET_ID_MASK as u32)) | set_id
    }
}

#[inline]
pub fn distance_of(set_word: u32) -> usize {
    (set_word >> DISPLACEMENT_SHIFT) as usize
}

impl Place {
    /// Place of `key` in KV group `group`.
    #[inline]
    pub fn of(key: u64, group: u32, bucket_count: usize) -> Self {
        let low = key as u32 ^ group.wrapping_mul(GROUP_LOW);
        let high = (key >> 32) as u32 ^ group.wrapping_mul(GROUP_HIGH);
        Self {
            home: ((u64::from(low >> 4) * bucket_count as u64) >> 28) as usize,
            tag: high.max(1),
        }
    }
}

/// The slot of a key; None when there is none. The home's lock is held.
#[inline]
pub fn find_slot<W: Words>(memory: &Memory<W>, place: Place) -> Option<Slot> {
    for distance in 0..=memory.layout.reach {
        let words = memory.bucket(place.home, distance);
        let mut tags = W::equal(words, place.tag) & TAG_WORDS;
        while tags != 0 {
            let tag_at = tags.trailing_zeros() as usize;
            let set_word = words[tag_at + slot::SET].get();
            if distance_of(set_word) == distance && set_word != 0 {
                let at = memory.bucket_at(place.home, distance) + tag_at;
                return Some(Slot { at, set_word });
            }
            tags &= tags - 1;
        }
        // Counts of this home's own keys change under its lock only.
        if words[bucket::OVERFLOW].get() == 0 {
            return None;
        }
    }
    None
}

/// Stores a key that is not there yet; false when every bucket it may lie in is full.
#[inline]
pub fn insert_slot<W: Words>(memory: &Memory<W>, place: Place, set_id: u32) -> bool {
    for distance in 0..=memory.layout.reach {
        let words = memory.bucket(place.home, distance);
        let set_word = (distance as u32) << DISPLACEMENT_SHIFT | set_id;
        let mut free = W::equal(words, 0) & SET_WORDS;
        while free != 0 {
            let set_at = free.trailing_zeros() as usize;
            if words[set_at].swap_if(0, set_word).is_ok() {
                words[set_at - slot::SET].set(place.tag);
                return true;
            }
            free &= free - 1;
        }
        // Counted before the key is stored further on, so that no reader stops short of it.
        words[bucket::OVERFLOW].add(1);
    }
    release_overflow(memory, place.home, memory.layout.reach + 1);
    false
}

/// Deletes a slot homed at `home`. The tag goes first: a slot is taken again by its set word.
pub fn delete_slot<W: Words>(memory: &Memory<W>, home: usize, found: Slot) {
    let words = memory.words.run::<{ slot::WORDS }>(found.at);
    words[slot::TAG].set(0);
    words[slot::SET].set(0);
    release_overflow(memory, home, found.distance());
}

fn release_overflow<W: Words>(memory: &Memory<W>, home: usize, bucket_count: usize) {
    for distance in 0..bucket_count {
        memory.bucket(home, distance)[bucket::OVERFLOW].sub(1);
    }
}

/// Id of the endpoint set stored under a key, 0 when there is none. Takes no lock.
#[inline(always)]
pub fn probe<W: Words>(memory: &Memory<W>, place: Place) -> u32 {
    let words = memory.home(place);
    let tags = W::equal(words, place.tag) & TAG_WORDS;
    if tags != 0 {
        let tag_at = tags.trailing_zeros() as usize & (bucket::WORDS - 2);
        let set_word = W::set_word(&words[tag_at], &words[tag_at + slot::SET], place.tag);
        // At distance 0 the set word is the id.
        if let Some(set_id) = set_word
            && set_id <= SET_ID_MASK as u32
        {
            return set_id;
        }
    } else if words[bucket::OVERFLOW].get() == 0 {
        return 0;
    }
    probe_on(memory, place)
}

/// `probe` of a key that is not the first of its tag at home: it lies further on, or nowhere.
#[inline(never)]
fn probe_on<W: Words>(memory: &Memory<W>, place: Place) -> u32 {
    for distance in 0..=memory.layout.reach {
        let words = memory.bucket(place.home, distance);
        let mut tags = W::equal(words, place.tag) & TAG_WORDS;
        while tags != 0 {
            let tag_at = tags.trailing_zeros() as usize;
            // The slot may have changed hands since; then its set may be another key's.
            match W::set_word(&words[tag_at], &words[tag_at + slot::SET], place.tag) {
                Some(set_word) if distance_of(set_word) == distance => {
                    return set_word & SET_ID_MASK as u32;
                }
                _ => tags &= tags - 1,
            }
        }
        if words[bucket::OVERFLOW].get() == 0 {
            return 0;
        }
    }
    0
}

/// Slots of a bucket that hold a key, as (offset in the bucket, slot).
pub fn used_slots<W: Words>(
    memory: &Memory<W>,
    home: usize,
    distance: usize,
) -> impl Iterator<Item = Slot> + '_ {
    let first = memory.bucket_at(home, distance) + bucket::SLOTS;
    (0..BUCKET_SLOTS).filter_map(move |number| {
        let at = first + number * slot::WORDS;
        let [tag, set] = memory.words.run::<{ slot::WORDS }>(at);
        if tag.get() == 0 {
            return None;
        }
        let set_word = set.get();
        (set_word != 0).then_some(Slot { at, set_word })
    })
}
