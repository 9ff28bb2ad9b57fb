//! The words of an index as the protocol sees them. Production code works on a SharedArrayBuffer;
//! the models of `native/loom` put loom's atomics behind the same two traits, so that they check
//! the code that runs. What each ordering pairs with is in `native/ORDERING.md`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::layout::index::bucket;
use crate::pages;
use crate::shared_words::SharedWords;

/// One sleep while waiting for a lock. Nobody wakes a sleeper, which keeps releasing cheap.
const NAP: Duration = Duration::from_millis(5);
/// A slot that changes under the reader this often is reported absent.
const RETRIES_MAX: usize = 3;

/// One shared 32-bit word.
pub trait Word {
    /// Acquire: what was stored before the value seen is seen too.
    fn get(&self) -> u32;
    /// Load that takes part in the single order of `swap_if` and the other changes.
    fn get_ordered(&self) -> u32;
    /// Release: whoever sees the value sees what was stored before it.
    fn set(&self, value: u32);
    /// Stores `new` if the word is `current`; the value found otherwise.
    fn swap_if(&self, current: u32, new: u32) -> Result<(), u32>;
    fn add(&self, value: u32) -> u32;
    fn sub(&self, value: u32) -> u32;
    fn or(&self, value: u32) -> u32;
    fn and(&self, value: u32) -> u32;
}

/// All words of an index. Copies name the same memory.
pub trait Words: Clone {
    type Word: Word;

    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `N` words from `at`. Outside is a fault of the program and unwinds.
    fn run<const N: usize>(&self, at: usize) -> &[Self::Word; N];

    /// `N` words from `at`, unchecked where checking costs.
    ///
    /// # Safety
    /// `at + N` is at most `len`.
    #[inline]
    unsafe fn run_unchecked<const N: usize>(&self, at: usize) -> &[Self::Word; N] {
        self.run(at)
    }

    #[inline]
    fn word(&self, at: usize) -> &Self::Word {
        &self.run::<1>(at)[0]
    }

    /// Which words of a bucket equal `value`, one bit each. The words are read one by one.
    #[inline]
    fn equal(words: &[Self::Word; bucket::WORDS], value: u32) -> u32 {
        let mut mask = 0;
        for (at, word) in words.iter().enumerate() {
            mask |= u32::from(word.get() == value) << at;
        }
        mask
    }

    /// Set word of a slot in which `tag` was seen; None when it no longer holds that tag.
    #[inline]
    fn set_word(tag_word: &Self::Word, set_word: &Self::Word, tag: u32) -> Option<u32> {
        set_word_narrow(tag_word, set_word, tag)
    }

    /// Begins to load the line of the word at `at`.
    fn prefetch(&self, _at: usize) {}

    /// Asks for large pages for the words between two offsets.
    fn advise_large_pages(&self, _from: usize, _to: usize) {}

    /// Sleeps a little.
    fn nap() {
        std::thread::sleep(NAP);
    }
}

/// Tag, set word, tag again, as the portable core reads them.
#[inline]
pub fn set_word_narrow<T: Word>(tag_word: &T, set_word: &T, tag: u32) -> Option<u32> {
    for _ in 0..=RETRIES_MAX {
        if tag_word.get() != tag {
            return None;
        }
        let found = set_word.get();
        if tag_word.get() == tag {
            return Some(found);
        }
    }
    None
}

impl Word for AtomicU32 {
    #[inline]
    fn get(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn get_ordered(&self) -> u32 {
        self.load(Ordering::SeqCst)
    }

    #[inline]
    fn set(&self, value: u32) {
        self.store(value, Ordering::Release);
    }

    #[inline]
    fn swap_if(&self, current: u32, new: u32) -> Result<(), u32> {
        self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
    }

    #[inline]
    fn add(&self, value: u32) -> u32 {
        self.fetch_add(value, Ordering::SeqCst)
    }

    #[inline]
    fn sub(&self, value: u32) -> u32 {
        self.fetch_sub(value, Ordering::SeqCst)
    }

    #[inline]
    fn or(&self, value: u32) -> u32 {
        self.fetch_or(value, Ordering::SeqCst)
    }

    #[inline]
    fn and(&self, value: u32) -> u32 {
        self.fetch_and(value, Ordering::SeqCst)
    }
}

impl Words for SharedWords {
    type Word = AtomicU32;

