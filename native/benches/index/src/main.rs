//! `cargo run --release -p warmpath-bench-index`: matching, adding, removing, applying events and
//! the bytes they take, with 10 M residencies on 64 endpoints. CPU time of this thread; the best
//! and the median of several rounds, because machines are shared. Arguments: how many residencies,
//! then `small-pages`, or one of `matches`, `events` and `expected` for that part alone.

mod expected;
mod frames;
mod load;
mod measure;
mod memory;

use std::hint::black_box;

use load::{CHAIN_BLOCKS, ENDPOINTS, Fleet};
use measure::{Rounds, cpu_ns};
use memory::Table;
use warmpath_core::events::EventApplier;
use warmpath_core::index::{
    IndexOwner, IndexReader, IndexWriter, Layout, MatchResult, Memory, Residency,
};
use warmpath_core::keys::chain_keys;

const RESIDENCIES: usize = 10_000_000;
/// Generations need ids of their own until they are swept.
const VIRTUAL_IDS: usize = 2 * ENDPOINTS;
/// Blocks of 16 tokens in a prompt of 128k tokens.
const LONG_BLOCKS: usize = 8192;

fn main() {
    let residencies = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(RESIDENCIES);
    let large_pages = std::env::args().nth(2).as_deref() != Some("small-pages");
    if let Err(reason) = run(residencies, large_pages) {
        eprintln!("{reason}");
        std::process::exit(1);
    }
}

fn run(residencies: usize, large_pages: bool) -> Result<(), String> {
    if std::env::args().nth(2).as_deref() == Some("events") {
        return events_both(residencies);
    }
    if std::env::args().nth(2).as_deref() == Some("expected") {
        return expected::run();
    }
    let fleet = Fleet::new(residencies);
    let (layout, words) = Layout::plan(fleet.blocks + LONG_BLOCKS, VIRTUAL_IDS);
    let table = Table::new(words, large_pages);
    Memory::create(table.words, layout);
    IndexOwner::open(table.words)?;
    println!(
        "{} residencies of {} distinct blocks on {ENDPOINTS} endpoints; index of {:.0} MB",
        fleet.residencies,
        fleet.blocks,
        table.bytes() as f64 / 1e6
    );
    fill(&fleet, &table)?;
    matches(&fleet, &table)?;
    if std::env::args().nth(2).as_deref() == Some("matches") {
        return Ok(());
    }
    writes(&fleet, &table)?;
    drop(table);
    drop(fleet);
    events_both(residencies)
}

/// The mix of one busy endpoint or two, then of a whole fleet whose maps are in no cache.
fn events_both(residencies: usize) -> Result<(), String> {
    events(2, 32_000)?;
    events(ENDPOINTS, residencies / 2)
}

/// Adds everything; what adding costs, and what it takes.
fn fill(fleet: &Fleet, table: &Table) -> Result<(), String> {
    let mut writer = IndexWriter::open(table.words, 0, None)?;
    let ids: Vec<_> = (0..ENDPOINTS as u32)
        .filter_map(|slot| writer.open_endpoint(slot))
        .collect();
    let mut added = 0_u32;
    let start = cpu_ns();
    let mut keys = Vec::new();
    for conversation in &fleet.conversations {
        for (endpoint, from) in fleet.places(conversation) {
            keys.clear();
            fleet.keys(conversation, CHAIN_BLOCKS, &mut keys);
            let tier = conversation.tier;
            let residencies = keys[from..].iter().map(|key| Residency {
                key: *key,
                tier,
                group: 0,
            });
            let ahead = residencies.clone().skip(16);
            for (residency, ahead) in
                residencies.zip(ahead.map(Some).chain(std::iter::repeat(None)))
            {
                if let Some(ahead) = ahead {
                    writer.prefetch(ahead);
                }
                writer.add(ids[endpoint], residency);
                added += 1;
            }
        }
    }
    let spent = cpu_ns() - start;
    let stats = IndexOwner::open(table.words)?.stats();
    println!(
        "add, into a growing table, key generation included: {:.0} ns ({added} adds, {} rejected, \
         {} sets)",
        spent as f64 / f64::from(added),
        stats.rejected,
        stats.sets
    );
    println!(
        "index: {:.2} bytes per (block, endpoint), {:.2} per distinct block",
        stats.bytes as f64 / fleet.residencies as f64,
        stats.bytes as f64 / f64::from(stats.blocks)
    );
    Ok(())
}

