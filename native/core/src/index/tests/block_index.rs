//! The block index against a map from (key, group) to who holds it: two writers, generations of
//! endpoints that come and go, sweeps in pieces, recovery, and matches under every rule. In a roomy
//! table both say the same; in a tight one the index never claims more than it was told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::endpoints::VirtualId;
use super::super::owner::IndexOwner;
use super::super::reader::{IndexReader, MatchResult};
use super::super::test_table::Table;
use super::super::writer::{IndexWriter, Residency, WriteStatus};
use super::steps::{Step, step};
use crate::shared_words::SharedWords;

pub const SLOTS: usize = 3;
const VIRTUAL_IDS: usize = 64;
pub const KEYS: usize = 12;
pub const GROUPS: u32 = 3;

/// One life of an endpoint.
struct Generation {
    id: VirtualId,
    slot: u32,
    is_open: bool,
    windows: BTreeMap<u32, u32>,
    alignment: u32,
    /// (key, group, tier) told and not taken back.
    holds: BTreeSet<(u64, u32, u32)>,
}

/// What is said of one endpoint: usable blocks, raw blocks, blocks by tier.
type Reported = (u32, u32, [u32; 4]);

impl Generation {
    fn holds_in_any_tier(&self, key: u64, group: u32) -> bool {
        (0..4).any(|tier| self.holds.contains(&(key, group, tier)))
    }

    fn reported(&self, keys: &[u64], limit: usize) -> Reported {
        let leading = keys
            .iter()
            .take_while(|key| self.holds_in_any_tier(**key, 0));
        let raw = leading.count();
        let fits = |length: &usize| {
            length.is_multiple_of(self.alignment as usize)
                && self.windows.iter().all(|(group, window)| {
                    let from = length.saturating_sub(*window as usize);
                    keys[from..*length]
                        .iter()
                        .all(|key| self.holds_in_any_tier(*key, *group))
                })
        };
        let usable = (0..=raw.min(limit)).rev().find(fits).unwrap_or(0);
        let mut tiers = [0; 4];
        for key in &keys[..usable] {
            let fastest = (0..4).find(|tier| self.holds.contains(&(*key, 0, *tier)));
            tiers[fastest.expect("a tier") as usize] += 1;
        }
        (usable as u32, raw as u32, tiers)
    }
}

struct Machine {
    table: Table,
    writers: [IndexWriter<SharedWords>; 2],
    reader: IndexReader<SharedWords>,
    owner: IndexOwner<SharedWords>,
    generations: Vec<Generation>,
    /// Dropped since the index was last clean: their ids may still be taken.
    dropped: usize,
    /// Whether everything fits.
    is_roomy: bool,
}

