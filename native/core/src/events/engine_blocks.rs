//! What one publisher's stream has told: engine key → prefix it stands for, with the number of
//! physical copies per (KV group, tier), and the residencies that follow from it. Invariant: a
//! residency is in the index exactly while every engine block that overlaps it has a copy in that
//! group and tier.
//!
//! The usual block (one key, group 0, nothing left over) lies in the map itself; whatever has more
//! to tell is a `Block` aside.

use std::cell::RefCell;
use std::rc::Rc;

use super::block_aside::{
    Block, Copies, GroupTier, Joint, NewJoint, copies_of, primary_keys, residency,
};
use super::engine_map::{COPIES_MAX, EngineMap, Entry, Position};
use super::event::EngineKey;
use super::slab::Slab;
use super::tail::Tail;
use super::writes::Writes;
use crate::index::TIER_COUNT;
use crate::layout::limits::{BLOCK_PARTS_MAX, ENGINE_BLOCKS_MAX};

/// A block that is in the map. Valid until the blocks change.
#[derive(Clone)]
pub enum Known {
    Inline { position: Position, end: u64 },
    Aside(Rc<Block>),
}

impl Known {
    pub fn end(&self) -> u64 {
        match self {
            Self::Inline { end, .. } => *end,
            Self::Aside(block) => block.end,
        }
    }
}

/// All engine blocks of one publisher's generation.
pub struct EngineBlocks {
    pub(super) map: EngineMap,
    pub(super) aside: Slab<Rc<Block>>,
    pub(super) joints: Slab<Joint>,
}

impl EngineBlocks {
    pub fn new() -> Self {
        Self {
            map: EngineMap::new(),
            aside: Slab::new(),
            joints: Slab::new(),
        }
    }

    /// Forgets everything; the caller has dropped the generation in the index.
    pub fn clear(&mut self) {
        self.map.clear();
        self.joints = Slab::new();
        self.aside = Slab::new();
    }

    /// Bytes of the map; blocks aside are not in it.
    pub fn map_bytes(&self) -> usize {
        self.map.bytes()
    }

    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Begins to load what a key needs.
    #[inline]
    pub fn prefetch(&self, key: EngineKey) {
        self.map.prefetch(key);
    }

    #[inline]
    pub fn find(&self, key: EngineKey) -> Option<Known> {
        let position = self.map.find(key)?;
        match self.map.entry(position) {
            Entry::Inline { end } => Some(Known::Inline { position, end }),
            Entry::Aside(index) => self
                .aside
                .get(index)
                .map(|block| Known::Aside(Rc::clone(block))),
        }
    }

    /// Returns the block of that engine key, made when it is new; None when there are too many, or too
    /// many that one canonical block would be made of. An
    /// engine key that stood for another prefix (SGLang ≤ 0.5.5 hashes a page without its context)
    /// now stands for this one; what it told before is taken back.
    #[inline]
    pub fn ensure(
        &mut self,
        key: EngineKey,
        end: u64,
        tail: Option<Tail>,
        writes: &mut Writes<'_>,
    ) -> Option<Known> {
        match self.find(key) {
            Some(known) if is_same_prefix(&known, end, tail.as_ref()) => return Some(known),
            Some(known) => self.forget(key, known, writes),
            None => {}
        }
        let parts = tail.as_ref().map_or(0, Tail::parts);
        if self.map.len() >= ENGINE_BLOCKS_MAX || parts >= BLOCK_PARTS_MAX {
            writes.index_full += 1;
            return None;
        }
        if tail.is_none() {
            let position = self.map.insert(key, Entry::Inline { end });
            return Some(Known::Inline { position, end });
        }
        let block = Rc::new(Block {
            engine_key: key,
            end,
            tail,
            copies: RefCell::new(Vec::new()),
        });
        let index = self.aside.insert(Rc::clone(&block));
        self.map.insert(key, Entry::Aside(index));
        Some(Known::Aside(block))
    }

    /// `ensure` and `add_copy` of the usual block at once: one canonical block of group 0, which ends
    /// with `end`. False when it takes those two.
    #[inline]
    pub fn add_usual(
        &mut self,
        key: EngineKey,
        end: u64,
        tier: u8,
        writes: &mut Writes<'_>,
    ) -> bool {
        let copy = GroupTier { group: 0, tier };
        match self.map.find(key) {
            None if self.map.len() < ENGINE_BLOCKS_MAX => {
                let position = self.map.insert(key, Entry::Inline { end });
                self.map.set_copies(position, tier, 1);
                writes.add(residency(end, copy));
                true
            }
            Some(position) if self.map.entry(position) == (Entry::Inline { end }) => {
                self.increase_inline(position, end, copy, writes)
            }
            _ => false,
        }
    }

    /// Counts one more physical copy, whose place among canonical blocks is known: it holds `keys`
    /// and, together with earlier blocks, `joint`.
    #[inline]
    pub fn add_copy(
        &mut self,
        known: Known,
        copy: GroupTier,
        keys: &[u64],
        joint: Option<NewJoint>,
        writes: &mut Writes<'_>,
    ) {
        if let Known::Inline { position, end } = known {
            // What a store has told about the group's place is not told again.
            let fits = self.map.has_copies(position) || joint.is_none() && keys == [end];
            if fits && self.increase_inline(position, end, copy, writes) {
                return;
            }
        }
        let block = self.block_aside(known);
        if copies_of(&block, copy.group, |copies| copies.keys.is_none()) {
            self.tell(&block, copy.group, keys.to_vec(), joint);
        }
        self.increase(&block, copy, writes);
    }