fn matches(fleet: &Fleet, table: &Table) -> Result<(), String> {
    let mut writer = IndexWriter::open(table.words, 1, None)?;
    let long: Vec<u64> = (0..LONG_BLOCKS as u64).map(load::long_key).collect();
    // The long prompt is where the first conversation is.
    let first = fleet.places(&fleet.conversations[0]).next();
    let slot = first.map_or(0, |(endpoint, _)| endpoint as u32);
    let id = writer.open_endpoint(slot + 100).ok_or("no virtual id")?;
    for key in &long {
        writer.add(
            id,
            Residency {
                key: *key,
                tier: 0,
                group: 0,
            },
        );
    }
    let mut reader = IndexReader::open(table.words)?;
    let mut result = Result3::new(256);
    for (name, blocks) in [("450", 450), ("500 (8k tokens)", 500)] {
        let mut rounds = Rounds::new();
        let mut hashed = Rounds::new();
        let mut keys = Vec::new();
        let token_ids: Vec<u32> = (0..blocks * 16).map(|token| token as u32 * 7).collect();
        for round in 0..4000 {
            keys.clear();
            fleet.keys(fleet.conversation(round), blocks, &mut keys);
            let mut own = Vec::with_capacity(blocks);
            let before = cpu_ns();
            chain_keys(black_box(1), &token_ids, 16, &mut own);
            black_box(&own);
            let between = cpu_ns();
            reader.match_keys(black_box(&keys), blocks, &mut result.slices());
            let after = cpu_ns();
            black_box(&result.usable);
            hashed.push(between - before);
            rounds.push(after - between);
        }
        rounds.print(&format!("match of {name} blocks, changing prompts"), blocks);
        hashed.print(&format!("hash of {name} blocks"), blocks);
    }
    let mut rounds = Rounds::new();
    let mut hashed = Rounds::new();
    let token_ids: Vec<u32> = (0..LONG_BLOCKS * 16)
        .map(|token| token as u32 * 7)
        .collect();
    for round in 0..200 {
        let mut own = Vec::with_capacity(LONG_BLOCKS);
        // Other prompts in between, so that the table is not in the cache.
        for other in 0..20 {
            let mut keys = Vec::new();
            fleet.keys(fleet.conversation(round * 20 + other), 450, &mut keys);
            reader.match_keys(&keys, 450, &mut result.slices());
        }
        let before = cpu_ns();
        chain_keys(black_box(1), &token_ids, 16, &mut own);
        black_box(&own);
        let between = cpu_ns();
        reader.match_keys(black_box(&long), LONG_BLOCKS, &mut result.slices());
        let after = cpu_ns();
        hashed.push(between - before);
        rounds.push(after - between);
    }
    if result.usable[slot as usize + 100] != LONG_BLOCKS as u32 {
        return Err("the long prompt was not matched".to_owned());
    }
    rounds.print("match of 8192 blocks (128k tokens)", LONG_BLOCKS);
    hashed.print("hash of 8192 blocks", LONG_BLOCKS);
    Ok(())
}

