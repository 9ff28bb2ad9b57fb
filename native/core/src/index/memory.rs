//! Where the regions of an index lie, checked when its memory is opened: everything that is
//! addressed afterwards lies inside. `src/contracts/index-layout.ts` states layout and protocol.

use super::buckets::Place;
use super::words::{Word, Words};
use crate::layout::index::{
    BUCKETS_MAX, DISPLACEMENT_MAX, INDEX_LAYOUT_VERSION, INDEX_MAGIC, INDEX_WRITERS_MAX,
    SET_ID_MASK, bucket, masks, preamble, set_meta, state, virtual_endpoint, writer,
};
use crate::layout::limits::ENDPOINTS_MAX;

/// Tiers of a set, in this order: `contracts/block.ts`.
pub const TIER_COUNT: usize = 4;

/// Sizes, and where the regions begin, in words.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub bucket_count: usize,
    /// Furthest a key lies from its home.
    pub reach: usize,
    pub endpoint_capacity: usize,
    pub mask_words: usize,
    pub set_capacity: usize,
    pub intern_capacity: usize,
    pub state: usize,
    pub writers: usize,
    pub endpoints: usize,
    pub masks: usize,
    pub set_meta: usize,
    pub intern: usize,
    pub set_bits: usize,
    pub buckets: usize,
}

/// An opened index. Copies name the same memory.
#[derive(Clone)]
pub struct Memory<W> {
    pub words: W,
    pub layout: Layout,
}

/// Bit masks over virtual endpoint ids.
#[derive(Clone, Copy)]
pub enum Mask {
    Opened = masks::OPENED as isize,
    Alive = masks::ALIVE as isize,
    Windowed = masks::WINDOWED as isize,
    Dropped = masks::DROPPED as isize,
    Stripping = masks::STRIPPING as isize,
}

impl<W: Words> Memory<W> {
    /// Opens an index that `createBlockIndex` has allocated; an error names what is wrong with it.
    pub fn open(words: W) -> Result<Self, String> {
        if words.len() < preamble::WORDS {
            return Err(format!("{} words are no block index", words.len()));
        }
        let read = |field: usize| words.word(field).get() as usize;
        if read(preamble::MAGIC) != INDEX_MAGIC {
            return Err("the buffer holds no block index".to_owned());
        }
        if read(preamble::VERSION) != INDEX_LAYOUT_VERSION {
            let version = read(preamble::VERSION);
            return Err(format!("the block index has layout version {version}"));
        }
        let bucket_count = read(preamble::BUCKET_COUNT);
        let endpoint_capacity = read(preamble::ENDPOINT_CAPACITY);
        let layout = Layout {
            bucket_count,
            reach: DISPLACEMENT_MAX.min(bucket_count.saturating_sub(1)),
            endpoint_capacity,
            mask_words: endpoint_capacity / 32,
            set_capacity: read(preamble::SET_CAPACITY),
            intern_capacity: read(preamble::INTERN_CAPACITY),
            state: read(preamble::STATE),
            writers: read(preamble::WRITERS),
            endpoints: read(preamble::ENDPOINTS),
            masks: read(preamble::MASKS),
            set_meta: read(preamble::SET_META),
            intern: read(preamble::INTERN),
            set_bits: read(preamble::SET_BITS),
            buckets: read(preamble::BUCKETS),
        };
        layout.check(words.len())?;
        Ok(Self { words, layout })
    }

    #[inline]
    pub fn word(&self, at: usize) -> &W::Word {
        self.words.word(at)
    }

    #[inline]
    pub fn state(&self, field: usize) -> &W::Word {
        self.words.word(self.layout.state + field)
    }

    /// The words of the bucket `distance` ≤ `reach` after `home`, wrapping.
    #[inline]
    pub fn bucket(&self, home: usize, distance: usize) -> &[W::Word; bucket::WORDS] {
        self.words.run(self.bucket_at(home, distance))
    }

