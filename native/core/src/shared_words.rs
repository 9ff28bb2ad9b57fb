//! Words of a SharedArrayBuffer that JavaScript threads use at the same time. Everything read from
//! or written to such memory goes through here, as 32-bit atomics.

use std::sync::atomic::{AtomicU32, Ordering};

/// A run of 32-bit words owned by JavaScript. Copies name the same memory.
#[derive(Clone, Copy)]
pub struct SharedWords {
    base: *const AtomicU32,
    words: usize,
}

// SAFETY: the memory is only touched through atomics, and `new` promises that it outlives the copies.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Names `bytes / 4` words from `base`; null when the base is not a multiple of 4.
    ///
    /// # Safety
    /// The memory stays mapped while this value or a copy of it is used: the caller holds a strong
    /// reference to its SharedArrayBuffer until then.
    pub unsafe fn new(base: *const u8, bytes: usize) -> Option<Self> {
        // An empty view may have any address.
        let base = if bytes == 0 {
            std::ptr::dangling()
        } else {
            base.cast::<AtomicU32>()
        };
        base.is_aligned().then_some(Self {
            base,
            words: bytes / 4,
        })
    }

    pub fn len(&self) -> usize {
        self.words
    }

    pub fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// The word at `at`. Indices come from layouts that were checked when the memory was opened;
    /// one outside is a fault of the program and unwinds.
    #[inline]
    pub fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at < self.words, "word {at} of {} shared words", self.words);
        // SAFETY: inside the run, which `new` promises to be mapped.
        unsafe { &*self.base.add(at) }
    }

    /// `N` words from `at`, on the terms of `word`.
    #[inline]
    pub fn run<const N: usize>(&self, at: usize) -> &[AtomicU32; N] {
        let fits = at.checked_add(N).is_some_and(|end| end <= self.words);
        assert!(fits, "words {at} to {at} + {N} of {}", self.words);
        // SAFETY: inside the run, which `new` promises to be mapped.
        unsafe { &*self.base.add(at).cast::<[AtomicU32; N]>() }
    }

    /// `N` words from `at`, unchecked.
    ///
    /// # Safety
    /// `at + N` is at most `len`.
    #[inline]
    pub unsafe fn run_unchecked<const N: usize>(&self, at: usize) -> &[AtomicU32; N] {
        debug_assert!(at + N <= self.words);
        // SAFETY: inside the run, as the caller promises, which `new` promises to be mapped.
        unsafe { &*self.base.add(at).cast::<[AtomicU32; N]>() }
    }

    #[inline]
    pub fn load(&self, at: usize, ordering: Ordering) -> u32 {
        self.word(at).load(ordering)
    }

    #[inline]
    pub fn store(&self, at: usize, value: u32, ordering: Ordering) {
        self.word(at).store(value, ordering);
    }

    /// Address of the word at `at`, for prefetching.
    #[inline]
    pub fn address(&self, at: usize) -> *const u8 {
        self.base.wrapping_add(at).cast()
    }
}
