//! The native RequestStore: request bodies in Rust memory, named by handles. The data plane fills
//! it, prompt encoders and forwarding read it without copying; JavaScript sees handles only.

#![deny(clippy::indexing_slicing)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

use crate::layout::limits::{BODY_BYTES_MAX, BODY_STORE_BYTES, REQUESTS_IN_FLIGHT_MAX};

/// Names a body. Odd generations are open, even ones free, so a stale handle never names another
/// request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub slot: u32,
    pub generation: u32,
}

/// Outcome of `append`; numbers cross to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    Done = 0,
    Stale = 1,
    TooLarge = 2,
    Full = 3,
}

/// Outcome of `replace`; numbers cross to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    Done = 0,
    Stale = 1,
    TooLarge = 2,
    Full = 3,
    OutOfBounds = 4,
}

/// Slots and bytes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreUsage {
    pub slots: usize,
    pub bytes: usize,
}

/// Most memory that a free slot keeps: most bodies come again and again in this size, and all slots
/// together keep 32 MiB.
const SPARE_BYTES_MAX: usize = 4096;

/// A body while it grows, then as it stays.
enum Body {
    Growing(BytesMut),
    Whole(Bytes),
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Self::Growing(body) => body.len(),
            Self::Whole(body) => body.len(),
        }
    }

    fn growing(&mut self) -> &mut BytesMut {
        if let Self::Whole(body) = self {
            *self = Self::Growing(BytesMut::from(std::mem::take(body)));
        }
        match self {
            Self::Growing(body) => body,
            Self::Whole(_) => unreachable!("replaced above"),
        }
    }

    /// Its memory, emptied, if it is small and nobody else has a part of it.
    fn into_spare(self) -> Option<BytesMut> {
        let mut memory = match self {
            Self::Growing(body) => body,
            Self::Whole(body) => body.try_into_mut().ok()?,
        };
        memory.clear();
        (memory.capacity() <= SPARE_BYTES_MAX).then_some(memory)
    }

    fn whole(&mut self) -> Bytes {
        if let Self::Growing(body) = self {
            *self = Self::Whole(std::mem::take(body).freeze());
        }
        match self {
            Self::Whole(body) => body.clone(),
            Self::Growing(_) => unreachable!("replaced above"),
        }
    }
}

struct Slot {
    generation: u32,
    body: Body,
    /// Emptied memory of an earlier body, for the next one.
    spare: BytesMut,
    /// Request keys of the prompt's blocks, once encoded; kept for speculative residencies.
    keys: Vec<u64>,
}

/// Bodies of all requests in flight.
pub struct RequestStore {
    slots: Box<[Mutex<Slot>]>,
    free: Mutex<Vec<u32>>,
    bytes: AtomicUsize,
}

impl Default for RequestStore {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestStore {
    pub fn new() -> Self {
        Self::with_slots(REQUESTS_IN_FLIGHT_MAX as u32)
    }

