//! A shard of the prefix store against a map: what is found is what was put in, memory stays within
//! the bound, and what was used last is still there.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bytes of one generation: some twenty nodes.
const HALF: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum Step {
    Find {
        hash: u64,
    },
    Insert {
        hash: u64,
        keys: usize,
        leftover: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let hash = || 0..60_u64;
    // The largest does not fit into a generation.
    let keys = prop_oneof![20 => 0..40_usize, 1 => 490..520_usize];
    prop_oneof![
        hash().prop_map(|hash| Step::Find { hash }),
        (hash(), keys, 0..16_usize).prop_map(|(hash, keys, leftover)| Step::Insert {
            hash,
            keys,
            leftover
        }),
    ]
}

#[derive(Default)]
struct Machine {
    shard: Shard,
    /// What was put in last under each hash: parent and bytes.
    inserted: BTreeMap<u64, (u64, usize)>,
    /// Hashes found or put in, the last at the end.
    used: Vec<u64>,
}

impl Machine {
    fn apply(&mut self, number: u64, step: Step) {
        match step {
            Step::Find { hash } => {
                let known = self.holds(hash);
                let found = self.shard.find(hash, HALF);
                assert_eq!(found.is_some(), known, "what is there is found");
                if let Some(node) = found {
                    let inserted = self.inserted.get(&hash).copied();
                    assert_eq!(inserted, Some((node.parent, node.bytes())), "{hash}");
                    self.used.push(hash);
                }
            }
            // As the store does: nothing is put in twice.
            Step::Insert { hash, .. } if self.shard.find(hash, HALF).is_some() => {
                self.used.push(hash);
            }
            Step::Insert {
                hash,
                keys,
                leftover,
            } => {
                let node = Node {
                    keys: vec![number; keys].into(),
                    leftover: vec![1; leftover].into(),
                    parent: number,
                    tokens: 1,
                };
                let bytes = node.bytes();
                self.inserted.insert(hash, (number, bytes));
                self.shard.insert(hash, node, HALF);
                assert_eq!(self.holds(hash), bytes <= HALF);
                if bytes <= HALF {
                    self.used.push(hash);
                }
            }
        }
        self.check();
    }

    fn holds(&self, hash: u64) -> bool {
        self.shard.young.contains_key(&hash) || self.shard.old.contains_key(&hash)
    }

    fn check(&self) {
        let bytes = |nodes: &Nodes| nodes.values().map(Node::bytes).sum::<usize>();
        let (young, old) = (bytes(&self.shard.young), bytes(&self.shard.old));
        assert_eq!((young, old), (self.shard.young_bytes, self.shard.old_bytes));
        assert!(young <= HALF && old <= HALF, "{young} and {old} bytes");
        let twice = self
            .shard
            .young
            .keys()
            .any(|hash| self.shard.old.contains_key(hash));
        assert!(!twice, "a node lies in one generation");
        let mut last = Vec::new();
        let mut sum = 0;
        for hash in self.used.iter().rev() {
            if last.contains(hash) {
                continue;
            }
            last.push(*hash);
            sum += self.inserted[hash].1;
            if sum > HALF {
                break;
            }
            assert!(self.holds(*hash), "{hash} was used {sum} bytes ago");
        }
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 60 } else { 300 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2048 }))]

    #[test]
    fn a_shard_keeps_what_was_used_last_within_its_bound(steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::default();
        for (number, step) in steps.into_iter().enumerate() {
            machine.apply(number as u64, step);
        }
    }
}
