//! The block index for JavaScript: writers, readers and owner by number, each holding the memory of
//! the thread that opened it. Write statuses: 0 done, 1 unchanged, 2 full, 3 stuck.
#![deny(clippy::indexing_slicing)]

use napi::bindgen_prelude::{Error, Result, Uint8Array, Uint32ArraySlice};
use napi_derive::napi;
use warmpath_core::index::{
    IndexOwner, IndexReader, IndexWriter, MatchResult, Residency, SpeculativeTable, VirtualId,
    WriteStatus,
};

use crate::common::HeldMemory;
use crate::registry::Local;

/// Something opened over shared memory, which stays held as long.
struct Opened<T> {
    inner: T,
    /// Keys as the core wants them.
    keys: Vec<u64>,
    _memory: HeldMemory,
}

thread_local! {
    static WRITERS: Local<Opened<IndexWriter>> = const { Local::new("index writer") };
    static READERS: Local<Opened<IndexReader>> = const { Local::new("index reader") };
    static OWNERS: Local<Opened<IndexOwner>> = const { Local::new("index owner") };
    static SPECULATIVE: Local<Opened<SpeculativeTable>> =
        const { Local::new("speculative table") };
}

fn open<T>(
    view: Uint8Array,
    open: impl FnOnce(warmpath_core::shared_words::SharedWords) -> std::result::Result<T, String>,
) -> Result<Opened<T>> {
    let memory = HeldMemory::new(view)?;
    let inner = open(memory.words).map_err(Error::from_reason)?;
    Ok(Opened {
        inner,
        keys: Vec::new(),
        _memory: memory,
    })
}

impl<T> Opened<T> {
    /// Joins the words of the first `count` keys.
    fn join_keys(&mut self, words: &[u32], count: u32) -> Result<()> {
        let pairs = words.as_chunks::<2>().0.get(..count as usize);
        let pairs = pairs.ok_or_else(|| Error::from_reason("there is no key for every block"))?;
        self.keys.clear();
        self.keys.extend(
            pairs
                .iter()
                .map(|[low, high]| u64::from(*high) << 32 | u64::from(*low)),
        );
        Ok(())
    }
}

/// `lock_rounds` is the patience with a lock whose owner may be dead, in sleeps of 5 ms; 0 takes
/// the usual one.
#[napi(catch_unwind)]
pub fn index_writer_open(index: Uint8Array, writer_id: u32, lock_rounds: u32) -> Result<u32> {
    let rounds = (lock_rounds > 0).then_some(lock_rounds);
    let writer = open(index, |words| IndexWriter::open(words, writer_id, rounds))?;
    Ok(WRITERS.with(|writers| writers.insert(writer)))
}

#[napi(catch_unwind)]
pub fn index_writer_close(writer: u32) {
    WRITERS.with(|writers| drop(writers.remove(writer)));
}

fn with_writer<R>(writer: u32, act: impl FnOnce(&mut IndexWriter) -> R) -> Result<R> {
    WRITERS.with(|writers| writers.with(writer, |opened| Ok(act(&mut opened.inner))))
}

/// Virtual id, −1 when all are taken.
#[napi(catch_unwind)]
pub fn index_open_endpoint(writer: u32, slot: u32) -> Result<i32> {
    with_writer(writer, |writer| {
        writer
            .open_endpoint(slot)
            .map_or(-1, |VirtualId(id)| id.cast_signed())
    })
}

#[napi(catch_unwind)]
pub fn index_drop_endpoint(writer: u32, virtual_id: u32) -> Result<()> {
    with_writer(writer, |writer| writer.drop_endpoint(VirtualId(virtual_id)))
}

#[napi(catch_unwind)]
pub fn index_drop_slot(writer: u32, slot: u32) -> Result<()> {
    with_writer(writer, |writer| writer.drop_slot(slot))
}

#[napi(catch_unwind)]
pub fn index_set_group_window(
    writer: u32,
    virtual_id: u32,
    group: u32,
    window_blocks: u32,
) -> Result<()> {
    with_writer(writer, |writer| {
        writer.set_group_window(VirtualId(virtual_id), group, window_blocks);
    })
}

#[napi(catch_unwind)]
pub fn index_set_hit_alignment(writer: u32, virtual_id: u32, alignment_blocks: u32) -> Result<()> {
    with_writer(writer, |writer| {
        writer.set_hit_alignment(VirtualId(virtual_id), alignment_blocks);
    })
}

#[napi(catch_unwind)]
pub fn index_add(
    writer: u32,
    virtual_id: u32,
    tier: u32,
    group: u32,
    key_low: u32,
    key_high: u32,
) -> Result<u32> {
    with_writer(writer, |writer| {
        status(writer.add(
            VirtualId(virtual_id),
            residency(tier, group, key_low, key_high),
        ))
    })
}

#[napi(catch_unwind)]
pub fn index_remove(
    writer: u32,
    virtual_id: u32,
    tier: u32,
    group: u32,
    key_low: u32,
    key_high: u32,
) -> Result<u32> {
    with_writer(writer, |writer| {
        status(writer.remove(
            VirtualId(virtual_id),
            residency(tier, group, key_low, key_high),
        ))
    })
}

