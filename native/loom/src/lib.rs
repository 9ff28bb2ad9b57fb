//! The memory of a block index under loom: the code of `warmpath_core::index` runs on it unchanged,
//! and loom tries every order of the accesses to the words that threads share. `Fault` breaks one
//! rule of the protocol, for the negative controls. Models: `tests/`.
//!
//! Loom looks for orders to try where a thread writes what another accessed last, and a thread's own
//! read in between hides that. So models have the writer begin and the reader, which only reads,
//! come second: every read is then moved before every write it depends on.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU32 as PlainWord;

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use warmpath_core::index::{Layout, Memory, Word, Words, set_word_narrow};

/// Which rules hold.
pub trait Fault: Clone + Send + Sync + 'static {
    /// The reader looks at the tag again after it has read the set word.
    const CHECK_TAG: bool = true;
    /// Overflow counts change by one atomic access.
    const ATOMIC_COUNTS: bool = true;
    /// A lock is taken by compare-and-swap.
    const EXCLUSIVE_LOCK: bool = true;
    /// `setsGeneration` rises before set ids are used again.
    const RAISE_GENERATION: bool = true;
}

#[derive(Clone)]
pub struct Sound;
impl Fault for Sound {}

#[derive(Clone)]
pub struct TagUnchecked;
impl Fault for TagUnchecked {
    const CHECK_TAG: bool = false;
}

#[derive(Clone)]
pub struct CountsNotAtomic;
impl Fault for CountsNotAtomic {
    const ATOMIC_COUNTS: bool = false;
}

#[derive(Clone)]
pub struct LockNotExclusive;
impl Fault for LockNotExclusive {
    const EXCLUSIVE_LOCK: bool = false;
}

#[derive(Clone)]
pub struct GenerationNotRaised;
impl Fault for GenerationNotRaised {
    const RAISE_GENERATION: bool = false;
}

/// How a slot is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// Tag, set word, tag: 32-bit accesses only.
    Narrow,
    /// Both at once, written by halves, as x86-64 does with aligned memory.
    Wide,
}

/// One word. Those that only one thread touches, or that a lock guards which another model shows to
/// exclude, stay out of loom's sight, so that models end.
pub enum LoomWord<F> {
    Private(PlainWord),
    Shared(AtomicU32),
    /// Half of a slot: the lower one or the upper one.
    Half(Arc<AtomicU64>, u32),
    /// Never changes.
    Frozen(PhantomData<F>),
}

impl<F: Fault> Word for LoomWord<F> {
    fn get(&self) -> u32 {
        match self {
            Self::Private(word) => word.load(Ordering::Relaxed),
            Self::Shared(word) => word.load(Ordering::Acquire),
            Self::Half(pair, shift) => (pair.load(Ordering::Acquire) >> shift) as u32,
            Self::Frozen(_) => 0,
        }
    }

    fn get_ordered(&self) -> u32 {
        match self {
            Self::Shared(word) => word.load(Ordering::SeqCst),
            other => other.get(),
        }
    }

    fn set(&self, value: u32) {
        match self {
            Self::Private(word) => word.store(value, Ordering::Relaxed),
            Self::Shared(word) => word.store(value, Ordering::Release),
            Self::Half(..) => {
                self.change(|_| value);
            }
            Self::Frozen(_) => {}
        }
    }

    fn swap_if(&self, current: u32, new: u32) -> Result<(), u32> {
        if let Self::Shared(word) = self {
            if F::EXCLUSIVE_LOCK {
                return word
                    .compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
                    .map(drop);
            }
            let found = word.load(Ordering::SeqCst);
            if found == current {
                word.store(new, Ordering::SeqCst);
            }
            return if found == current { Ok(()) } else { Err(found) };
        }
        let found = self.change(|word| if word == current { new } else { word });
        if found == current { Ok(()) } else { Err(found) }
    }

    fn add(&self, value: u32) -> u32 {
        match self {
            Self::Shared(word) if F::ATOMIC_COUNTS => word.fetch_add(value, Ordering::SeqCst),
            other => other.change(|word| word.wrapping_add(value)),
        }
    }

    fn sub(&self, value: u32) -> u32 {
        match self {
            Self::Shared(word) if F::ATOMIC_COUNTS => word.fetch_sub(value, Ordering::SeqCst),
            other => other.change(|word| word.wrapping_sub(value)),
        }
    }

    fn or(&self, value: u32) -> u32 {
        match self {
            Self::Shared(word) => word.fetch_or(value, Ordering::SeqCst),
            other => other.change(|word| word | value),
        }
    }

    fn and(&self, value: u32) -> u32 {
        match self {
            Self::Shared(word) => word.fetch_and(value, Ordering::SeqCst),
            other => other.change(|word| word & value),
        }
    }
}

