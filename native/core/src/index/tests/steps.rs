//! What may happen to an index between two looks at it.

use proptest::prelude::*;
use proptest::sample::Index;

use super::block_index::{GROUPS, KEYS, SLOTS};

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Open {
        writer: usize,
        slot: u32,
    },
    Write {
        writer: usize,
        generation: Index,
        key: usize,
        tier: u32,
        group: u32,
        present: bool,
    },
    /// As an engine stores a prompt: every block from the first.
    Store {
        generation: Index,
        count: usize,
        tier: u32,
        group: u32,
    },
    Drop {
        writer: usize,
        generation: Index,
    },
    DropSlot {
        writer: usize,
        slot: u32,
    },
    Window {
        generation: Index,
        group: u32,
        blocks: u32,
    },
    Alignment {
        generation: Index,
        blocks: u32,
    },
    Sweep {
        writer: usize,
        buckets: usize,
    },
    Recover,
    Match {
        count: usize,
        limit: usize,
    },
}

/// Any step.
pub fn step() -> impl Strategy<Value = Step> {
    let writer = 0..2_usize;
    let slot = 0..SLOTS as u32;
    let (tier, group) = (0..4_u32, prop_oneof![3 => Just(0), 1 => 0..GROUPS]);
    let of = any::<Index>;
    prop_oneof![
        3 => (writer.clone(), slot.clone())
            .prop_map(|(writer, slot)| Step::Open { writer, slot }),
        12 => (writer.clone(), of(), 0..KEYS, tier.clone(), group.clone(), any::<bool>()).prop_map(
            |(writer, generation, key, tier, group, present)| Step::Write {
                writer, generation, key, tier, group, present
            }
        ),
        6 => (of(), 0..=KEYS, tier, group).prop_map(|(generation, count, tier, group)| {
            Step::Store { generation, count, tier, group }
        }),
        1 => (writer.clone(), of())
            .prop_map(|(writer, generation)| Step::Drop { writer, generation }),
        1 => (writer.clone(), slot).prop_map(|(writer, slot)| Step::DropSlot { writer, slot }),
        1 => (of(), 1..GROUPS, 0..6_u32)
            .prop_map(|(generation, group, blocks)| Step::Window { generation, group, blocks }),
        1 => (of(), 0..4_u32)
            .prop_map(|(generation, blocks)| Step::Alignment { generation, blocks }),
        3 => (writer, prop_oneof![1..5_usize, Just(usize::MAX)])
            .prop_map(|(writer, buckets)| Step::Sweep { writer, buckets }),
        1 => Just(Step::Recover),
        8 => (0..=KEYS, 0..=KEYS).prop_map(|(count, limit)| Step::Match { count, limit }),
    ]
}
