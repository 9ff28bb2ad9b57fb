//! The index on memory of its own, small enough for miri; laws and models of the protocol are in
//! `test/contract/block-index.suite.ts` and `native/loom`.

mod block_index;
mod endpoint_sets;
mod speculative;
mod steps;

use std::collections::HashMap;

use super::*;
use crate::shared_words::SharedWords;

/// An empty index; the words live as long as the vector.
fn create(blocks: usize) -> (Vec<u32>, SharedWords) {
    let (layout, words) = Layout::plan(blocks, 64);
    let mut backing = vec![0_u32; words];
    // SAFETY: the vector is kept, and not touched, as long as the words are used.
    let shared = unsafe { SharedWords::new(backing.as_mut_ptr().cast(), words * 4) };
    let shared = shared.expect("words are aligned");
    Memory::create(shared, layout);
    (backing, shared)
}

fn usable(reader: &mut IndexReader, keys: &[u64]) -> u32 {
    let (mut usable, mut tiers, mut raw) = ([7; 2], [7; 8], [7; 2]);
    let mut result = MatchResult {
        usable_blocks: &mut usable,
        tier_blocks: &mut tiers,
        raw_blocks: &mut raw,
    };
    reader.match_keys(keys, keys.len(), &mut result);
    usable[0]
}

fn residency(key: u64) -> Residency {
    Residency {
        key,
        tier: 0,
        group: 0,
    }
}

#[test]
fn a_nearly_full_table_answers_as_a_map_does() {
    let (_backing, words) = create(80);
    let mut writer = IndexWriter::open(words, 0, None).expect("a writer");
    let mut reader = IndexReader::open(words).expect("a reader");
    let id = writer.open_endpoint(0).expect("a virtual id");
    let mut model = HashMap::new();
    let mut state = 1_u64;
    for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let key = ((state >> 33) % 120).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let held = model.contains_key(&key);
        assert_eq!(usable(&mut reader, &[key]), u32::from(held));
        let status = if held {
            writer.remove(id, residency(key))
        } else {
            writer.add(id, residency(key))
        };
        match status {
            WriteStatus::Done if held => drop(model.remove(&key)),
            WriteStatus::Done => drop(model.insert(key, ())),
            WriteStatus::Full => assert!(!held && model.len() == 112),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        IndexOwner::open(words).expect("an owner").stats().blocks as usize,
        model.len()
    );
}

#[test]
fn writers_and_a_reader_on_threads_of_their_own() {
    let (_backing, words) = create(80);
    let rounds = if cfg!(miri) { 20 } else { 5000 };
    std::thread::scope(|scope| {
        for writer_id in 0..2 {
            scope.spawn(move || {
                let mut writer = IndexWriter::open(words, writer_id, None).expect("a writer");
                let id = writer.open_endpoint(writer_id).expect("a virtual id");
                for round in 0..rounds {
                    let key = residency(round % 5 + 1);
                    assert_eq!(writer.add(id, key), WriteStatus::Done);
                    assert_eq!(writer.remove(id, key), WriteStatus::Done);
                }
            });
        }
        scope.spawn(move || {
            let mut reader = IndexReader::open(words).expect("a reader");
            for _ in 0..rounds {
                assert!(usable(&mut reader, &[1, 2]) <= 2);
                assert_eq!(usable(&mut reader, &[u64::MAX]), 0);
            }
        });
    });
}
