//! The engine-key map against a `HashMap`: inline entries with copies by tier, entries aside, keys
//! of three kinds that share their bits, through growth and clearing.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::engine_map::{COPIES_MAX, EngineMap, Entry};
use super::super::event::{EngineKey, KeyKind};

#[derive(Clone, Debug)]
enum Step {
    /// Adds the key if it is not there, else removes it.
    Toggle {
        key: EngineKey,
        value: u64,
        aside: bool,
    },
    Copies {
        key: EngineKey,
        tier: u8,
        copies: u8,
    },
    MoveAside {
        key: EngineKey,
        index: usize,
    },
    Clear,
}

fn key() -> impl Strategy<Value = EngineKey> {
    let kinds = [KeyKind::Natural, KeyKind::Negative, KeyKind::Bytes];
    (prop_oneof![4 => 0..60_u64, 1 => Just(u64::MAX)], 0..3_usize).prop_map(move |(bits, kind)| {
        EngineKey {
            bits,
            kind: kinds[kind],
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (key(), any::<u64>(), any::<bool>())
            .prop_map(|(key, value, aside)| Step::Toggle { key, value, aside }),
        20 => (key(), 0..4_u8, 0..=COPIES_MAX)
            .prop_map(|(key, tier, copies)| Step::Copies { key, tier, copies }),
        10 => (key(), any::<usize>()).prop_map(|(key, index)| Step::MoveAside { key, index }),
        1 => Just(Step::Clear),
    ]
}

/// What the map should hold under a key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    entry: Entry,
    copies: [u8; 4],
}

#[derive(Default)]
struct Machine {
    map: Option<EngineMap>,
    model: HashMap<EngineKey, Held>,
}

fn held(map: &EngineMap, key: EngineKey) -> Option<Held> {
    let position = map.find(key)?;
    assert_eq!(map.key(position), key);
    let entry = map.entry(position);
    let copies = std::array::from_fn(|tier| match entry {
        Entry::Inline { .. } => map.copies(position, tier as u8),
        Entry::Aside(_) => 0,
    });
    let any = copies != [0; 4];
    assert!(map.has_copies(position) == any, "copies of {key:?}");
    Some(Held { entry, copies })
}

impl Machine {
    fn apply(&mut self, step: Step) {
        let map = self.map.get_or_insert_with(EngineMap::new);
        let key = match step {
            Step::Toggle { key, value, aside } => {
                if let Some(position) = map.find(key) {
                    map.remove(position);
                    self.model.remove(&key);
                } else {
                    let entry = if aside {
                        Entry::Aside(value as usize)
                    } else {
                        Entry::Inline { end: value }
                    };
                    let position = map.insert(key, entry);
                    assert_eq!(map.find(key), Some(position));
                    self.model.insert(
                        key,
                        Held {
                            entry,
                            copies: [0; 4],
                        },
                    );
                }
                key
            }
            Step::Copies { key, tier, copies } => {
                let inline = |held: &&mut Held| matches!(held.entry, Entry::Inline { .. });
                if let (Some(position), Some(held)) =
                    (map.find(key), self.model.get_mut(&key).filter(inline))
                {
                    map.set_copies(position, tier, copies);
                    held.copies[tier as usize] = copies;
                }
                key
            }
            Step::MoveAside { key, index } => {
                if let (Some(position), Some(held)) = (map.find(key), self.model.get_mut(&key)) {
                    map.move_aside(position, index);
                    *held = Held {
                        entry: Entry::Aside(index),
                        copies: [0; 4],
                    };
                }
                key
            }
            Step::Clear => {
                map.clear();
                self.model.clear();
                return;
            }
        };
        assert_eq!(held(map, key), self.model.get(&key).copied(), "{key:?}");
        assert_eq!(map.len(), self.model.len());
    }

    /// All keys there are, those never added too.
    fn check_all(&self) {
        let Some(map) = &self.map else { return };
        for bits in (0..60).chain([u64::MAX]) {
            for kind in [KeyKind::Natural, KeyKind::Negative, KeyKind::Bytes] {
                let key = EngineKey { bits, kind };
                assert_eq!(held(map, key), self.model.get(&key).copied(), "{key:?}");
            }
        }
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 60 } else { 400 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2048 }))]

    #[test]
    fn answers_as_a_hash_map_does(steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::default();
        for step in steps {
            machine.apply(step);
        }
        machine.check_all();
    }
}
