//! The speculative table: what noting a prompt's blocks as expected costs the main thread, and what
//! matching against it costs, at several numbers of expectations that have not ended.

use std::hint::black_box;

use crate::load::{CHAIN_BLOCKS, key};
use crate::measure::{Rounds, cpu_ns};
use crate::memory::Table;
use warmpath_core::index::SpeculativeTable;
use warmpath_core::layout::limits::{REQUESTS_IN_FLIGHT_MAX, SPECULATIVE_TTL_MS};
use warmpath_core::layout::shared::{record, record_endpoint_arrays, request_memory};

const ENDPOINTS: usize = 64;
const ROUNDS: usize = 3000;
/// What the thread touches between two requests, so that no line of the table is near by chance.
const OTHER_WORDS: usize = 1 << 20;

pub fn run() -> Result<(), String> {
    for live_prompts in [20, 200, 2000] {
        at(live_prompts)?;
    }
    Ok(())
}

/// `live_prompts` prompts have been sent on within the lifetime of an expectation.
fn at(live_prompts: usize) -> Result<(), String> {
    let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * ENDPOINTS;
    let records = request_memory::HEAD_BYTES / 4 + REQUESTS_IN_FLIGHT_MAX * record_words;
    let memory = Table::new(records + (8 << 20) / 4, false);
    memory.words.store(
        request_memory::ENDPOINT_CAPACITY,
        ENDPOINTS as u32,
        std::sync::atomic::Ordering::Release,
    );
    let table = SpeculativeTable::open(memory.words)?;
    let other = vec![1_u32; OTHER_WORDS];
    let interval_ms = SPECULATIVE_TTL_MS as f64 / live_prompts as f64;
    let usable = [0; ENDPOINTS];
    let mut blocks = [0; ENDPOINTS];
    let mut rounds = [(); 3].map(|()| Rounds::new());
    let mut now_ms = 1e6;
    for prompt in 0..ROUNDS as u64 {
        let keys: Vec<u64> = (0..CHAIN_BLOCKS as u64).map(|at| key(prompt, at)).collect();
        now_ms += interval_ms;
        let slot = prompt as u32 % ENDPOINTS as u32;
        let measure = |rounds: &mut Rounds, act: &mut dyn FnMut()| {
            black_box(other.iter().step_by(16).sum::<u32>());
            let before = cpu_ns();
            act();
            rounds.push(cpu_ns() - before);
        };
        let [added, renewed, matched] = &mut rounds;
        measure(added, &mut || table.add(slot, &keys, now_ms));
        measure(renewed, &mut || table.add(slot, &keys, now_ms));
        measure(matched, &mut || {
            table.match_keys(&keys, CHAIN_BLOCKS, &usable, &mut blocks, now_ms);
        });
        if live_prompts < 500 && blocks[slot as usize] != CHAIN_BLOCKS as u32 {
            return Err("an expected prompt was not matched".to_owned());
        }
    }
    println!("{live_prompts} prompts of {CHAIN_BLOCKS} blocks expected:");
    let [added, renewed, matched] = &rounds;
    added.print("  noted as expected", CHAIN_BLOCKS);
    renewed.print("  noted once more", CHAIN_BLOCKS);
    matched.print("  matched", CHAIN_BLOCKS);
    Ok(())
}