    /// Counts one more copy of a block known by its hash alone: it ends where that of group 0 ends,
    /// and reaches back over `key_count` canonical blocks, if that one does.
    #[inline]
    pub fn add_copy_by_hash(
        &mut self,
        known: Known,
        copy: GroupTier,
        key_count: usize,
        writes: &mut Writes<'_>,
    ) {
        if let Known::Inline { position, end } = known
            && self.map.has_copies(position)
            && self.increase_inline(position, end, copy, writes)
        {
            return;
        }
        let block = self.block_aside(known);
        let keys = primary_keys(&block);
        let from = keys.len().saturating_sub(key_count);
        copies_of(&block, copy.group, |copies| {
            copies.keys.get_or_insert_with(|| keys[from..].to_vec());
        });
        self.increase(&block, copy, writes);
    }

    /// Whole canonical blocks inside the block of group 0; empty when not known.
    pub fn primary_keys(&self, known: &Known) -> Vec<u64> {
        match known {
            Known::Inline { position, end } if self.map.has_copies(*position) => vec![*end],
            Known::Inline { .. } => Vec::new(),
            Known::Aside(block) => primary_keys(block),
        }
    }

    /// Counts one copy less; false when none was known.
    #[inline]
    pub fn remove_copy(
        &mut self,
        key: EngineKey,
        copy: GroupTier,
        writes: &mut Writes<'_>,
    ) -> bool {
        match self.find(key) {
            None => false,
            Some(Known::Inline { position, end }) => {
                let copies = self.map.copies(position, copy.tier);
                if copy.group != 0 || copies == 0 {
                    return false;
                }
                self.map.set_copies(position, copy.tier, copies - 1);
                if copies == 1 {
                    writes.remove(residency(end, copy));
                    if !self.map.has_copies(position) {
                        self.map.remove(position);
                    }
                }
                true
            }
            Some(Known::Aside(block)) => self.remove_copy_aside(&block, copy, writes),
        }
    }

    /// False when the slot cannot count it.
    #[inline]
    fn increase_inline(
        &mut self,
        position: Position,
        end: u64,
        copy: GroupTier,
        writes: &mut Writes<'_>,
    ) -> bool {
        let copies = self.map.copies(position, copy.tier);
        if copy.group != 0 || copies == COPIES_MAX {
            return false;
        }
        self.map.set_copies(position, copy.tier, copies + 1);
        if copies == 0 {
            writes.add(residency(end, copy));
        }
        true
    }

    /// The block as one aside; moves it there.
    pub(super) fn block_aside(&mut self, known: Known) -> Rc<Block> {
        let (position, end) = match known {
            Known::Aside(block) => return block,
            Known::Inline { position, end } => (position, end),
        };
        let by_tier = std::array::from_fn(|tier| u32::from(self.map.copies(position, tier as u8)));
        let copies = Copies {
            group: 0,
            keys: Some(vec![end]),
            joints: Vec::new(),
            by_tier,
        };
        let has_copies = self.map.has_copies(position);
        let block = Rc::new(Block {
            engine_key: self.map.key(position),
            end,
            tail: None,
            copies: RefCell::new(if has_copies { vec![copies] } else { Vec::new() }),
        });
        let index = self.aside.insert(Rc::clone(&block));
        self.map.move_aside(position, index);
        block
    }

    fn forget(&mut self, key: EngineKey, known: Known, writes: &mut Writes<'_>) {
        match known {
            Known::Inline { position, end } => {
                for tier in 0..TIER_COUNT as u8 {
                    if self.map.copies(position, tier) > 0 {
                        writes.remove(residency(end, GroupTier { group: 0, tier }));
                    }
                }
                self.map.remove(position);
            }
            Known::Aside(block) => {
                let groups: Vec<u32> = {
                    let list = block.copies.borrow();
                    list.iter().rev().map(|copies| copies.group).collect()
                };
                for group in groups {
                    for tier in 0..TIER_COUNT as u8 {
                        let had = copies_of(&block, group, |copies| {
                            std::mem::take(&mut copies.by_tier[tier as usize])
                        });
                        if had > 0 {
                            self.vanish(&block, GroupTier { group, tier }, writes);
                        }
                    }
                }
                if let Some(position) = self.map.find(key) {
                    if let Entry::Aside(index) = self.map.entry(position) {
                        self.aside.remove(index);
                    }
                    self.map.remove(position);
                }
            }
        }
    }
}

#[inline]
pub fn is_same_prefix(known: &Known, end: u64, tail: Option<&Tail>) -> bool {
    let known_tail = match known {
        Known::Inline { .. } => None,
        Known::Aside(block) => block.tail.as_ref(),
    };
    known.end() == end
        && match (known_tail, tail) {
            (None, None) => true,
            (Some(left), Some(right)) => left.is_same(right),
            _ => false,
        }
}
