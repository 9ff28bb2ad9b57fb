//! Memory for large tables that are read at random: in pages of 2 MiB where the system has them, a
//! page-table walk for nearly every access (several times the access itself on a virtual machine) is
//! spared.

/// Size of a large page.
pub const LARGE_PAGE: usize = 2 << 20;

/// Asks for large pages in the whole ones between two addresses. Contents do not change, and where
/// the system does not do it nothing happens.
pub fn advise_large_pages(start: *const u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let first = (start as usize).next_multiple_of(LARGE_PAGE);
        let end = (start as usize + bytes) / LARGE_PAGE * LARGE_PAGE;
        if first < end {
            // SAFETY: whole pages inside memory of the caller; this advice changes no contents.
            unsafe { libc::madvise(first as *mut _, end - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (start, bytes);
}

/// Begins to load the line at an address.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// A type of which all-zero bytes are a value.
///
/// # Safety
/// Zeroed memory of the type's size and alignment is a valid value, and the type has no drop code.
pub unsafe trait Zeroable: Copy {}

/// `count` zeroed values, in large pages when there are enough of them.
pub struct Zeroed<T: Zeroable> {
    start: std::ptr::NonNull<T>,
    count: usize,
    layout: std::alloc::Layout,
}

impl<T: Zeroable> Zeroed<T> {
    /// Allocates; like every allocation it ends the process when there is no memory.
    pub fn new(count: usize) -> Self {
        let bytes = count.max(1) * size_of::<T>();
        let align = if bytes >= LARGE_PAGE {
            LARGE_PAGE
        } else {
            align_of::<T>()
        };
        let Ok(layout) = std::alloc::Layout::from_size_align(bytes, align) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<T>());
        };
        // SAFETY: the layout has a size.
        let memory = unsafe { std::alloc::alloc(layout) };
        let Some(start) = std::ptr::NonNull::new(memory.cast::<T>()) else {
            std::alloc::handle_alloc_error(layout);
        };
        advise_large_pages(memory, bytes);
        // SAFETY: `bytes` bytes were just allocated.
        unsafe { memory.write_bytes(0, bytes) };
        Self {
            start,
            count,
            layout,
        }
    }
}

impl<T: Zeroable> std::ops::Deref for Zeroed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `count` values were allocated and zeroed, which `Zeroable` promises to be values.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T: Zeroable> std::ops::DerefMut for Zeroed<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl<T: Zeroable> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout; the values have no drop code.
        unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), self.layout) };
    }
}

// SAFETY: it owns its values as a Vec does.
unsafe impl<T: Zeroable + Send> Send for Zeroed<T> {}