/// One conversation's worth of fresh blocks, added and removed.
fn writes(fleet: &Fleet, table: &Table) -> Result<(), String> {
    let mut writer = IndexWriter::open(table.words, 2, None)?;
    let id = writer.open_endpoint(200).ok_or("no virtual id")?;
    let (mut adds, mut removes) = (Rounds::new(), Rounds::new());
    for round in 0..2000 {
        let residencies: Vec<Residency> = (0..350)
            .map(|block| Residency {
                key: load::key(1 << 40 | (fleet.conversations.len() + round) as u64, block),
                tier: 0,
                group: 0,
            })
            .collect();
        let before = cpu_ns();
        for (at, residency) in residencies.iter().enumerate() {
            if let Some(ahead) = residencies.get(at + 16) {
                writer.prefetch(*ahead);
            }
            writer.add(id, *residency);
        }
        let between = cpu_ns();
        for (at, residency) in residencies.iter().enumerate() {
            if let Some(ahead) = residencies.get(at + 16) {
                writer.prefetch(*ahead);
            }
            writer.remove(id, *residency);
        }
        adds.push(between - before);
        removes.push(cpu_ns() - between);
    }
    adds.print("add of 350 fresh blocks", 350);
    removes.print("remove of 350 blocks just added", 350);
    Ok(())
}

/// The mix of busy endpoints, `blocks` engine blocks in all.
fn events(publishers: usize, blocks: usize) -> Result<(), String> {
    let (layout, words) = Layout::plan(blocks + blocks / 4, VIRTUAL_IDS);
    let table = Table::new(words, true);
    Memory::create(table.words, layout);
    IndexOwner::open(table.words)?;
    let mut applier = EventApplier::new(IndexWriter::open(table.words, 0, None)?, 1);
    let per_publisher = blocks / publishers;
    let mut streams: Vec<frames::Mix> = (0..publishers as u64)
        .map(|seed| frames::Mix::new(seed, per_publisher))
        .collect();
    for slot in 0..publishers as u32 {
        applier.open(slot, "bench", 16);
    }
    let mut rounds = Rounds::new();
    let mut growing = (0_u64, 0_u64);
    let mut frames = vec![Vec::new(); 16];
    while !streams.iter().all(frames::Mix::is_full) || rounds.len() < 400 {
        let was_full = streams.iter().all(frames::Mix::is_full);
        let mut stored = 0_u64;
        let mut spent = 0;
        for (slot, stream) in streams.iter_mut().enumerate() {
            // Made first and applied together: reading the clock takes as long as some blocks.
            for frame in &mut frames {
                frame.clear();
                stored += stream.frame(frame) as u64;
            }
            let before = cpu_ns();
            let fine = frames.iter().all(|frame| {
                let applied = applier.apply(slot as u32, frame);
                applied.is_some_and(|applied| {
                    applied.unknown_blocks == 0
                        && applied.unknown_parents == 0
                        && applied.index_full == 0
                })
            });
            spent += cpu_ns() - before;
            if !fine {
                return Err("a frame was not applied whole".to_owned());
            }
        }
        if was_full {
            rounds.push(spent * 1000 / stored.max(1));
        } else {
            growing.0 += spent;
            growing.1 += stored;
        }
    }
    let stats = IndexOwner::open(table.words)?.stats();
    let (known, map_bytes) = applier.usage();
    println!(
        "events, {known} engine blocks on {publishers} endpoints, maps growing: {:.2} M stored blocks per CPU-second",
        growing.1 as f64 * 1e3 / growing.0 as f64
    );
    let (best, median) = rounds.best_and_median();
    println!(
        "events, steady (as many removed): {:.2} M stored blocks per CPU-second, best round {:.2} M",
        1e6 / median as f64,
        1e6 / best as f64
    );
    println!(
        "engine-key maps: {:.2} bytes per (block, endpoint); index beside them {:.2} per block",
        map_bytes as f64 / known as f64,
        stats.bytes as f64 / f64::from(stats.blocks)
    );
    Ok(())
}

/// Arrays for one match.
struct Result3 {
    usable: Vec<u32>,
    tiers: Vec<u32>,
    raw: Vec<u32>,
}

impl Result3 {
    fn new(slots: usize) -> Self {
        Self {
            usable: vec![0; slots],
            tiers: vec![0; 4 * slots],
            raw: vec![0; slots],
        }
    }

    fn slices(&mut self) -> MatchResult<'_> {
        MatchResult {
            usable_blocks: &mut self.usable,
            tier_blocks: &mut self.tiers,
            raw_blocks: &mut self.raw,
        }
    }
}
