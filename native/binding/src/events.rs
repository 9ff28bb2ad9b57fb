//! Event appliers for JavaScript. `events_apply` gives a status (0 applied, 1 malformed, 2 index
//! stuck) and leaves the counts of the frame in the array the applier was made with.
#![deny(clippy::indexing_slicing)]

use napi::bindgen_prelude::{Error, Result, Uint8Array, Uint32Array};
use napi_derive::napi;
use warmpath_core::events::{Applied, EventApplier};
use warmpath_core::index::IndexWriter;

use crate::common::HeldMemory;
use crate::registry::Local;

struct OpenedApplier {
    applier: EventApplier,
    counts: Uint32Array,
    _memory: HeldMemory,
}

/// Counts of a frame, in the order of the face's array.
const COUNTS: usize = 8;

thread_local! {
    static APPLIERS: Local<OpenedApplier> = const { Local::new("event applier") };
}

/// Creates an applier that writes into `index` as `writer_id`; the secret comes in two words.
#[napi(catch_unwind)]
pub fn events_create(
    index: Uint8Array,
    writer_id: u32,
    secret_low: u32,
    secret_high: u32,
    counts: Uint32Array,
) -> Result<u32> {
    if counts.len() < COUNTS {
        return Err(Error::from_reason("the counts do not fit into their array"));
    }
    let memory = HeldMemory::new(index)?;
    let writer = IndexWriter::open(memory.words, writer_id, None).map_err(Error::from_reason)?;
    let secret = u64::from(secret_high) << 32 | u64::from(secret_low);
    let opened = OpenedApplier {
        applier: EventApplier::new(writer, secret),
        counts,
        _memory: memory,
    };
    Ok(APPLIERS.with(|appliers| appliers.insert(opened)))
}

#[napi(catch_unwind)]
pub fn events_destroy(applier: u32) {
    APPLIERS.with(|appliers| drop(appliers.remove(applier)));
}

fn with_applier<R>(applier: u32, act: impl FnOnce(&mut EventApplier) -> R) -> Result<R> {
    APPLIERS.with(|appliers| appliers.with(applier, |opened| Ok(act(&mut opened.applier))))
}

#[napi(catch_unwind)]
pub fn events_open(applier: u32, slot: u32, pool: String, block_size: u32) -> Result<()> {
    with_applier(applier, |applier| applier.open(slot, &pool, block_size))
}

/// Applies one frame of the publisher in `slot`.
#[napi(catch_unwind)]
pub fn events_apply(applier: u32, slot: u32, payload: &[u8]) -> Result<u32> {
    APPLIERS.with(|appliers| {
        appliers.with(applier, |opened| {
            let applied = opened.applier.apply(slot, payload);
            let applied = applied.ok_or_else(|| not_opened(slot))?;
            // SAFETY: the array is this applier's own: JavaScript reads it between calls, on this
            // thread only.
            let counts = unsafe { opened.counts.as_mut() };
            for (count, value) in counts.iter_mut().zip(counts_of(&applied)) {
                *count = value;
            }
            Ok(applied.status as u32)
        })
    })
}

/// Why the last frame was not applied; empty when it was.
#[napi(catch_unwind)]
pub fn events_detail(applier: u32) -> Result<String> {
    with_applier(applier, |applier| applier.detail().to_owned())
}

#[napi(catch_unwind)]
pub fn events_reset(applier: u32, slot: u32) -> Result<()> {
    match with_applier(applier, |applier| applier.reset(slot))? {
        true => Ok(()),
        false => Err(not_opened(slot)),
    }
}

#[napi(catch_unwind)]
pub fn events_close(applier: u32, slot: u32) -> Result<()> {
    with_applier(applier, |applier| applier.close(slot))
}

#[napi(catch_unwind)]
pub fn events_sweep(applier: u32, bucket_count: u32) -> Result<bool> {
    with_applier(applier, |applier| applier.sweep(bucket_count as usize))
}

/// Engine blocks known to all publishers, and the bytes of their maps.
#[napi(catch_unwind)]
pub fn events_usage(applier: u32) -> Result<Vec<f64>> {
    with_applier(applier, |applier| {
        let (blocks, bytes) = applier.usage();
        vec![blocks as f64, bytes as f64]
    })
}

fn counts_of(applied: &Applied) -> [u32; COUNTS] {
    [
        applied.blocks_stored,
        applied.blocks_removed,
        u32::from(applied.cleared),
        applied.unknown_parents,
        applied.unknown_blocks,
        applied.unknown_events,
        applied.index_full,
        applied.block_size,
    ]
}

fn not_opened(slot: u32) -> Error {
    Error::from_reason(format!("publisher {slot} was not opened"))
}
