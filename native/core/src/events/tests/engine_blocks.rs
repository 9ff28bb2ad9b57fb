//! Engine blocks with their copies by group and tier against a model that counts everything anew
//! after each step: a residency is in the index exactly while every engine block that overlaps it
//! has a copy, blocks are known as long as something counts on them, and nothing is left behind.

use std::collections::BTreeSet;
use std::rc::{Rc, Weak};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::block_aside::{Block, GroupTier};
use super::super::chain::{ChainPosition, advance, after};
use super::super::engine_blocks::{EngineBlocks, Known};
use super::super::event::{EngineKey, KeyKind};
use super::super::writes::OtherOwners;
use super::model::{BLOCK_SIZE, Model, SEED};
use super::world::World;

const GROUPS: u32 = 2;
/// Tokens of an engine block: parts of a canonical block, one across borders, one, two.
const SIZES: [usize; 4] = [2, 3, 4, 8];

/// A place in one of two streams, whose first canonical block is the same.
#[derive(Clone, Copy, Debug)]
struct Place {
    stream: usize,
    size: usize,
    number: usize,
}

impl Place {
    fn token_ids(self) -> Vec<u32> {
        let first = self.number * self.size;
        let id = |at: usize| {
            at as u32
                + if at < BLOCK_SIZE {
                    0
                } else {
                    self.stream as u32 * 1000
                }
        };
        (first..first + self.size).map(id).collect()
    }

    /// Second blocks go by one name in both streams, as those of engines that hash a page without
    /// what comes before it.
    fn key(self) -> EngineKey {
        let stream = if self.number == 1 { 0 } else { self.stream };
        EngineKey {
            bits: (stream * 10_000 + self.size * 100 + self.number) as u64,
            kind: KeyKind::Natural,
        }
    }

    fn parent(self) -> Option<EngineKey> {
        let number = self.number.checked_sub(1)?;
        Some(Self { number, ..self }.key())
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// So many copies, one after the other: more than a slot counts.
    Store {
        place: Place,
        copy: GroupTier,
        times: usize,
    },
    /// A chain from its beginning, as engines store prompts.
    StoreChain {
        place: Place,
        copy: GroupTier,
    },
    Join {
        place: Place,
        copy: GroupTier,
        key_count: usize,
    },
    Remove {
        place: Place,
        copy: GroupTier,
        times: usize,
    },
    RemoveChain {
        place: Place,
        copy: GroupTier,
    },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || {
        (
            0..2_usize,
            prop_oneof![3 => Just(0_usize), 2 => Just(1), 1 => 2..4_usize],
            0..6_usize,
        )
            .prop_map(|(stream, size, number)| Place {
                stream,
                size: SIZES[size],
                number,
            })
    };
    let copy = || {
        (
            prop_oneof![3 => Just(0), 1 => 0..GROUPS],
            prop_oneof![3 => Just(0), 1 => 0..4_u8],
        )
            .prop_map(|(group, tier)| GroupTier { group, tier })
    };
    let times = || prop_oneof![6 => Just(1_usize), 1 => 2..10_usize];
    prop_oneof![
        8 => (place(), copy(), times())
            .prop_map(|(place, copy, times)| Step::Store { place, copy, times }),
        6 => (place(), copy()).prop_map(|(place, copy)| Step::StoreChain { place, copy }),
        3 => (place(), copy(), 1..3_usize)
            .prop_map(|(place, copy, key_count)| Step::Join { place, copy, key_count }),
        12 => (place(), copy(), times())
            .prop_map(|(place, copy, times)| Step::Remove { place, copy, times }),
        4 => (place(), copy()).prop_map(|(place, copy)| Step::RemoveChain { place, copy }),
        1 => Just(Step::Clear),
    ]
}

struct Machine {
    world: World,
    blocks: EngineBlocks,
    model: Model,
    /// Every block that was ever aside.
    seen: Vec<Weak<Block>>,
    keys: BTreeSet<u64>,
}

impl Machine {
    fn new() -> Self {
        Self {
            world: World::new(),
            blocks: EngineBlocks::new(),
            model: Model::default(),
            seen: Vec::new(),
            keys: BTreeSet::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Store { place, copy, times } => (0..times).for_each(|_| self.store(place, copy)),
            Step::StoreChain { place, copy } => {
                for number in 0..=place.number {
                    self.store(Place { number, ..place }, copy);
                }
            }
            Step::Join {
                place,
                copy,
                key_count,
            } => self.join(place.key(), copy, key_count),
            Step::Remove { place, copy, times } => {
                (0..times).for_each(|_| self.remove(place.key(), copy));
            }
            Step::RemoveChain { place, copy } => {
                for number in (0..=place.number).rev() {
                    self.remove(Place { number, ..place }.key(), copy);
                }
            }
            Step::Clear => {
                self.blocks.clear();
                self.world.renew_generation();
                self.model.clear();
                self.check_freed();
            }
        }
        self.check();
    }

