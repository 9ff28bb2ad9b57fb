//! The native EventApplier: one state per publisher, decode → key → write. A malformed frame
//! changes nothing; an event that cannot be mapped is skipped and counted, so the index never
//! claims more than was told.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::block_aside::GroupTier;
use super::decode::Batch;
use super::engine_blocks::EngineBlocks;
use super::event::Event;
use super::groups::KvGroups;
use super::store::{Store, StoreContext};
use super::writes::{OtherOwners, Writes};
use crate::index::{IndexWriter, VirtualId};
use crate::layout::limits::GENERATIONS_UNSWEPT_MAX;

/// Events whose parents are loaded ahead of applying them.
const PREFETCH_EVENTS: usize = 4;

/// How applying a frame ended; numbers are those the binding gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyStatus {
    #[default]
    Applied = 0,
    Malformed = 1,
    IndexStuck = 2,
}

/// Outcome of one frame: `ApplyResult` of `contracts/core.ts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub status: ApplyStatus,
    pub blocks_stored: u32,
    pub blocks_removed: u32,
    pub cleared: bool,
    pub unknown_parents: u32,
    pub unknown_blocks: u32,
    pub unknown_events: u32,
    pub index_full: u32,
    pub block_size: u32,
}

struct Publisher {
    slot: u32,
    virtual_id: Option<VirtualId>,
    /// Whether a store has come since the generation began.
    has_stored: bool,
    /// Generations dropped since the index was last clean.
    unswept: usize,
    context: StoreContext,
    other_owners: OtherOwners,
}

/// Applies the frames of any number of publishers, each named by its endpoint slot.
pub struct EventApplier {
    writer: IndexWriter,
    hash_secret: u64,
    publishers: HashMap<u32, Publisher>,
    batch: Batch,
    detail: String,
}

impl EventApplier {
    /// `hash_secret` is the deployment's secret, the same for everything that computes request
    /// keys.
    pub fn new(writer: IndexWriter, hash_secret: u64) -> Self {
        let key_seed = RandomState::new().hash_one(hash_secret);
        Self {
            writer,
            hash_secret,
            publishers: HashMap::new(),
            batch: Batch::new(key_seed),
            detail: String::new(),
        }
    }

    /// Begins to follow the slot, empty: drops what an earlier follower of it left in the index.
    pub fn open(&mut self, slot: u32, pool: &str, block_size: u32) {
        self.writer.drop_slot(slot);
        let mut publisher = Publisher {
            slot,
            virtual_id: None,
            has_stored: false,
            unswept: 0,
            context: StoreContext {
                blocks: EngineBlocks::new(),
                groups: KvGroups::default(),
                pool: pool.to_owned(),
                block_size: block_size.max(1),
                hash_secret: self.hash_secret,
                keys: Vec::new(),
            },
            other_owners: OtherOwners::new(),
        };
        publisher.begin_generation(&self.writer);
        self.publishers.insert(slot, publisher);
    }

    /// Applies one frame; None when the slot was not opened.
    pub fn apply(&mut self, slot: u32, payload: &[u8]) -> Option<Applied> {
        let publisher = self.publishers.get_mut(&slot)?;
        self.detail.clear();
        if let Err(reason) = self.batch.decode(payload) {
            self.detail = reason;
            return Some(Applied {
                status: ApplyStatus::Malformed,
                ..Applied::default()
            });
        }
        let applied = publisher.apply(&mut self.writer, &self.batch, payload);
        if applied.status == ApplyStatus::IndexStuck {
            self.detail
                .push_str("a lock of the block index stayed taken: its owner has died");
        }
        Some(applied)
    }

    /// Why the last frame was not applied; empty when it was.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Drops everything the publisher's stream has told and begins a new generation; false when the
    /// slot was not opened.
    pub fn reset(&mut self, slot: u32) -> bool {
        let Some(publisher) = self.publishers.get_mut(&slot) else {
            return false;
        };
        publisher.renew_generation(&self.writer);
        true
    }

    /// Drops everything of the slot, also when it was never opened here.
    pub fn close(&mut self, slot: u32) {
        self.writer.drop_slot(slot);
        self.publishers.remove(&slot);
    }

    /// Frees index memory of dropped generations, `bucket_count` buckets at a time; true when
    /// clean.
    pub fn sweep(&mut self, bucket_count: usize) -> bool {
        let is_clean = self.writer.sweep(bucket_count);
        if is_clean {
            for publisher in self.publishers.values_mut() {
                publisher.unswept = 0;
            }
        }
        is_clean
    }

    /// Engine blocks known and the bytes of the maps that hold them.
    pub fn usage(&self) -> (usize, usize) {
        let blocks = |publisher: &Publisher| publisher.context.blocks.len();
        let bytes = |publisher: &Publisher| publisher.context.blocks.map_bytes();
        (
            self.publishers.values().map(blocks).sum(),
            self.publishers.values().map(bytes).sum(),
        )
    }
}

