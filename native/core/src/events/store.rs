//! Applies one BlockStored: finds where the sequence continues, computes the request keys of its
//! blocks from their token ids and counts the copies. Rules 4 to 7 of wire-formats §0: an unknown
//! parent is never a root, placeholders and masked blocks are joined by hash, groups are apart.

use std::borrow::Cow;

use super::block_aside::GroupTier;
use super::chain::{ChainPosition, advance, after};
use super::decode::Batch;
use super::engine_blocks::EngineBlocks;
use super::event::{EngineKey, SpecKind, StoredEvent};
use super::extra_keys::ExtraKeys;
use super::groups::KvGroups;
use super::tail::ExtraBytes;
use super::text;
use super::writes::Writes;
use crate::keys::{chain_keys, namespace_seed};

/// Engine keys of a frame whose places in the map are loaded ahead of looking them up.
const PREFETCH_BLOCKS: usize = 24;

/// One publisher's state, but for what it has under its virtual id.
pub struct StoreContext {
    pub blocks: EngineBlocks,
    pub groups: KvGroups,
    pub pool: String,
    /// Canonical block size.
    pub block_size: u32,
    pub hash_secret: u64,
    /// Keys of one event.
    pub keys: Vec<u64>,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOutcome {
    pub stored: u32,
    pub unknown_parents: u32,
    pub unknown_blocks: u32,
    /// 1 when nothing could be mapped.
    pub unmappable: u32,
}

const UNMAPPABLE: StoreOutcome = StoreOutcome {
    stored: 0,
    unknown_parents: 0,
    unknown_blocks: 0,
    unmappable: 1,
};

/// One event to apply, with the frame it came in.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    pub frame: &'a [u8],
    pub batch: &'a Batch,
    pub event: &'a StoredEvent,
    /// The group's number in the index.
    pub group: u32,
}

impl<'a> Store<'a> {
    pub fn apply(self, context: &mut StoreContext, writes: &mut Writes<'_>) -> StoreOutcome {
        let hashes = self.hashes().len();
        let token_ids = self.token_ids().len();
        if token_ids == 0 {
            return self.join_by_hash(context, 0, writes);
        }
        let block_size = self.event.block_size as usize;
        let spanned = token_ids.checked_div(block_size).unwrap_or(0);
        if spanned * block_size != token_ids && block_size > 0 || hashes > spanned {
            return UNMAPPABLE;
        }
        if hashes < spanned {
            return self.masked(context, writes);
        }
        let Some(start) = self.start(context) else {
            return self.join_by_hash(context, 1, writes);
        };
        if self.can_run(context, &start) {
            return self.run(context, start.end, writes);
        }
        self.steps(context, start, writes)
    }

