//! The map against a std map, and how full it gets.

use std::collections::HashMap;

use super::*;

const STEPS: u64 = if cfg!(miri) { 2000 } else { 200_000 };

/// Random numbers of splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((u128::from(mixed ^ mixed >> 27) * u128::from(count)) >> 64) as u64
    }
}

#[test]
fn answers_as_a_hash_map_does_and_leaves_nothing_behind() {
    for seed in 1..4 {
        let mut random = Random(seed);
        let mut map = EngineMap::new();
        let mut model: HashMap<EngineKey, u64> = HashMap::new();
        for step in 0..STEPS {
            let kind = if random.below(8) == 0 {
                KeyKind::Negative
            } else {
                KeyKind::Natural
            };
            let bits = random.below(STEPS / 20);
            let key = EngineKey { bits, kind };
            let found = map.find(key);
            let known = model.get(&key).copied();
            let entry = found.map(|position| map.entry(position));
            let expected = known.map(|end| Entry::Inline { end });
            assert_eq!(entry, expected, "seed {seed}, step {step}");
            match found {
                Some(position) => {
                    assert_eq!(map.key(position), key);
                    assert_eq!(map.copies(position, 3), COPIES_MAX);
                    map.remove(position);
                    model.remove(&key);
                }
                None => {
                    let position = map.insert(key, Entry::Inline { end: step });
                    map.set_copies(position, 3, COPIES_MAX);
                    model.insert(key, step);
                }
            }
            assert_eq!(map.len(), model.len());
        }
        for key in model.keys() {
            let position = map.find(*key).expect("the key is there");
            map.remove(position);
        }
        assert_eq!(map.len(), 0);
        assert!(map.buckets.iter().all(|bucket| bucket.tags == [0; 8]));
    }
}

#[test]
fn fills_four_fifths_before_it_grows() {
    let mut random = Random(9);
    let mut map = EngineMap::new();
    let count = if cfg!(miri) { 5000 } else { 100_000 };
    let mut buckets = map.buckets.len();
    for _ in 0..count {
        let bits = random.below(u64::MAX);
        let kind = KeyKind::Natural;
        map.insert(EngineKey { bits, kind }, Entry::Aside(0));
        if map.buckets.len() > buckets && buckets > 500 {
            let load = (map.len() - 1) as f64 / (buckets * SLOTS) as f64;
            assert!(load > 0.8, "grew at a load of {load}");
        }
        buckets = map.buckets.len();
    }
}