impl Publisher {
    fn renew_generation(&mut self, writer: &IndexWriter) {
        if let Some(virtual_id) = self.virtual_id {
            writer.drop_endpoint(virtual_id);
            self.unswept += 1;
        }
        self.context.blocks.clear();
        self.other_owners = OtherOwners::new();
        self.begin_generation(writer);
    }

    /// Opens a generation; when all virtual ids are taken, or as many as one publisher may take, the
    /// next frame tries again.
    fn begin_generation(&mut self, writer: &IndexWriter) {
        self.has_stored = false;
        self.virtual_id = if self.unswept < GENERATIONS_UNSWEPT_MAX {
            writer.open_endpoint(self.slot)
        } else {
            None
        };
        self.context.groups.forget_block_sizes();
        if let Some(virtual_id) = self.virtual_id {
            for (group, blocks) in self.context.groups.windows() {
                writer.set_group_window(virtual_id, group, blocks);
            }
        }
    }

    fn apply(&mut self, writer: &mut IndexWriter, batch: &Batch, frame: &[u8]) -> Applied {
        // Nothing is left of what comes before a clear, so a frame begins one generation at most.
        let is_clear = |event: &Event| matches!(event, Event::Cleared);
        let last_clear = batch.events.iter().rposition(is_clear);
        let first = last_clear.map_or(0, |at| at + 1);
        let events = batch.events.get(first..).unwrap_or_default();
        // What was told without a virtual id is not in the index, so it is forgotten with the
        // retry.
        if self.virtual_id.is_none() || last_clear.is_some() && self.has_stored {
            self.renew_generation(writer);
        }
        self.context.blocks.load_first(batch);
        self.context.groups.learn(events);
        let mut applied = Applied {
            unknown_events: batch.unknown_events,
            cleared: last_clear.is_some(),
            ..Applied::default()
        };
        self.apply_events(writer, batch, frame, events, &mut applied);
        applied
    }

    fn apply_events(
        &mut self,
        writer: &mut IndexWriter,
        batch: &Batch,
        frame: &[u8],
        events: &[Event],
        applied: &mut Applied,
    ) {
        let context = &mut self.context;
        let mut writes = Writes::new(writer, self.virtual_id, &mut self.other_owners);
        for (at, event) in events.iter().enumerate() {
            if let Some(Event::Stored(ahead)) = events.get(at + PREFETCH_EVENTS)
                && let Some(parent) = ahead.parent
            {
                context.blocks.prefetch(parent);
            }
            self.has_stored |= matches!(event, Event::Stored(_));
            apply_event(context, &mut writes, batch, frame, event, applied);
            if writes.stuck {
                break;
            }
        }
        writes.flush();
        applied.index_full += writes.index_full;
        if writes.stuck {
            applied.status = ApplyStatus::IndexStuck;
        }
    }
}

fn apply_event(
    context: &mut StoreContext,
    writes: &mut Writes<'_>,
    batch: &Batch,
    frame: &[u8],
    event: &Event,
    applied: &mut Applied,
) {
    let group = match event {
        Event::Stored(stored) => context.groups.index_group(stored.group),
        Event::Removed(removed) => context.groups.index_group(removed.group),
        Event::Cleared => return,
    };
    let Some(group) = group else {
        applied.unknown_events += 1;
        return;
    };
    match event {
        Event::Stored(event) => {
            let block_size = context.block_size;
            let window = context.groups.new_window(group, event, block_size);
            let alignment = context.groups.new_alignment(group, event, block_size);
            if let Some(virtual_id) = writes.virtual_id {
                if let Some(blocks) = window {
                    writes.writer.set_group_window(virtual_id, group, blocks);
                }
                if let Some(blocks) = alignment {
                    writes.writer.set_hit_alignment(virtual_id, blocks);
                }
            }
            let store = Store {
                frame,
                batch,
                event,
                group,
            };
            let outcome = store.apply(context, writes);
            applied.blocks_stored += outcome.stored;
            applied.unknown_parents += outcome.unknown_parents;
            applied.unknown_blocks += outcome.unknown_blocks;
            applied.unknown_events += outcome.unmappable;
            if group == 0 && event.block_size > 0 {
                applied.block_size = event.block_size;
            }
        }
        Event::Removed(event) => {
            let copy = GroupTier {
                group,
                tier: event.tier,
            };
            let hashes = batch.hashes(&event.hashes);
            for (at, hash) in event.hashes.clone().zip(hashes) {
                context.blocks.load_ahead(batch, at);
                if context.blocks.remove_copy(*hash, copy, writes) {
                    applied.blocks_removed += 1;
                } else {
                    applied.unknown_blocks += 1;
                }
            }
        }
        Event::Cleared => {}
    }
}