    #[inline]
    fn len(&self) -> usize {
        SharedWords::len(self)
    }

    #[inline]
    fn run<const N: usize>(&self, at: usize) -> &[AtomicU32; N] {
        SharedWords::run(self, at)
    }

    #[inline]
    unsafe fn run_unchecked<const N: usize>(&self, at: usize) -> &[AtomicU32; N] {
        // SAFETY: the caller promises the same.
        unsafe { SharedWords::run_unchecked(self, at) }
    }

    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn equal(words: &[AtomicU32; bucket::WORDS], value: u32) -> u32 {
        wide::equal(words, value)
    }

    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn set_word(tag_word: &AtomicU32, set_word: &AtomicU32, tag: u32) -> Option<u32> {
        wide::set_word(tag_word, set_word, tag)
    }

    fn advise_large_pages(&self, from: usize, to: usize) {
        let end = to.min(SharedWords::len(self));
        pages::advise_large_pages(self.address(from), end.saturating_sub(from) * 4);
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        pages::prefetch(self.address(at));
    }
}

/// Loads of more than a word, in assembly: to the language they are so many 32-bit atomic loads,
/// which nothing came between.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod wide {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_set1_epi32,
    };
    use std::sync::atomic::AtomicU32;

    use super::bucket;

    #[inline]
    pub fn equal(words: &[AtomicU32; bucket::WORDS], value: u32) -> u32 {
        let base = words.as_ptr();
        let (first, second, third, fourth): (__m128i, __m128i, __m128i, __m128i);
        // SAFETY: the array is 64 readable bytes; movdqu needs no alignment, and the words are
        // atomics, so no exclusive reference to them exists. Each 4-byte word, aligned, is read
        // whole; the four loads need not be one.
        unsafe {
            asm!(
                "movdqu {a}, [{p}]",
                "movdqu {b}, [{p} + 16]",
                "movdqu {c}, [{p} + 32]",
                "movdqu {d}, [{p} + 48]",
                p = in(reg) base,
                a = out(xmm_reg) first,
                b = out(xmm_reg) second,
                c = out(xmm_reg) third,
                d = out(xmm_reg) fourth,
                options(readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let wanted = _mm_set1_epi32(value.cast_signed());
            let low = _mm_packs_epi32(
                _mm_cmpeq_epi32(first, wanted),
                _mm_cmpeq_epi32(second, wanted),
            );
            let high = _mm_packs_epi32(
                _mm_cmpeq_epi32(third, wanted),
                _mm_cmpeq_epi32(fourth, wanted),
            );
            _mm_movemask_epi8(_mm_packs_epi16(low, high)).cast_unsigned()
        }
    }

    #[inline]
    pub fn set_word(tag_word: &AtomicU32, set_word: &AtomicU32, tag: u32) -> Option<u32> {
        let slot = tag_word.as_ptr().cast::<u64>();
        if !slot.is_aligned() {
            return super::set_word_narrow(tag_word, set_word, tag);
        }
        let pair: u64;
        // SAFETY: tag and set word are neighbours in one bucket, so 8 bytes can be read; aligned,
        // x86-64 reads them at once.
        unsafe {
            asm!(
                "mov {pair}, [{slot}]",
                slot = in(reg) slot,
                pair = out(reg) pair,
                options(readonly, nostack, preserves_flags),
            );
        }
        (pair as u32 == tag).then_some((pair >> 32) as u32)
    }
}
