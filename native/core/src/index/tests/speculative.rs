//! The speculative table against a map with expiries, under a given clock that passes the end of its
//! 32 bits: who is expected is who was added, unless it ended, was withdrawn, or was the one of a
//! full row that ended first.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::speculative::SpeculativeTable;
use crate::layout::limits::{REQUESTS_IN_FLIGHT_MAX, SPECULATIVE_ENTRIES, SPECULATIVE_TTL_MS};
use crate::layout::shared::{
    SPECULATIVE_ROW, record, record_endpoint_arrays, request_memory, speculative,
};
use crate::shared_words::SharedWords;

const ENDPOINTS: usize = 4;
const ROWS: u64 = (SPECULATIVE_ENTRIES / SPECULATIVE_ROW) as u64;
/// Keys that lie in one row, whose endpoints do not all fit in it; two others lie alone.
const KEYS_IN_ROW: usize = SPECULATIVE_ROW / ENDPOINTS * 3;
const KEYS: usize = KEYS_IN_ROW + 2;
/// A time shortly before its low 32 bits begin anew.
const START_MS: f64 = 5.0 * 4_294_967_296.0 - 3_000.0;

#[derive(Clone, Debug)]
enum Step {
    Add {
        slot: u32,
        keys: Vec<usize>,
    },
    Withdraw {
        slot: u32,
        keys: Vec<usize>,
    },
    Wait {
        ms: u32,
    },
    Match {
        keys: Vec<usize>,
        limit: usize,
        usable: [u32; ENDPOINTS],
    },
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..ENDPOINTS as u32;
    let keys = || vec(0..KEYS, 1..KEYS_MAX);
    let usable = [0..3_u32, 0..3_u32, 0..3_u32, 0..7_u32];
    prop_oneof![
        4 => (slot.clone(), keys()).prop_map(|(slot, keys)| Step::Add { slot, keys }),
        1 => (slot, keys()).prop_map(|(slot, keys)| Step::Withdraw { slot, keys }),
        2 => prop_oneof![4 => 0..900_u32, 1 => 1999..2002_u32, 1 => 2000..100_000_u32]
            .prop_map(|ms| Step::Wait { ms }),
        3 => (keys(), 0..7_usize, usable)
            .prop_map(|(keys, limit, usable)| Step::Match { keys, limit, usable }),
    ]
}

struct Machine {
    table: SpeculativeTable,
    now_ms: f64,
    /// When (key, slot) ends.
    expected: BTreeMap<(u64, u32), f64>,
    _backing: Vec<u32>,
}

impl Machine {
    fn new() -> Self {
        let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * ENDPOINTS;
        let words = request_memory::HEAD_BYTES / 4
            + REQUESTS_IN_FLIGHT_MAX * record_words
            + SPECULATIVE_ENTRIES / SPECULATIVE_ROW * speculative::ROW_WORDS;
        let mut backing = vec![0_u32; words];
        backing[request_memory::ENDPOINT_CAPACITY] = ENDPOINTS as u32;
        // SAFETY: the vector is kept, and not touched, as long as the words are used.
        let shared = unsafe { SharedWords::new(backing.as_mut_ptr().cast(), words * 4) };
        Self {
            table: SpeculativeTable::open(shared.expect("words are aligned")).expect("a table"),
            now_ms: START_MS,
            expected: BTreeMap::new(),
            _backing: backing,
        }
    }

    /// Endpoints expected to hold a key, by matching it alone.
    fn holders(&self, key: u64) -> Vec<u32> {
        let mut blocks = [0; ENDPOINTS];
        let usable = [0; ENDPOINTS];
        self.table
            .match_keys(&[key], 1, &usable, &mut blocks, self.now_ms);
        (0..ENDPOINTS as u32)
            .filter(|slot| blocks[*slot as usize] == 1)
            .collect()
    }

    fn add(&mut self, slot: u32, keys: &[u64]) {
        let mut expiry = self.now_ms + SPECULATIVE_TTL_MS as f64;
        // Low 32 bits of 0 mean that an entry is free.
        if expiry % 4_294_967_296.0 == 0.0 {
            expiry -= 1.0;
        }
        for key in keys {
            self.table.add(slot, &[*key], self.now_ms);
            self.expected.retain(|_, end| *end > self.now_ms);
            let in_row = |other: &u64| other % ROWS == key % ROWS;
            let row: Vec<_> = self
                .expected
                .iter()
                .filter(|((key, _), _)| in_row(key))
                .collect();
            if row.len() == SPECULATIVE_ROW && !self.expected.contains_key(&(*key, slot)) {
                let first = row
                    .iter()
                    .map(|(_, end)| **end)
                    .fold(f64::INFINITY, f64::min);
                let gone: Vec<(u64, u32)> = row
                    .iter()
                    .filter(|((key, slot), _)| !self.holders(*key).contains(slot))
                    .map(|(entry, _)| **entry)
                    .collect();
                assert_eq!(gone.len(), 1, "one gives way: {gone:?}");
                let end = self.expected.remove(&gone[0]);
                assert_eq!(end, Some(first), "the one that ends first");
            }
            self.expected.insert((*key, slot), expiry);
        }
    }

    fn is_expected(&self, key: u64, slot: u32) -> bool {
        self.expected
            .get(&(key, slot))
            .is_some_and(|end| *end > self.now_ms)
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Add { slot, keys } => self.add(slot, &named(&keys)),
            Step::Withdraw { slot, keys } => {
                self.table.withdraw(slot, &named(&keys));
                for key in named(&keys) {
                    self.expected.remove(&(key, slot));
                }
            }
            Step::Wait { ms } => self.now_ms += f64::from(ms),
            Step::Match {
                keys,
                limit,
                usable,
            } => self.check_match(&named(&keys), limit, usable),
        }
        for key in (0..KEYS).map(named_one) {
            let slots = 0..ENDPOINTS as u32;
            let expected: Vec<u32> = slots.filter(|slot| self.is_expected(key, *slot)).collect();
            assert_eq!(self.holders(key), expected, "endpoints of {key}");
        }
    }

    fn check_match(&self, keys: &[u64], limit: usize, usable: [u32; ENDPOINTS]) {
        let mut blocks = [99; ENDPOINTS];
        self.table
            .match_keys(keys, limit, &usable, &mut blocks, self.now_ms);
        for slot in 0..ENDPOINTS {
            let mut depth = usable[slot] as usize;
            while depth < limit.min(keys.len()) && self.is_expected(keys[depth], slot as u32) {
                depth += 1;
            }
            assert_eq!(blocks[slot] as usize, depth, "endpoint {slot}");
        }
    }
}

fn named(keys: &[usize]) -> Vec<u64> {
    keys.iter().map(|key| named_one(*key)).collect()
}

fn named_one(key: usize) -> u64 {
    match key {
        // Some differ in their high halves only.
        0..KEYS_IN_ROW => 5 + ((key as u64 % 2) << 40) + (key as u64 / 2) * ROWS,
        KEYS_IN_ROW => 6,
        _ => u64::MAX,
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 8 } else { 100 };
/// Keys of one step, with some in the row twice.
const KEYS_MAX: usize = if cfg!(miri) { 4 } else { 12 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 512 }))]

    #[test]
    fn expected_is_what_was_added_and_has_not_ended(steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::new();
        for step in steps {
            machine.apply(step);
        }
    }
}