    fn store(&mut self, place: Place, copy: GroupTier) {
        let key = place.key();
        let start = match place.parent() {
            None => Some(ChainPosition {
                end: SEED,
                before: None,
            }),
            Some(parent) => self.blocks.find(parent).map(|known| after(&known)),
        };
        let is_known = place
            .parent()
            .is_none_or(|parent| self.model.knows(parent.bits));
        assert_eq!(start.is_some(), is_known, "the parent of {place:?}");
        let Some(start) = start else { return };
        let parent = place.parent().map(|parent| parent.bits);
        let token_ids = place.token_ids();
        self.keys
            .extend(self.model.store(key.bits, parent, &token_ids, copy));
        let step = advance(start, &token_ids, BLOCK_SIZE, &[]);
        let mut writes = self.world.writes();
        let known = self
            .blocks
            .ensure(key, step.end, step.tail, &mut writes)
            .expect("room");
        self.blocks
            .add_copy(known, copy, &step.keys, step.joint, &mut writes);
        writes.flush();
        assert_eq!((writes.index_full, writes.stuck), (0, false));
    }

    fn join(&mut self, key: EngineKey, copy: GroupTier, key_count: usize) {
        let known = self.blocks.find(key);
        assert_eq!(known.is_some(), self.model.knows(key.bits), "{key:?}");
        if let Some(known) = known {
            let mut writes = self.world.writes();
            self.blocks
                .add_copy_by_hash(known, copy, key_count, &mut writes);
            writes.flush();
            self.model.join(key.bits, copy, key_count);
        }
    }

    fn remove(&mut self, key: EngineKey, copy: GroupTier) {
        let mut writes = self.world.writes();
        let was_known = self.blocks.remove_copy(key, copy, &mut writes);
        writes.flush();
        assert_eq!(was_known, self.model.remove(key.bits, copy), "{key:?}");
    }

    fn check(&mut self) {
        assert_eq!(self.blocks.len(), self.model.len());
        for (bits, end, primary_keys) in self.model.known() {
            let key = EngineKey {
                bits,
                kind: KeyKind::Natural,
            };
            let known = self.blocks.find(key).expect("a known block");
            assert_eq!(
                (known.end(), self.blocks.primary_keys(&known)),
                (end, primary_keys)
            );
            if let Known::Aside(block) = known {
                self.seen.push(Rc::downgrade(&block));
            }
        }
        let owners = self.model.owners();
        for key in &self.keys {
            for group in 0..GROUPS {
                let expected = owners
                    .keys()
                    .filter(|one| (one.key, one.group) == (*key, group));
                let expected: BTreeSet<u32> = expected.map(|one| one.tier).collect();
                assert_eq!(
                    self.world.tiers(*key, group),
                    expected,
                    "{key:x} in group {group}"
                );
            }
        }
        let others = owners.into_iter().filter(|(_, count)| *count > 1);
        let others: OtherOwners = others.map(|(one, count)| (one, count - 1)).collect();
        assert_eq!(self.world.other_owners, others);
    }

    /// Takes every copy back: then nothing is known, held or written any more.
    fn drain(mut self) {
        for (bits, copy) in self.model.copies() {
            self.remove(
                EngineKey {
                    bits,
                    kind: KeyKind::Natural,
                },
                copy,
            );
        }
        self.check();
        assert_eq!(self.blocks.len(), 0);
        self.check_freed();
    }

    fn check_freed(&mut self) {
        assert!(
            self.seen.drain(..).all(|block| block.upgrade().is_none()),
            "a block is leaked"
        );
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 15 } else { 120 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 2048 }))]

    #[test]
    fn the_index_has_what_every_overlapping_block_has(steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::new();
        for step in steps {
            machine.apply(step);
        }
        machine.drain();
    }
}
