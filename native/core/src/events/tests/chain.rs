//! Following a sequence, however an engine cuts it into blocks: the canonical blocks that come out
//! are those of the sequence as a whole, and each names the engine blocks it is made of.

use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::chain::{ChainPosition, advance, after};
use super::super::engine_blocks::{EngineBlocks, Known};
use super::super::event::{EngineKey, KeyKind};
use super::super::tail::length_of;
use super::world::World;
use crate::keys::chain_keys;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 512 }))]

    #[test]
    fn keys_do_not_depend_on_the_engines_block_size(
        cuts in vec(1..12_usize, 1..20),
        block_size in 1..9_usize,
        first_id in any::<u32>(),
    ) {
        let mut world = World::new();
        let mut writes = world.writes();
        let mut blocks = EngineBlocks::new();
        let seed = 77;
        let total = cuts.iter().sum::<usize>() as u32;
        let token_ids: Vec<u32> = (0..total).map(|at| first_id.wrapping_add(at * at)).collect();
        let mut position = ChainPosition { end: seed, before: None };
        let mut found = Vec::new();
        let mut start = 0;
        for (number, count) in cuts.iter().enumerate() {
            let own = &token_ids[start..start + count];
            let step = advance(position, own, block_size, &[]);
            let before = start % block_size;
            prop_assert_eq!(step.joint.is_some(), before > 0 && before + count >= block_size);
            if let Some(joint) = &step.joint {
                // The blocks behind it that reach into the canonical block it completes.
                let first = start - before;
                let overlapping = ends(&cuts[..number]).filter(|end| *end > first).count();
                prop_assert_eq!(joint.sources.len(), overlapping);
                found.push(joint.key);
            }
            found.extend(&step.keys);
            let left = (start + count) % block_size;
            let key = EngineKey { bits: number as u64, kind: KeyKind::Natural };
            let known = blocks.ensure(key, step.end, step.tail, &mut writes).expect("room");
            position = after(&known);
            prop_assert_eq!(length_of(position.before.as_ref()), left);
            if let (Known::Aside(block), Some(before)) = (&known, &position.before) {
                prop_assert!(Rc::ptr_eq(before, block));
            }
            start += count;
        }
        let mut expected = Vec::new();
        chain_keys(seed, &token_ids, block_size, &mut expected);
        prop_assert_eq!(found, expected);
    }
}

/// Where each block ends.
fn ends(cuts: &[usize]) -> impl Iterator<Item = usize> + '_ {
    cuts.iter().scan(0, |end, count| {
        *end += count;
        Some(*end)
    })
}