    /// The words of a key's home bucket, for the loop that looks up whole prompts.
    #[inline]
    pub fn home(&self, place: Place) -> &[W::Word; bucket::WORDS] {
        let home = place.home.min(self.layout.bucket_count - 1);
        // SAFETY: `open` has checked that all `bucket_count` ≥ 1 buckets lie inside the words.
        unsafe {
            self.words
                .run_unchecked(self.layout.buckets + home * bucket::WORDS)
        }
    }

    #[inline]
    pub fn bucket_at(&self, home: usize, distance: usize) -> usize {
        let bucket = home + distance;
        let wrapped = if bucket < self.layout.bucket_count {
            bucket
        } else {
            bucket - self.layout.bucket_count
        };
        self.layout.buckets + wrapped * bucket::WORDS
    }

    #[inline]
    pub fn mask(&self, mask: Mask, word: usize) -> &W::Word {
        let at = self.layout.masks + mask as usize * self.layout.mask_words + word;
        self.words.word(at)
    }

    /// A field of a virtual endpoint's record.
    #[inline]
    pub fn endpoint(&self, id: usize, field: usize) -> &W::Word {
        let at = self.layout.endpoints + id * virtual_endpoint::WORDS + field;
        self.words.word(at)
    }

    /// Word offset of a set's bits; those of the empty set for an id that no memory in order holds.
    #[inline]
    pub fn set_bits_at(&self, set_id: u32) -> usize {
        let id = set_id as usize;
        let known = if id < self.layout.set_capacity { id } else { 0 };
        self.layout.set_bits + known * TIER_COUNT * self.layout.mask_words
    }

    /// A field of a set's description; ids beyond the table are a fault and unwind.
    #[inline]
    pub fn set_meta(&self, set_id: u32, field: usize) -> &W::Word {
        let id = set_id as usize;
        assert!(id < self.layout.set_capacity, "endpoint set {id} exists");
        let at = self.layout.set_meta + id * set_meta::WORDS + field;
        self.words.word(at)
    }

    /// Whether writers must stop and readers report nothing.
    #[inline]
    pub fn is_suspended(&self) -> bool {
        self.state(state::SUSPENDED).get() != 0
    }

    pub fn suspend(&self) {
        self.state(state::SUSPENDED).set(1);
    }
}

impl Layout {
    /// Whether sizes are in their bounds and the regions follow each other inside `words` words.
    fn check(&self, words: usize) -> Result<(), String> {
        let sizes = (1..=BUCKETS_MAX).contains(&self.bucket_count)
            && (64..=ENDPOINTS_MAX).contains(&self.endpoint_capacity)
            && self.endpoint_capacity.is_multiple_of(64)
            && (2..=SET_ID_MASK).contains(&self.set_capacity)
            && self.intern_capacity.is_power_of_two()
            && self.intern_capacity > self.set_capacity;
        if !sizes {
            return Err(format!("the block index has impossible sizes: {self:?}"));
        }
        let mut end = preamble::WORDS;
        for (start, length) in [
            (self.state, state::WORDS),
            (self.writers, INDEX_WRITERS_MAX * writer::WORDS),
            (
                self.endpoints,
                self.endpoint_capacity * virtual_endpoint::WORDS,
            ),
            (self.masks, masks::COUNT * self.mask_words),
            (self.set_meta, self.set_capacity * set_meta::WORDS),
            (self.intern, self.intern_capacity),
            (
                self.set_bits,
                self.set_capacity * TIER_COUNT * self.mask_words,
            ),
            (self.buckets, self.bucket_count * bucket::WORDS),
        ] {
            if start < end {
                return Err(format!("regions of the block index overlap: {self:?}"));
            }
            end = start + length;
        }
        if end > words {
            return Err(format!(
                "the block index needs {end} words, the buffer has {words}"
            ));
        }
        Ok(())
    }
}
