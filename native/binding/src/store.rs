//! RequestStore for JavaScript: the data plane and the encoders use the same object directly.

#![deny(clippy::indexing_slicing)]

use napi::bindgen_prelude::{Buffer, Result};
use napi_derive::napi;
use warmpath_core::store::{Handle, RequestStore};

use crate::registry::Global;

pub static STORES: Global<RequestStore> = Global::new("request store");

#[napi(catch_unwind)]
pub fn store_create() -> u32 {
    STORES.insert(RequestStore::new())
}

#[napi(catch_unwind)]
pub fn store_close(store: u32) {
    STORES.remove(store);
}

/// Generation × 65,536 + slot, exact in a double; −1 when the store is full.
#[napi(catch_unwind)]
pub fn store_open(store: u32, bytes_hint: u32) -> Result<f64> {
    let opened = STORES.get(store)?.open(bytes_hint as usize);
    Ok(opened.map_or(-1.0, |handle| {
        f64::from(handle.generation) * 65_536.0 + f64::from(handle.slot)
    }))
}

/// 0 done, 1 stale, 2 too large, 3 full.
#[napi(catch_unwind)]
pub fn store_append(store: u32, slot: u32, generation: u32, chunk: &[u8]) -> Result<u32> {
    let handle = Handle { slot, generation };
    Ok(STORES.get(store)?.append(handle, chunk) as u32)
}

/// 0 done, 1 stale, 2 too large, 3 full, 4 out of bounds.
#[napi(catch_unwind)]
pub fn store_replace(
    store: u32,
    slot: u32,
    generation: u32,
    offset: u32,
    length: u32,
    text: &[u8],
) -> Result<u32> {
    let handle = Handle { slot, generation };
    let store = STORES.get(store)?;
    Ok(store.replace(handle, offset as usize, length as usize, text) as u32)
}

/// Copy of the body, null for a stale handle.
#[napi(catch_unwind)]
pub fn store_body(store: u32, slot: u32, generation: u32) -> Result<Option<Buffer>> {
    let body = STORES.get(store)?.body(Handle { slot, generation });
    Ok(body.map(|body| Buffer::from(body.to_vec())))
}

#[napi(catch_unwind)]
pub fn store_release(store: u32, slot: u32, generation: u32) -> Result<()> {
    STORES.get(store)?.release(Handle { slot, generation });
    Ok(())
}

/// Slots, then bytes in use.
#[napi(catch_unwind)]
pub fn store_usage(store: u32) -> Result<Vec<f64>> {
    let usage = STORES.get(store)?.usage();
    Ok(vec![usage.slots as f64, usage.bytes as f64])
}