    fn hashes(self) -> &'a [EngineKey] {
        self.batch.hashes(&self.event.hashes)
    }

    fn token_ids(self) -> &'a [u32] {
        self.batch.token_ids(&self.event.token_ids)
    }

    fn lora_name(self) -> Option<&'a [u8]> {
        let name = self.event.lora_name?;
        Some(self.batch.text(self.frame, name))
    }

    fn extra_keys(self) -> Option<ExtraKeys<'a>> {
        let (at, count) = self.event.extra_keys?;
        Some(ExtraKeys::new(self.frame, at, count))
    }

    fn copy(self) -> GroupTier {
        GroupTier {
            group: self.group,
            tier: self.event.tier,
        }
    }

    fn is_state_only(self) -> bool {
        self.event.spec_kind == SpecKind::State
    }

    /// Where the event's first block begins; None when its parent is not known.
    fn start(self, context: &StoreContext) -> Option<ChainPosition> {
        if let Some(parent) = self.event.parent {
            return context.blocks.find(parent).map(|known| after(&known));
        }
        let lora_name = self.lora_name();
        let salt = match self.event.cache_salt {
            Some(salt) => Some(Cow::Borrowed(self.batch.text(self.frame, salt))),
            None => {
                let salt = self.extra_keys().and_then(|keys| keys.salt(lora_name));
                salt.map(Cow::Owned)
            }
        };
        let adapter = text::to_utf8(lora_name.unwrap_or_default());
        let cache_salt = text::to_utf8(salt.as_deref().unwrap_or_default());
        // Not kept: looking it up takes as long as computing it, and names may be of any length.
        let end = namespace_seed(context.hash_secret, &context.pool, &adapter, &cache_salt);
        Some(ChainPosition { end, before: None })
    }

    /// With masked blocks the event does not tell which token ids a hash is for (rule 6). But a
    /// group with a window keeps the blocks that a hit can need: the last few before every common
    /// border of the groups' blocks, where group 0 has a block with the hash of the last of them.
    fn masked(self, context: &mut StoreContext, writes: &mut Writes<'_>) -> StoreOutcome {
        let hashes = self.hashes();
        let segment = context.groups.segment(self.event);
        let segments = segment.map_or(0.0, |segment| {
            let tokens = segment.blocks as f64 * f64::from(self.event.block_size);
            self.token_ids().len() as f64 / tokens
        });
        let Some(segment) = segment.filter(|segment| {
            hashes.len() as f64 == segments * segment.kept as f64
                && self.event.block_size.is_multiple_of(context.block_size)
        }) else {
            return self.join_by_hash(context, 0, writes);
        };
        let each = (self.event.block_size / context.block_size) as usize;
        let blocks = &mut context.blocks;
        let mut stored = 0;
        for one in 1..=segments as usize {
            let last = one * segment.kept - 1;
            let keys = blocks
                .find(hashes[last])
                .map(|known| blocks.primary_keys(&known))
                .unwrap_or_default();
            for back in 0..segment.kept {
                let Some(from) = keys.len().checked_sub((back + 1) * each) else {
                    break;
                };
                let own = &keys[from..from + each];
                let Some(end) = own.last() else { break };
                let Some(block) = blocks.ensure(hashes[last - back], *end, None, writes) else {
                    break;
                };
                blocks.add_copy(block, self.copy(), own, None, writes);
                stored += 1;
            }
        }
        StoreOutcome {
            stored,
            unknown_blocks: hashes.len() as u32 - stored,
            ..StoreOutcome::default()
        }
    }

    /// Counts copies of blocks that are already known; the others are skipped and counted.
    fn join_by_hash(
        self,
        context: &mut StoreContext,
        unknown_parents: u32,
        writes: &mut Writes<'_>,
    ) -> StoreOutcome {
        let hashes = self.hashes();
        let key_count = match self.event.block_size {
            _ if self.is_state_only() => 1,
            0 => usize::MAX,
            size => (size / context.block_size).max(1) as usize,
        };
        let mut stored = 0;
        for (at, hash) in self.event.hashes.clone().zip(hashes) {
            context.blocks.load_ahead(self.batch, at);
            if let Some(known) = context.blocks.find(*hash) {
                context
                    .blocks
                    .add_copy_by_hash(known, self.copy(), key_count, writes);
                stored += 1;
            }
        }
        let unknown = hashes.len() as u32 - stored;
        StoreOutcome {
            stored,
            unknown_parents,
            unknown_blocks: if unknown_parents == 0 { unknown } else { 0 },
            unmappable: 0,
        }
    }

    /// Whether all blocks lie on canonical borders and nothing but token ids enters their keys.
    fn can_run(self, context: &StoreContext, start: &ChainPosition) -> bool {
        let aligned = self.event.block_size.is_multiple_of(context.block_size);
        let plain = || {
            let begins = self.event.parent.is_none();
            self.extra_keys()
                .is_none_or(|keys| keys.are_plain(self.lora_name(), begins))
        };
        start.before.is_none() && aligned && plain()
    }

    /// The usual case: engine blocks of one or several whole canonical blocks.
    fn run(self, context: &mut StoreContext, start: u64, writes: &mut Writes<'_>) -> StoreOutcome {
        let hashes = self.hashes();
        let blocks = &mut context.blocks;
        let block_size = context.block_size as usize;
        let keys = &mut context.keys;
        keys.clear();
        chain_keys(start, self.token_ids(), block_size, keys);
        let each = self.event.block_size as usize / block_size;
        let is_usual = each == 1 && self.group == 0;
        let mut stored = 0;
        for (i, hash) in hashes.iter().enumerate() {
            blocks.load_ahead(self.batch, self.event.hashes.start + i);
            if is_usual && blocks.add_usual(*hash, keys[i], self.event.tier, writes) {
                stored += 1;
                continue;
            }
            let end = (i + 1) * each;
            let first = if self.is_state_only() {
                end - 1
            } else {
                end - each
            };
            let own = &keys[first..end];
            let Some(block) = blocks.ensure(*hash, keys[end - 1], None, writes) else {
                continue;
            };
            blocks.add_copy(block, self.copy(), own, None, writes);
            stored += 1;
        }
        StoreOutcome {
            stored,
            ..StoreOutcome::default()
        }
    }

    /// Blocks smaller than canonical ones, across their borders, or with extra keys.
    fn steps(
        self,
        context: &mut StoreContext,
        start: ChainPosition,
        writes: &mut Writes<'_>,
    ) -> StoreOutcome {
        let begins = self.event.parent.is_none();
        let extras = match self.extra_keys() {
            None => Vec::new(),
            Some(keys) => match keys.extra_bytes(self.lora_name(), begins) {
                None => return UNMAPPABLE,
                Some(extras) => extras,
            },
        };
        let no_extra = ExtraBytes::new();
        let own_tokens = self
            .token_ids()
            .chunks(self.event.block_size.max(1) as usize);
        let mut position = start;
        let mut stored = 0;
        for (i, (hash, own)) in self.hashes().iter().zip(own_tokens).enumerate() {
            let extra = extras.get(i).unwrap_or(&no_extra);
            let step = advance(position, own, context.block_size as usize, extra);
            let ensured = context.blocks.ensure(*hash, step.end, step.tail, writes);
            // The rest of the chain hangs on this block.
            let Some(block) = ensured else { break };
            position = after(&block);
            // A state is only there at the end of its block.
            let first = if self.is_state_only() {
                step.keys.len().saturating_sub(1)
            } else {
                0
            };
            let own_keys = &step.keys[first..];
            context
                .blocks
                .add_copy(block, self.copy(), own_keys, step.joint, writes);
            stored += 1;
        }
        StoreOutcome {
            stored,
            ..StoreOutcome::default()
        }
    }
}

impl EngineBlocks {
    /// Begins to load what the first blocks of a frame need.
    pub fn load_first(&self, batch: &Batch) {
        for hash in batch.hashes.iter().take(PREFETCH_BLOCKS) {
            self.prefetch(*hash);
        }
    }

    /// Begins to load what the block needs that comes some time after hash `at` of the frame.
    #[inline]
    pub fn load_ahead(&self, batch: &Batch, at: usize) {
        if let Some(hash) = batch.hashes.get(at + PREFETCH_BLOCKS) {
            self.prefetch(*hash);
        }
    }
}
