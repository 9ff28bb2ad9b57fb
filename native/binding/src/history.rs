//! The routing history for JavaScript: what it knows of a prompt are its keys in the request store, so
//! a request costs one call when it is sent and one when it has ended. Work: 0 done, 1 more, 2 stuck.
#![deny(clippy::indexing_slicing)]

use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;
use warmpath_core::history::{RoutingHistory, Shape, Work};
use warmpath_core::index::IndexWriter;
use warmpath_core::store::Handle;

use crate::common::HeldMemory;
use crate::registry::Local;
use crate::store::STORES;

struct Opened {
    history: RoutingHistory,
    _memory: HeldMemory,
}

thread_local! {
    static HISTORIES: Local<Opened> = const { Local::new("routing history") };
}

fn with<R>(history: u32, act: impl FnOnce(&mut RoutingHistory) -> R) -> Result<R> {
    HISTORIES.with(|histories| histories.with(history, |opened| Ok(act(&mut opened.history))))
}

#[napi(catch_unwind)]
pub fn history_create(store: u32, index: Uint8Array, writer_id: u32) -> Result<u32> {
    let memory = HeldMemory::new(index)?;
    let writer = IndexWriter::open(memory.words, writer_id, None).map_err(Error::from_reason)?;
    let history = RoutingHistory::new(writer, STORES.get(store)?);
    let opened = Opened {
        history,
        _memory: memory,
    };
    Ok(HISTORIES.with(|histories| histories.insert(opened)))
}

#[napi(catch_unwind)]
pub fn history_destroy(history: u32) {
    HISTORIES.with(|histories| drop(histories.remove(history)));
}

#[napi(catch_unwind)]
pub fn history_open(
    history: u32,
    slot: u32,
    capacity_blocks: u32,
    block_size: u32,
    alignment_blocks: u32,
) -> Result<()> {
    let shape = Shape {
        capacity_blocks,
        block_size,
        alignment_blocks,
    };
    with(history, |history| history.open(slot, shape))
}

#[napi(catch_unwind)]
pub fn history_close(history: u32, slot: u32) -> Result<()> {
    with(history, |history| history.close(slot))
}

#[napi(catch_unwind)]
pub fn history_begin(
    history: u32,
    slot: u32,
    generation: u32,
    endpoint: u32,
    prompt_tokens: u32,
) -> Result<u32> {
    let handle = Handle { slot, generation };
    with(history, |history| {
        work(history.begin(handle, endpoint, prompt_tokens))
    })
}

/// `cached` is −1 where the engine does not tell.
#[napi(catch_unwind)]
pub fn history_end(
    history: u32,
    slot: u32,
    generation: u32,
    computed: u32,
    cached: i32,
) -> Result<u32> {
    let handle = Handle { slot, generation };
    let cached = u32::try_from(cached).ok();
    with(history, |history| {
        work(history.end(handle, computed, cached))
    })
}

#[napi(catch_unwind)]
pub fn history_withdraw(history: u32, slot: u32, generation: u32) -> Result<u32> {
    let handle = Handle { slot, generation };
    with(history, |history| work(history.withdraw(handle)))
}

#[napi(catch_unwind)]
pub fn history_advance(history: u32) -> Result<u32> {
    with(history, |history| work(history.advance()))
}

/// Blocks a prompt can hit, capacity, requests; empty where the slot has no history.
#[napi(catch_unwind)]
pub fn history_usage(history: u32, slot: u32) -> Result<Vec<u32>> {
    with(history, |history| {
        history.usage(slot).map_or_else(Vec::new, |usage| {
            vec![
                usage.blocks as u32,
                usage.capacity_blocks,
                usage.requests as u32,
            ]
        })
    })
}

fn work(work: Work) -> u32 {
    work as u32
}