#[napi(catch_unwind)]
pub fn index_sweep(writer: u32, bucket_count: u32) -> Result<bool> {
    with_writer(writer, |writer| writer.sweep(bucket_count as usize))
}

fn residency(tier: u32, group: u32, key_low: u32, key_high: u32) -> Residency {
    Residency {
        key: u64::from(key_high) << 32 | u64::from(key_low),
        tier,
        group,
    }
}

fn status(status: WriteStatus) -> u32 {
    status as u32
}

#[napi(catch_unwind)]
pub fn index_reader_open(index: Uint8Array) -> Result<u32> {
    let reader = open(index, IndexReader::open)?;
    Ok(READERS.with(|readers| readers.insert(reader)))
}

#[napi(catch_unwind)]
pub fn index_reader_close(reader: u32) {
    READERS.with(|readers| drop(readers.remove(reader)));
}

/// Matches the first `block_count` keys; the three arrays are overwritten. Returns the epoch.
#[napi(catch_unwind)]
pub fn index_match(
    reader: u32,
    keys: &[u32],
    block_count: u32,
    block_limit: u32,
    mut usable_blocks: Uint32ArraySlice<'_>,
    mut tier_blocks: Uint32ArraySlice<'_>,
    mut raw_blocks: Uint32ArraySlice<'_>,
) -> Result<u32> {
    READERS.with(|readers| {
        readers.with(reader, |opened| {
            opened.join_keys(keys, block_count)?;
            // SAFETY: the face passes three arrays of the calling thread, which waits for us.
            let mut result = unsafe {
                MatchResult {
                    usable_blocks: usable_blocks.as_mut(),
                    tier_blocks: tier_blocks.as_mut(),
                    raw_blocks: raw_blocks.as_mut(),
                }
            };
            let limit = block_limit as usize;
            Ok(opened.inner.match_keys(&opened.keys, limit, &mut result))
        })
    })
}

#[napi(catch_unwind)]
pub fn index_owner_open(index: Uint8Array) -> Result<u32> {
    let owner = open(index, IndexOwner::open)?;
    Ok(OWNERS.with(|owners| owners.insert(owner)))
}

#[napi(catch_unwind)]
pub fn index_owner_close(owner: u32) {
    OWNERS.with(|owners| drop(owners.remove(owner)));
}

/// Epoch, blocks, block capacity, sets, set capacity, rejected, bytes.
#[napi(catch_unwind)]
pub fn index_stats(owner: u32) -> Result<Vec<f64>> {
    OWNERS.with(|owners| {
        owners.with(owner, |opened| {
            let stats = opened.inner.stats();
            Ok(vec![
                f64::from(stats.epoch),
                f64::from(stats.blocks),
                stats.block_capacity as f64,
                f64::from(stats.sets),
                stats.set_capacity as f64,
                f64::from(stats.rejected),
                stats.bytes as f64,
            ])
        })
    })
}

#[napi(catch_unwind)]
pub fn index_suspend(owner: u32) -> Result<()> {
    OWNERS.with(|owners| {
        owners.with(owner, |opened| {
            opened.inner.suspend();
            Ok(())
        })
    })
}

#[napi(catch_unwind)]
pub fn index_recover(owner: u32) -> Result<()> {
    OWNERS.with(|owners| {
        owners.with(owner, |opened| {
            opened.inner.recover();
            Ok(())
        })
    })
}

#[napi(catch_unwind)]
pub fn speculative_open(requests: Uint8Array) -> Result<u32> {
    let table = open(requests, SpeculativeTable::open)?;
    Ok(SPECULATIVE.with(|tables| tables.insert(table)))
}

#[napi(catch_unwind)]
pub fn speculative_close(table: u32) {
    SPECULATIVE.with(|tables| drop(tables.remove(table)));
}

#[napi(catch_unwind)]
pub fn speculative_add(
    table: u32,
    slot: u32,
    keys: &[u32],
    block_count: u32,
    now_ms: f64,
) -> Result<()> {
    SPECULATIVE.with(|tables| {
        tables.with(table, |opened| {
            opened.join_keys(keys, block_count)?;
            opened.inner.add(slot, &opened.keys, now_ms);
            Ok(())
        })
    })
}

#[napi(catch_unwind)]
pub fn speculative_withdraw(table: u32, slot: u32, keys: &[u32], block_count: u32) -> Result<()> {
    SPECULATIVE.with(|tables| {
        tables.with(table, |opened| {
            opened.join_keys(keys, block_count)?;
            opened.inner.withdraw(slot, &opened.keys);
            Ok(())
        })
    })
}

/// Sets `blocks` to what each endpoint holds (`usable`) or is expected to hold from there on.
#[napi(catch_unwind)]
pub fn speculative_match(
    table: u32,
    keys: &[u32],
    block_limit: u32,
    usable: &[u32],
    mut blocks: Uint32ArraySlice<'_>,
    now_ms: f64,
) -> Result<()> {
    SPECULATIVE.with(|tables| {
        tables.with(table, |opened| {
            opened.join_keys(keys, (keys.len() / 2) as u32)?;
            let limit = block_limit as usize;
            // SAFETY: an array of the calling thread, which waits for us.
            let blocks = unsafe { blocks.as_mut() };
            opened
                .inner
                .match_keys(&opened.keys, limit, usable, blocks, now_ms);
            Ok(())
        })
    })
}
