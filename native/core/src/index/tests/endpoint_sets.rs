//! The interner of endpoint sets against a map: equal sets have one id, others have others, what a
//! sweep keeps stays what it was, and the bound is the one that is promised.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::lock::LOCK_ROUNDS;
use super::super::memory::Mask;
use super::super::sets::{EndpointSets, NoSet};
use super::super::test_table::Table;
use super::super::words::Word;
use crate::layout::index::{set_meta, state};
use crate::shared_words::SharedWords;

const SETS: usize = 40;
/// Of them, an addition must leave a quarter to removals.
const RESERVED: usize = SETS / 4;
const VIRTUAL_IDS: u32 = 64;

type Members = BTreeSet<(u32, u32)>;

#[derive(Clone, Debug)]
enum Step {
    Change {
        writer: usize,
        set: Index,
        virtual_id: u32,
        tier: u32,
        present: bool,
    },
    /// A whole sweep that meets the sets whose bit is in `kept`.
    Sweep { kept: u64, stripped: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let change = (
        0..2_usize,
        any::<Index>(),
        0..5_u32,
        0..4_u32,
        any::<bool>(),
    )
        .prop_map(|(writer, set, at, tier, present)| Step::Change {
            writer,
            set,
            // Both words of a mask, and their ends.
            virtual_id: [0, 1, 31, 32, 63][at as usize],
            tier,
            present,
        });
    let sweep =
        (any::<u64>(), any::<u64>()).prop_map(|(kept, stripped)| Step::Sweep { kept, stripped });
    prop_oneof![12 => change, 1 => sweep]
}

struct Machine {
    table: Table,
    writers: [EndpointSets<SharedWords>; 2],
    /// All ids in use; 0 is the empty set.
    ids: BTreeMap<Members, u32>,
}

impl Machine {
    fn new() -> Self {
        let table = Table::create(1, VIRTUAL_IDS as usize, SETS);
        let writer = |owner| EndpointSets::new(table.memory.clone(), owner, LOCK_ROUNDS);
        Self {
            writers: [writer(1), writer(2)],
            table,
            ids: BTreeMap::from([(Members::new(), 0)]),
        }
    }

    fn known(&self, set: Index) -> (Members, u32) {
        let (members, id) = self.ids.iter().nth(set.index(self.ids.len())).expect("one");
        (members.clone(), *id)
    }

    /// The id given for a set, or why there is none, is what the model says.
    fn note(&mut self, members: Members, given: Result<u32, NoSet>, reserved: usize) {
        let used = self.ids.len() - 1;
        match (given, self.ids.get(&members)) {
            (Ok(id), Some(known)) => assert_eq!(id, *known, "one id for {members:?}"),
            (Ok(id), None) => {
                assert!(self.ids.values().all(|other| *other != id), "{id} is taken");
                assert!(used + 1 + reserved < SETS, "over the bound");
                self.ids.insert(members, id);
            }
            (Err(why), known) => {
                assert_eq!((why, known), (NoSet::Full, None));
                assert!(used + 1 + reserved >= SETS, "{used} sets are not full");
            }
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Change {
                writer,
                set,
                virtual_id,
                tier,
                present,
            } => {
                let (mut members, id) = self.known(set);
                let sets = &mut self.writers[writer];
                sets.refresh();
                let given = sets.with_residency(id, virtual_id, tier, present);
                if present {
                    members.insert((virtual_id, tier));
                } else {
                    members.remove(&(virtual_id, tier));
                }
                self.note(members, given, if present { RESERVED } else { 0 });
            }
            Step::Sweep { kept, stripped } => self.sweep(kept, stripped),
        }
        for (members, id) in &self.ids {
            assert_eq!(&self.table.members(*id), members, "members of {id}");
        }
    }

    fn sweep(&mut self, kept: u64, stripped: u64) {
        let memory = self.table.memory.clone();
        for half in 0..2 {
            let mask = (stripped >> (32 * half)) as u32;
            memory.mask(Mask::Stripping, half).set(mask);
        }
        memory.state(state::SWEEP_CYCLE).add(1);
        memory.state(state::SETS_GENERATION).add(1);
        let cycle = memory.state(state::SWEEP_CYCLE).get();
        let met: Vec<(Members, u32)> = self.ids.clone().into_iter().collect();
        let mut left = BTreeSet::from([0]);
        for (number, (members, id)) in met.into_iter().enumerate() {
            if id == 0 || kept >> (number % 64) & 1 == 0 {
                continue;
            }
            self.writers[0].refresh();
            let given = self.writers[0].stripped(id);
            let is_left = |member: &(u32, u32)| stripped >> member.0 & 1 == 0;
            self.note(members.into_iter().filter(is_left).collect(), given, 0);
            if let Ok(id) = given {
                memory.set_meta(id, set_meta::STAMP).set(cycle);
                left.insert(id);
            }
        }
        assert!(self.writers[0].free_unstamped());
        self.ids.retain(|_, id| left.contains(id));
        let used = memory.state(state::SETS_USED).get() as usize;
        assert_eq!(used, self.ids.len() - 1);
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 12 } else { 150 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 2048 }))]

    #[test]
    fn one_id_for_each_set_within_the_bound(steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::new();
        for step in steps {
            machine.apply(step);
        }
    }
}