fn key(number: usize) -> u64 {
    (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn keys(count: usize) -> Vec<u64> {
    (0..count).map(key).collect()
}

impl Machine {
    fn new(table: Table, is_roomy: bool) -> Self {
        let writer = |id| IndexWriter::open(table.words, id, None).expect("a writer");
        Self {
            writers: [writer(0), writer(1)],
            reader: IndexReader::open(table.words).expect("a reader"),
            owner: IndexOwner::open(table.words).expect("an owner"),
            table,
            generations: Vec::new(),
            dropped: 0,
            is_roomy,
        }
    }

    fn open_count(&self) -> usize {
        self.generations.iter().filter(|one| one.is_open).count()
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Open { writer, slot } => self.open(writer, slot),
            Step::DropSlot { writer, slot } => {
                self.writers[writer].drop_slot(slot);
                self.close(|_, one| one.slot == slot);
            }
            Step::Sweep { writer, buckets } => {
                if self.writers[writer].sweep(buckets) {
                    self.dropped = 0;
                }
            }
            Step::Recover => self.recover(),
            Step::Match { count, limit } => self.check_match(&keys(count), limit),
            Step::Write { generation, .. }
            | Step::Store { generation, .. }
            | Step::Drop { generation, .. }
            | Step::Window { generation, .. }
            | Step::Alignment { generation, .. } => {
                if let Some(at) = self.pick(generation) {
                    self.apply_to(at, step);
                }
            }
        }
        self.check_holders();
    }

    fn apply_to(&mut self, at: usize, step: Step) {
        let id = self.generations[at].id;
        match step {
            Step::Write {
                writer,
                key: number,
                tier,
                group,
                present,
                ..
            } => {
                self.write(
                    writer,
                    at,
                    Residency {
                        key: key(number),
                        tier,
                        group,
                    },
                    present,
                );
            }
            Step::Store {
                count, tier, group, ..
            } => {
                for key in keys(count) {
                    self.write(0, at, Residency { key, tier, group }, true);
                }
            }
            Step::Drop { writer, .. } => {
                self.writers[writer].drop_endpoint(id);
                self.close(|number, _| number == at);
            }
            Step::Window { group, blocks, .. } => {
                self.writers[0].set_group_window(id, group, blocks);
                self.generations[at].windows.insert(group, blocks.max(1));
            }
            Step::Alignment { blocks, .. } => {
                self.writers[0].set_hit_alignment(id, blocks);
                self.generations[at].alignment = blocks.max(1);
            }
            _ => unreachable!("it names no generation"),
        }
    }

    fn pick(&self, generation: Index) -> Option<usize> {
        let count = self.generations.len();
        (count > 0).then(|| generation.index(count))
    }

    fn open(&mut self, writer: usize, slot: u32) {
        let Some(id) = self.writers[writer].open_endpoint(slot) else {
            assert!(
                self.open_count() + self.dropped >= VIRTUAL_IDS,
                "ids are left"
            );
            return;
        };
        assert!(
            self.generations.iter().all(|one| one.id != id),
            "{id:?} was given out before"
        );
        let taken = self
            .generations
            .iter()
            .any(|one| one.is_open && one.id.bit() == id.bit());
        assert!(!taken, "the bit of {id:?} is in use");
        self.generations.push(Generation {
            id,
            slot,
            is_open: true,
            windows: BTreeMap::new(),
            alignment: 1,
            holds: BTreeSet::new(),
        });
    }

    fn close(&mut self, is_meant: impl Fn(usize, &Generation) -> bool) {
        for (number, one) in self.generations.iter_mut().enumerate() {
            if one.is_open && is_meant(number, one) {
                one.is_open = false;
                one.holds.clear();
                self.dropped += 1;
            }
        }
    }

    fn write(&mut self, writer: usize, at: usize, residency: Residency, present: bool) {
        let one = &mut self.generations[at];
        let writer = &mut self.writers[writer];
        let status = if present {
            writer.add(one.id, residency)
        } else {
            writer.remove(one.id, residency)
        };
        let held = (residency.key, residency.group, residency.tier);
        let changes = one.is_open && one.holds.contains(&held) != present;
        match status {
            WriteStatus::Full => {
                assert!(!self.is_roomy, "a roomy table is not full");
                assert!(present, "a removal is never lost");
                one.holds.remove(&held);
            }
            WriteStatus::Done | WriteStatus::Unchanged => {
                let is_done = status == WriteStatus::Done;
                // What a tight table gave up can be told again, and is not there to remove.
                let exact = self.is_roomy || !one.is_open;
                assert!(is_done == changes || !exact, "{status:?} of {residency:?}");
                if one.is_open && present {
                    one.holds.insert(held);
                } else {
                    one.holds.remove(&held);
                }
            }
            WriteStatus::Stuck => panic!("nobody holds a lock"),
        }
        if one.is_open {
            let holders = self.table.holders(residency.key, residency.group);
            let is_there = holders.contains(&(one.id.bit(), residency.tier));
            assert_eq!(
                is_there,
                one.holds.contains(&held),
                "{residency:?} right after {status:?}"
            );
        }
    }

    /// A writer has died: nothing is claimed and nothing written until all is cleared.
    fn recover(&mut self) {
        self.owner.suspend();
        let (usable, raw, _) = self.matched(&keys(KEYS), KEYS);
        assert_eq!((usable, raw), ([0; SLOTS], [0; SLOTS]));
        let residency = Residency {
            key: 1,
            tier: 0,
            group: 0,
        };
        assert_eq!(
            self.writers[1].add(VirtualId(0), residency),
            WriteStatus::Stuck
        );
        assert!(!self.writers[1].sweep(1));
        self.owner.recover();
        self.close(|_, _| true);
        self.dropped = 0;
        assert_eq!(self.owner.stats().blocks, 0);
    }

    /// Every slot of the table, but for the bits of dropped generations, which sweeps strip.
    fn check_holders(&self) {
        for (key, group) in keys(KEYS)
            .into_iter()
            .flat_map(|key| (0..GROUPS).map(move |g| (key, g)))
        {
            let there = self.table.holders(key, group);
            for one in self.generations.iter().filter(|one| one.is_open) {
                let bit = one.id.bit();
                let said = there
                    .iter()
                    .filter(|(id, _)| *id == bit)
                    .map(|(_, tier)| *tier);
                let told = one
                    .holds
                    .iter()
                    .filter(|(k, g, _)| (*k, *g) == (key, group));
                let (said, told): (BTreeSet<_>, BTreeSet<_>) =
                    (said.collect(), told.map(|(_, _, tier)| *tier).collect());
                assert!(
                    said.is_subset(&told),
                    "{said:?} of {told:?} in group {group}"
                );
                assert!(
                    said == told || !self.is_roomy,
                    "{said:?} of {told:?} in group {group}"
                );
            }
        }
    }

    fn matched(
        &mut self,
        keys: &[u64],
        limit: usize,
    ) -> ([u32; SLOTS], [u32; SLOTS], [u32; SLOTS * 4]) {
        let (mut usable, mut raw, mut tiers) = ([9; SLOTS], [9; SLOTS], [9; SLOTS * 4]);
        let mut result = MatchResult {
            usable_blocks: &mut usable,
            tier_blocks: &mut tiers,
            raw_blocks: &mut raw,
        };
        self.reader.match_keys(keys, limit, &mut result);
        (usable, raw, tiers)
    }

    fn check_match(&mut self, keys: &[u64], limit: usize) {
        let (usable, raw, tiers) = self.matched(keys, limit);
        let mut open: Vec<_> = self.generations.iter().filter(|one| one.is_open).collect();
        open.sort_by_key(|one| one.id.bit());
        for slot in 0..SLOTS {
            let said = (usable[slot], raw[slot], &tiers[slot * 4..slot * 4 + 4]);
            let mut best: Reported = (0, 0, [0; 4]);
            for one in open.iter().filter(|one| one.slot as usize == slot) {
                let reported = one.reported(keys, limit);
                if (reported.0, reported.1) > (best.0, best.1) {
                    best = reported;
                }
            }
            if self.is_roomy {
                assert_eq!(said, (best.0, best.1, best.2.as_slice()), "endpoint {slot}");
            } else {
                assert!(said.0 <= best.0 && said.1 <= best.1, "{said:?} of {best:?}");
            }
        }
    }

    /// Swept clean, the index holds what the open generations hold and nothing else.
    fn finish(mut self) {
        self.check_match(&keys(KEYS), KEYS);
        assert!(
            (0..8).any(|_| self.writers[0].sweep(usize::MAX)),
            "it becomes clean"
        );
        let open = self.generations.iter().filter(|one| one.is_open);
        let told: BTreeSet<_> = open
            .flat_map(|one| one.holds.iter().map(|(key, group, _)| (*key, *group)))
            .collect();
        let blocks = self.owner.stats().blocks;
        if self.is_roomy {
            assert_eq!(blocks as usize, told.len(), "blocks of a clean index");
            assert_eq!(self.owner.stats().rejected, 0);
        } else {
            assert!(
                (0..=told.len() as i32).contains(&blocks),
                "{blocks} of {told:?}"
            );
        }
        self.check_holders();
        self.check_match(&keys(KEYS), KEYS);
    }
}

fn run(table: Table, is_roomy: bool, steps: Vec<Step>) {
    let mut machine = Machine::new(table, is_roomy);
    machine.apply(Step::Open { writer: 0, slot: 0 });
    for step in steps {
        machine.apply(step);
    }
    machine.finish();
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 12 } else { 150 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 1024 }))]

    #[test]
    fn a_roomy_index_says_what_a_map_says(steps in vec(step(), 1..STEPS_MAX)) {
        run(Table::create(16, VIRTUAL_IDS, 4096), true, steps);
    }

    #[test]
    fn a_tight_index_claims_no_more_than_it_was_told(steps in vec(step(), 1..STEPS_MAX)) {
        run(Table::create(2, VIRTUAL_IDS, 8), false, steps);
    }
}
