//! The block index on real atomics: one thread writes and sweeps, others match, and no match names
//! more than was ever told. Small enough for miri, which looks for data races and bad pointers.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use warmpath_core::index::{IndexReader, IndexWriter, Layout, MatchResult, Memory, Residency};
use warmpath_core::keys::{chain_keys, namespace_seed};
use warmpath_core::shared_words::SharedWords;

const ROUNDS: usize = 2;

struct Table {
    words: SharedWords,
    _memory: Vec<u64>,
}

fn table() -> Table {
    let (layout, words) = Layout::place(4, 64, 16);
    let mut memory = vec![0_u64; words.div_ceil(2)];
    // SAFETY: the memory lives as long as the table and is only touched through the words.
    let shared = unsafe { SharedWords::new(memory.as_mut_ptr().cast(), words * 4) }.unwrap();
    Memory::create(shared, layout);
    Table {
        words: shared,
        _memory: memory,
    }
}

fn matched(reader: &mut IndexReader, keys: &[u64]) -> [u32; 4] {
    let (mut usable, mut tiers, mut raw) = ([0; 4], [0; 16], [0; 4]);
    let mut result = MatchResult {
        usable_blocks: &mut usable,
        tier_blocks: &mut tiers,
        raw_blocks: &mut raw,
    };
    reader.match_keys(keys, keys.len(), &mut result);
    usable
}

#[test]
fn matches_beside_a_writer_claim_only_what_was_told() {
    let table = table();
    let words = table.words;
    let mut keys = Vec::new();
    let ids: Vec<u32> = (0..12).collect();
    chain_keys(namespace_seed(1, "pool", "", ""), &ids, 4, &mut keys);
    let residency = |key: &u64| Residency {
        key: *key,
        tier: 0,
        group: 0,
    };
    let over = AtomicBool::new(false);
    let (over, keys) = (&over, &keys);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut writer = IndexWriter::open(words, 0, None).unwrap();
            for _ in 0..ROUNDS {
                let endpoint = writer.open_endpoint(2).unwrap();
                for key in keys.iter().take(2) {
                    writer.add(endpoint, residency(key));
                }
                writer.remove(endpoint, residency(&keys[1]));
                writer.drop_endpoint(endpoint);
                writer.sweep(usize::from(u8::MAX));
            }
            over.store(true, Ordering::Release);
        });
        scope.spawn(move || {
            let mut reader = IndexReader::open(words).unwrap();
            while !over.load(Ordering::Acquire) {
                let [first, second, own, last] = matched(&mut reader, keys);
                assert_eq!((first, second, last), (0, 0, 0), "a slot nobody wrote");
                assert!(own <= 2, "{own} blocks of a chain of which two were told");
                // Under miri threads take turns: the writer is to get on.
                std::thread::yield_now();
            }
        });
    });
    let mut writer = IndexWriter::open(words, 1, None).unwrap();
    let endpoint = writer.open_endpoint(3).unwrap();
    for key in keys {
        writer.add(endpoint, residency(key));
    }
    let mut reader = IndexReader::open(words).unwrap();
    assert_eq!(matched(&mut reader, keys), [0, 0, 0, 3]);
}