impl<F: Fault> LoomWord<F> {
    /// Changes a word that is not shared, or half of a slot by one access, or (as a fault) a
    /// shared word by two; what it was.
    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        match self {
            Self::Private(word) => {
                let found = word.load(Ordering::Relaxed);
                word.store(change(found), Ordering::Relaxed);
                found
            }
            Self::Shared(word) => {
                let found = word.load(Ordering::SeqCst);
                word.store(change(found), Ordering::SeqCst);
                found
            }
            Self::Half(pair, shift) => {
                let other = !(u64::from(u32::MAX) << shift);
                let changed = pair.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |found| {
                    let half = change((found >> shift) as u32);
                    Some(found & other | u64::from(half) << shift)
                });
                (changed.unwrap_or_default() >> shift) as u32
            }
            Self::Frozen(_) => 0,
        }
    }
}

/// Words of an index in which each bucket has `SLOTS_IN_PLAY` slots.
pub struct LoomWords<F> {
    words: Arc<Vec<LoomWord<F>>>,
}

impl<F> Clone for LoomWords<F> {
    fn clone(&self) -> Self {
        Self {
            words: Arc::clone(&self.words),
        }
    }
}

const SLOTS_IN_PLAY: usize = 1;
/// Words of a bucket: lock, overflow count, slots.
const SLOTS_AT: usize = 2;
const BUCKET_WORDS: usize = 16;
const SLOTS_END: usize = SLOTS_AT + 2 * SLOTS_IN_PLAY;

impl<F: Fault> Words for LoomWords<F> {
    type Word = LoomWord<F>;

    fn len(&self) -> usize {
        self.words.len()
    }

    fn run<const N: usize>(&self, at: usize) -> &[LoomWord<F>; N] {
        match self.words[at..].first_chunk::<N>() {
            Some(run) => run,
            None => unreachable!("models stay inside"),
        }
    }

    /// Only slots in play are looked at; the others look used and hold no tag of a model.
    fn equal(words: &[LoomWord<F>; BUCKET_WORDS], value: u32) -> u32 {
        let parity = usize::from(value == 0);
        (SLOTS_AT..SLOTS_END)
            .filter(|at| at % 2 == parity && words[*at].get() == value)
            .fold(0, |mask, at| mask | 1 << at)
    }

    fn set_word(tag_word: &LoomWord<F>, set_word: &LoomWord<F>, tag: u32) -> Option<u32> {
        if !F::CHECK_TAG {
            return Some(set_word.get());
        }
        if let LoomWord::Half(pair, _) = tag_word {
            let both = pair.load(Ordering::Acquire);
            return (both as u32 == tag).then_some((both >> 32) as u32);
        }
        set_word_narrow(tag_word, set_word, tag)
    }

    fn nap() {
        loom::thread::yield_now();
    }
}

/// An empty index of `bucket_count` buckets and three endpoint sets, whose buckets, set bits and
/// reader's state words are shared.
pub fn create<F: Fault>(bucket_count: usize, slots: Slots) -> Memory<LoomWords<F>> {
    use warmpath_core::layout::index::{masks, state};
    let (layout, count) = Layout::place(bucket_count, 32, 4);
    let generation = layout.state + state::SETS_GENERATION;
    let set_bits = layout.set_bits..layout.set_bits + 16;
    let alive = layout.masks + masks::ALIVE * layout.mask_words;
    let seen = [
        layout.state + state::EPOCH,
        layout.state + state::SUSPENDED,
        generation,
        alive,
    ];
    let mut words: Vec<LoomWord<F>> = Vec::with_capacity(count);
    let mut pair = Arc::new(AtomicU64::new(0));
    for at in 0..count {
        let in_bucket = at.checked_sub(layout.buckets).map(|at| at % BUCKET_WORDS);
        let is_slot = in_bucket.is_some_and(|at| (SLOTS_AT..SLOTS_END).contains(&at));
        let is_head = in_bucket.is_some_and(|at| at < SLOTS_AT);
        words.push(if at == generation && !F::RAISE_GENERATION {
            LoomWord::Frozen(PhantomData)
        } else if is_slot && slots == Slots::Wide {
            let is_tag = at % 2 == 0;
            if is_tag {
                pair = Arc::new(AtomicU64::new(0));
            }
            LoomWord::Half(Arc::clone(&pair), if is_tag { 0 } else { 32 })
        } else if is_slot || is_head || seen.contains(&at) || set_bits.contains(&at) {
            LoomWord::Shared(AtomicU32::new(0))
        } else {
            LoomWord::Private(PlainWord::new(0))
        });
    }
    Memory::create(
        LoomWords {
            words: Arc::new(words),
        },
        layout,
    )
}
