//! What one thread puts on answers: the date, and ids of requests whose clients gave none.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const UUID_LENGTH: usize = 36;
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

pub struct Stamps {
    date: RefCell<(u64, Arc<str>)>,
    random: Cell<u64>,
}

impl Default for Stamps {
    fn default() -> Self {
        Self {
            date: RefCell::new((0, Arc::from(""))),
            random: Cell::new(RandomState::new().hash_one(0)),
        }
    }
}

impl Stamps {
    /// The Date header's value, made once a second.
    pub fn date(&self) -> Arc<str> {
        let now = SystemTime::now();
        let second = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            *date = (second, Arc::from(httpdate::fmt_http_date(now)));
        }
        Arc::clone(&date.1)
    }

    /// A random UUID: unique, not secret.
    pub fn new_request_id(&self) -> Arc<str> {
        let high = self.next_random();
        let low = self.next_random();
        // Version 4, variant 1: RFC 9562 §5.4.
        let high = (high & !0xf000) | 0x4000;
        let low = (low >> 2) | (1 << 63);
        let mut text = [b'-'; UUID_LENGTH];
        let digits = (0..16)
            .rev()
            .map(|digit| high >> (4 * digit))
            .chain((0..16).rev().map(|digit| low >> (4 * digit)));
        let places = text
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| !UUID_DASHES.contains(at));
        for ((_, place), digit) in places.zip(digits) {
            *place = b"0123456789abcdef"[(digit & 0xf) as usize];
        }
        Arc::from(std::str::from_utf8(&text).unwrap_or_default())
    }

    /// SplitMix64, seeded by the system when the thread began.
    fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let stamps = Stamps::default();
        // Under miri an id takes a tenth of a second.
        let count = if cfg!(miri) { 20 } else { 1000 };
        let ids: std::collections::HashSet<_> =
            (0..count).map(|_| stamps.new_request_id()).collect();
        assert_eq!(ids.len(), count);
        for id in ids {
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]));
        }
        assert!(stamps.date().ends_with(" GMT"));
    }
}