    fn with_slots(count: u32) -> Self {
        let slot = || {
            Mutex::new(Slot {
                generation: 0,
                body: Body::Whole(Bytes::new()),
                spare: BytesMut::new(),
                keys: Vec::new(),
            })
        };
        Self {
            slots: (0..count).map(|_| slot()).collect(),
            free: Mutex::new((0..count).rev().collect()),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Opens a slot; null when all slots, or the bytes of all bodies, are used up.
    pub fn open(&self, bytes_hint: usize) -> Option<Handle> {
        if self.bytes.load(Ordering::Relaxed) >= BODY_STORE_BYTES {
            return None;
        }
        let slot = lock(&self.free).pop()?;
        let mut entry = lock(self.slots.get(slot as usize)?);
        entry.generation = entry.generation.wrapping_add(1);
        let hint = bytes_hint.min(BODY_BYTES_MAX);
        let spare = std::mem::take(&mut entry.spare);
        entry.body = Body::Growing(if spare.capacity() >= hint {
            spare
        } else {
            BytesMut::with_capacity(hint)
        });
        entry.keys.clear();
        Some(Handle {
            slot,
            generation: entry.generation,
        })
    }

    pub fn append(&self, handle: Handle, chunk: &[u8]) -> Append {
        let done = self.with(handle, |slot| {
            let before = slot.body.len();
            if before + chunk.len() > BODY_BYTES_MAX {
                return Append::TooLarge;
            }
            if !self.take_bytes(chunk.len()) {
                return Append::Full;
            }
            slot.body.growing().extend_from_slice(chunk);
            Append::Done
        });
        done.unwrap_or(Append::Stale)
    }

    /// Puts `text` in place of `length` bytes at `offset`. Who holds the body keeps what it was.
    pub fn replace(&self, handle: Handle, offset: usize, length: usize, text: &[u8]) -> Replace {
        let replaced = self.with(handle, |slot| {
            let before = slot.body.whole();
            let kept = offset
                .checked_add(length)
                .and_then(|end| Some((before.get(..offset)?, before.get(end..)?)));
            let Some((ahead, behind)) = kept else {
                return Replace::OutOfBounds;
            };
            let after = ahead.len() + text.len() + behind.len();
            if after > BODY_BYTES_MAX {
                return Replace::TooLarge;
            }
            if !self.take_bytes(text.len().saturating_sub(length)) {
                return Replace::Full;
            }
            let given_back = length.saturating_sub(text.len());
            self.bytes.fetch_sub(given_back, Ordering::Relaxed);
            slot.body = Body::Whole([ahead, text, behind].concat().into());
            Replace::Done
        });
        replaced.unwrap_or(Replace::Stale)
    }

    /// Lets `read` fill up to `limit` bytes behind the body's end and keeps as many as it says, so
    /// that a socket is read into the place where the body stays. None for a stale handle.
    pub fn receive<T>(
        &self,
        handle: Handle,
        limit: usize,
        read: impl FnOnce(&mut [u8]) -> (usize, T),
    ) -> Option<(Append, T)> {
        self.with(handle, |slot| {
            let body = slot.body.growing();
            let before = body.len();
            body.resize(before + limit.min(BODY_BYTES_MAX - before), 0);
            let (filled, result) = read(body.get_mut(before..).unwrap_or_default());
            let kept = self.take_bytes(filled);
            body.truncate(if kept { before + filled } else { before });
            (if kept { Append::Done } else { Append::Full }, result)
        })
    }

    /// The body so far, shared and not copied; null for a stale handle. Appending after it copies.
    pub fn body(&self, handle: Handle) -> Option<Bytes> {
        self.with(handle, |slot| slot.body.whole())
    }

    /// Bytes of the body so far, 0 for a stale handle.
    pub fn length(&self, handle: Handle) -> usize {
        self.with(handle, |slot| slot.body.len()).unwrap_or(0)
    }

    /// Keeps the request keys of an encoded prompt; a stale handle is ignored.
    pub fn set_keys(&self, handle: Handle, keys: &[u64]) {
        let _ = self.with(handle, |slot| {
            slot.keys.clear();
            slot.keys.extend_from_slice(keys);
        });
    }

    /// Calls `read` with the request keys; null for a stale handle.
    pub fn with_keys<T>(&self, handle: Handle, read: impl FnOnce(&[u64]) -> T) -> Option<T> {
        self.with(handle, |slot| read(&slot.keys))
    }

    /// Calls `act` while the handle is open and cannot be released; null for a stale handle. This
    /// is how the slot's encode record is written, so that a late encoder never touches another
    /// request's.
    pub fn while_open<T>(&self, handle: Handle, act: impl FnOnce() -> T) -> Option<T> {
        self.with(handle, |_| act())
    }

    /// Frees slot and bytes; a stale handle is ignored.
    pub fn release(&self, handle: Handle) {
        let freed = self.with(handle, |slot| {
            slot.generation = slot.generation.wrapping_add(1);
            let bytes = slot.body.len();
            let body = std::mem::replace(&mut slot.body, Body::Whole(Bytes::new()));
            slot.spare = body.into_spare().unwrap_or_default();
            // A long prompt's keys would otherwise stay with the slot for good.
            slot.keys.shrink_to(1024);
            bytes
        });
        if let Some(bytes) = freed {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            lock(&self.free).push(handle.slot);
        }
    }

    pub fn usage(&self) -> StoreUsage {
        StoreUsage {
            slots: self.slots.len() - lock(&self.free).len(),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn with<T>(&self, handle: Handle, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut slot = lock(self.slots.get(handle.slot as usize)?);
        let open = handle.generation & 1 == 1 && slot.generation == handle.generation;
        open.then(|| act(&mut slot))
    }

    fn take_bytes(&self, count: usize) -> bool {
        let before = self.bytes.fetch_add(count, Ordering::Relaxed);
        if before + count <= BODY_STORE_BYTES {
            return true;
        }
        self.bytes.fetch_sub(count, Ordering::Relaxed);
        false
    }
}

/// A thread that unwound while it held the lock left nothing half-done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod model_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_handle_is_stale_for_good() {
        let store = RequestStore::with_slots(2);
        let first = store.open(10).unwrap();
        assert_eq!(store.append(first, b"abc"), Append::Done);
        assert_eq!(store.body(first).unwrap(), "abc");
        assert_eq!(store.append(first, b"def"), Append::Done);
        assert_eq!(store.body(first).unwrap(), "abcdef");
        store.release(first);
        store.release(first);
        assert_eq!(store.append(first, b"x"), Append::Stale);
        assert!(store.body(first).is_none());
        assert!(store.receive(first, 10, |_| (0, ())).is_none());
        let second = store.open(0).unwrap();
        let filled = store.receive(second, 10, |spare| {
            spare[..3].copy_from_slice(b"xyz");
            (3, spare.len())
        });
        assert_eq!(filled, Some((Append::Done, 10)));
        assert_eq!(store.append(second, b"!"), Append::Done);
        assert_eq!(store.body(second).unwrap(), "xyz!");
        assert_eq!(store.replace(first, 0, 1, b""), Replace::Stale);
        assert_eq!(store.replace(second, 1, 2, b"-long-"), Replace::Done);
        assert_eq!(store.body(second).unwrap(), "x-long-!");
        for (offset, length) in [(9, 0), (0, 9), (8, usize::MAX)] {
            let outcome = store.replace(second, offset, length, b"");
            assert_eq!(outcome, Replace::OutOfBounds);
        }
        let huge = vec![0; BODY_BYTES_MAX];
        assert_eq!(store.replace(second, 0, 0, &huge), Replace::TooLarge);
        assert_eq!(store.usage().bytes, 8);
        assert_eq!(second.slot, first.slot);
        assert_ne!(second.generation, first.generation);
        store.release(second);
        assert_eq!(store.usage(), StoreUsage { slots: 0, bytes: 0 });
    }
}
