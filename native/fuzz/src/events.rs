//! KV events: frames of a hostile publisher, applied one after another to a small index beside an
//! honest publisher's. Whatever comes, the index holds no more than was announced, and nothing of
//! the other publisher changes.

use warmpath_core::events::{Applied, ApplyStatus, EventApplier};
use warmpath_core::index::{IndexOwner, IndexReader, IndexWriter, MatchResult};
use warmpath_core::keys::{chain_keys, namespace_seed};
use warmpath_core::layout::limits::EVENT_FRAME_BYTES_MAX;

use crate::Target;
use crate::memory::IndexMemory;
use crate::msgpack::{self, Value};
use crate::seeds::{bytes_of_hex, golden_named};

/// Input: a byte that chooses the canonical block size, then frames, each after its length as u16
/// little-endian; a frame of `u16::MAX` or more bytes has what is left.
pub const TARGET: Target = Target {
    name: "events",
    run,
    seeds,
    words: &[
        "\u{ab}BlockStored",
        "BlockRemoved",
        "AllBlocksCleared",
        "block_hashes",
        "token_ids",
        "extra_keys",
        "group_idx",
        "kv_cache_spec_kind",
        "sliding_window",
        "__proto__",
    ],
};

const FRAMES_MAX: usize = 64;
const BLOCK_CAPACITY: usize = 2048;
const SECRET: u64 = 9;
const POOL: &str = "pool";
const HOSTILE: u32 = 3;
const HONEST: u32 = 7;
const BLOCK_SIZES: [u32; 4] = [16, 1, 4, 64];

fn run(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    let block_size = BLOCK_SIZES[usize::from(choice & 3)];
    let index = IndexMemory::new(BLOCK_CAPACITY);
    let owner = IndexOwner::open(index.words).unwrap();
    let mut applier = EventApplier::new(IndexWriter::open(index.words, 0, None).unwrap(), SECRET);
    applier.open(HONEST, POOL, 4);
    applier.open(HOSTILE, POOL, block_size);
    assert_eq!(
        applier
            .apply(HONEST, &honest_frame())
            .unwrap()
            .blocks_stored,
        2
    );
    let mut announced = Announced::default();
    let mut last = None;
    for frame in frames(rest) {
        let before = (applier.usage().0, owner.stats().blocks);
        let applied = applier.apply(HOSTILE, frame).unwrap();
        if applied.status == ApplyStatus::Applied {
            announced.add(frame, &applied, block_size);
            last = Some(frame);
        } else {
            // A malformed frame changes nothing.
            assert_eq!(applied.status, ApplyStatus::Malformed);
            assert!(!applier.detail().is_empty());
            assert_eq!((applier.usage().0, owner.stats().blocks), before);
        }
        assert!(applier.usage().0 <= 2 + announced.hashes);
        let blocks = usize::try_from(owner.stats().blocks).unwrap();
        assert!(blocks <= 2 + announced.blocks, "{blocks} of {announced:?}");
        assert!(
            honest_match(&index) == 2,
            "the other publisher's blocks changed"
        );
    }
    if let Some(frame) = last {
        refuses_damage(&mut applier, frame);
    }
    applier.close(HOSTILE);
    // One pass may have begun before the publisher was dropped.
    for _ in 0..3 {
        while !applier.sweep(1 << 20) {}
    }
    assert_eq!(owner.stats().blocks, 2);
    assert_eq!(honest_match(&index), 2);
}

fn frames(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [low, high, after @ ..] = rest
        && frames.len() < FRAMES_MAX
    {
        let length = match u16::from_le_bytes([*low, *high]) {
            u16::MAX => after.len(),
            length => usize::from(length).min(after.len()),
        };
        let (frame, next) = after.split_at(length);
        frames.push(frame);
        rest = next;
    }
    frames
}

/// A frame that was accepted is refused with anything behind it, or when it is cut.
fn refuses_damage(applier: &mut EventApplier, frame: &[u8]) {
    for garbage in [&[0xc0_u8][..], &[0x93, 0x00, 0x90, 0x00], &[0xc1]] {
        let longer = [frame, garbage].concat();
        let status = applier.apply(HOSTILE, &longer).unwrap().status;
        assert_eq!(status, ApplyStatus::Malformed, "garbage behind");
    }
    for cut in [1, frame.len() / 2, frame.len()] {
        let shorter = &frame[..frame.len() - cut];
        let status = applier.apply(HOSTILE, shorter).unwrap().status;
        assert_eq!(status, ApplyStatus::Malformed, "cut by {cut}");
    }
}

/// The most that store events of accepted frames can have put anywhere.
#[derive(Debug, Default)]
struct Announced {
    hashes: usize,
    blocks: usize,
}

impl Announced {
    fn add(&mut self, frame: &[u8], applied: &Applied, block_size: u32) {
        let read = msgpack::read(frame).expect("the second reader takes what the walker took");
        let Value::Array(parts) = read else {
            panic!("an accepted batch is an array");
        };
        let Some(Value::Array(events)) = parts.get(1) else {
            panic!("an accepted batch has events");
        };
        let (mut stored, mut removed) = (0, 0);
        for event in events {
            match event_lists(event) {
                Some((true, hashes, tokens)) => {
                    stored += hashes;
                    // Blocks that tokens fill, and one more per hash that ends across a border.
                    self.blocks += tokens / block_size as usize + hashes + 1;
                }
                Some((false, hashes, _)) => removed += hashes,
                None => {}
            }
        }
        self.hashes += stored;
        assert!(applied.blocks_stored as usize <= stored, "{applied:?}");
        let named = (applied.blocks_removed + applied.unknown_blocks) as usize;
        assert!(named <= removed + stored, "{applied:?}");
    }
}

