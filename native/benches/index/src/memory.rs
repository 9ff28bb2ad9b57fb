//! Memory for an index as V8 would have it: lazily committed, 16 bytes past a line.

use warmpath_core::shared_words::SharedWords;

const PAGE: usize = 2 << 20;

/// Mapped words; unmapped when dropped.
pub struct Table {
    pub words: SharedWords,
    base: *mut libc::c_void,
    length: usize,
}

impl Table {
    pub fn new(words: usize, large_pages: bool) -> Self {
        let length = (words * 4 + 16).next_multiple_of(PAGE) + PAGE;
        // SAFETY: a fresh private mapping; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "memory can be mapped");
        if !large_pages {
            // SAFETY: the mapping just made; advice changes no contents.
            unsafe { libc::madvise(base, length, libc::MADV_NOHUGEPAGE) };
        }
        let first = base.cast::<u8>().wrapping_add(16);
        // SAFETY: inside the mapping, which lives as long as `self`; copies of the words are not
        // used beyond that.
        let shared = unsafe { SharedWords::new(first, words * 4) };
        Self {
            words: shared.unwrap_or_else(|| unreachable!("a page is aligned")),
            base,
            length,
        }
    }

    pub fn bytes(&self) -> usize {
        self.words.len() * 4
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`.
        unsafe { libc::munmap(self.base, self.length) };
    }
}
