//! What every part of the binding uses: the version, and shared memory as Rust sees it.

#![deny(clippy::indexing_slicing)]

use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;
use warmpath_core::shared_words::SharedWords;

/// Version the addon was built from; the loader takes no other.
#[napi(catch_unwind)]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A view over a SharedArrayBuffer, held so that JavaScript cannot free the memory under us.
pub struct HeldMemory {
    pub words: SharedWords,
    _view: Uint8Array,
}

impl HeldMemory {
    /// Holds `view`, which must cover the whole buffer.
    pub fn new(view: Uint8Array) -> Result<Self> {
        // SAFETY: `_view` is a strong reference to the buffer, dropped after `words`.
        let words = unsafe { SharedWords::new(view.as_ptr(), view.len()) };
        let words =
            words.ok_or_else(|| Error::from_reason("shared memory is not aligned to 4 bytes"))?;
        Ok(Self { words, _view: view })
    }
}