/// Whether an event stores, its hashes, its token ids; null for other events.
fn event_lists(event: &Value) -> Option<(bool, usize, usize)> {
    let (tag, hashes, tokens) = match event {
        Value::Array(fields) => (fields.first(), fields.get(1), fields.get(3)),
        Value::Map(entries) => {
            let named = |name: &str| {
                let is_named = |entry: &&(Value, Value)| entry.0 == Value::Text(name.into());
                entries.iter().rfind(is_named).map(|(_, value)| value)
            };
            (named("type"), named("block_hashes"), named("token_ids"))
        }
        _ => return None,
    };
    let Some(Value::Text(tag)) = tag else {
        return None;
    };
    let count = |list: Option<&Value>| match list {
        Some(Value::Array(items)) => items.len(),
        _ => 0,
    };
    match tag.as_slice() {
        b"BlockStored" => Some((true, count(hashes), count(tokens))),
        b"BlockRemoved" => Some((false, count(hashes), 0)),
        _ => None,
    }
}

/// Two blocks of 4 tokens each.
fn honest_frame() -> Vec<u8> {
    let mut frame = vec![0x93, 0x01, 0x91, 0x95, 0xab];
    frame.extend_from_slice(b"BlockStored");
    frame.extend_from_slice(&[0x92, 101, 102, 0xc0, 0x98, 1, 2, 3, 4, 5, 6, 7, 8, 4, 0xc0]);
    frame
}

/// Leading blocks of the honest publisher's chain that it is known to hold.
fn honest_match(index: &IndexMemory) -> u32 {
    let mut keys = Vec::new();
    let seed = namespace_seed(SECRET, POOL, "", "");
    chain_keys(seed, &[1, 2, 3, 4, 5, 6, 7, 8], 4, &mut keys);
    let (mut usable, mut tiers, mut raw) = ([0; 8], [0; 32], [0; 8]);
    let mut result = MatchResult {
        usable_blocks: &mut usable,
        tier_blocks: &mut tiers,
        raw_blocks: &mut raw,
    };
    let mut reader = IndexReader::open(index.words).unwrap();
    reader.match_keys(&keys, keys.len(), &mut result);
    usable[HONEST as usize]
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in golden_named("-event-batches.json") {
        let mut all = vec![0];
        for case in file["cases"].as_array().unwrap() {
            let frame = bytes_of_hex(case["payload_hex"].as_str().unwrap());
            push(&mut all, &frame);
            for choice in [0, 1] {
                let mut one = vec![choice];
                push(&mut one, &frame);
                push(&mut one, &frame);
                seeds.push(one);
            }
        }
        seeds.push(all);
    }
    for frame in bombs().into_iter().chain(large()) {
        let mut one = vec![0];
        push(&mut one, &frame);
        seeds.push(one);
    }
    seeds
}

fn push(input: &mut Vec<u8>, frame: &[u8]) {
    let length = u16::try_from(frame.len()).unwrap_or(u16::MAX);
    input.extend_from_slice(&length.to_le_bytes());
    input.extend_from_slice(frame);
}

/// One event as large as a frame may be, of token ids that would take hours if the work grew with
/// the square of their number.
fn large() -> Vec<Vec<u8>> {
    let shapes: [&[u8]; 3] = [&[5], &[5, 0xcd, 0x10, 7], &[0xcc, 200, 0xce, 0, 1, 0, 0, 5]];
    shapes
        .iter()
        .map(|shape| {
            let ids = shape
                .iter()
                .filter(|byte| matches!(byte, 5 | 0xcc..=0xce))
                .count();
            let rounds = (EVENT_FRAME_BYTES_MAX - 64) / shape.len();
            let count = u32::try_from(rounds * ids).unwrap().to_be_bytes();
            let mut frame = vec![0x92, 0x01, 0x91, 0x95, 0xab];
            frame.extend_from_slice(b"BlockStored");
            frame.extend_from_slice(&[0x91, 0x01, 0xc0, 0xdd]);
            frame.extend_from_slice(&count);
            frame.extend_from_slice(&shape.repeat(rounds));
            // All of it is one block.
            frame.push(0xce);
            frame.extend_from_slice(&count);
            frame
        })
        .collect()
}

/// What makes other readers of msgpack run out of memory or stack.
fn bombs() -> Vec<Vec<u8>> {
    let within = |head: &[u8], body: &[u8]| [&[0x92, 0x00][..], head, body].concat();
    let mut stored = vec![0x95, 0xab];
    stored.extend_from_slice(b"BlockStored");
    vec![
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        [0xdc, 0xff, 0xff].repeat(2_000),
        [0xdc, 0xff, 0xff].repeat(20_000),
        vec![0x91; 60_000],
        vec![0x81; 60_000],
        within(&[0xdd, 0xff, 0xff, 0xff, 0xff], &[]),
        within(
            &[0x91],
            &[&stored[..], &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat(),
        ),
        within(
            &[0x91],
            &[&stored[..], &[0xdc, 0xff, 0xff].repeat(4_000)].concat(),
        ),
        within(&[0xc6, 0xff, 0xff, 0xff, 0xff], &[]),
        within(&[0x91, 0x81, 0xa9], b"__proto__\x01"),
        within(&[0x91], &[0x91; 5_000]),
        within(&[0x91, 0xc7, 0x03, 0xff], &[0; 3]),
    ]
}
