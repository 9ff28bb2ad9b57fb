//! What one publisher's stream has told: engine key → prefix it stands for, with the number of
//! physical copies per (KV group, tier), and the residencies that follow from it. Invariant: a
//! residency is in the index exactly while every engine block that overlaps it has a copy in that
//! group and tier.
//!
//! The usual block (one key, group 0, nothing left over) lies in the map itself; whatever has more
//! to tell is a `Block` aside. Blocks own the ones their left-over token ids came from, joints own
//! the blocks they join, and blocks name joints by number, so dropping both lists frees all.

use std::cell::RefCell;
use std::rc::Rc;

use super::decode::EngineKey;
use super::engine_map::{COPIES_MAX, EngineMap, Entry, Position};
use super::slab::Slab;
use super::writes::Writes;
use crate::index::{Residency, TIER_COUNT};
use crate::layout::limits::ENGINE_BLOCKS_MAX;

/// Extra keys in the form that enters a block's key.
pub type ExtraBytes = Vec<Vec<u8>>;

/// Token ids after the last whole canonical block of a prefix.
#[derive(Clone)]
pub struct Tail {
    pub token_ids: Vec<u32>,
    pub extra: ExtraBytes,
    /// Engine blocks these token ids came from, first to last.
    pub sources: Vec<Rc<Block>>,
}

/// The prefix that ends with an engine block.
pub struct Block {
    engine_key: EngineKey,
    /// Key of the last whole canonical block (the namespace's seed when there is none yet).
    pub end: u64,
    pub tail: Option<Tail>,
    copies: RefCell<Vec<Copies>>,
}

/// Physical copies of an engine block in one KV group.
struct Copies {
    group: u32,
    /// Whole canonical blocks inside it; None until a store has told.
    keys: Option<Vec<u64>>,
    /// Canonical blocks it is only a part of, by their number.
    joints: Vec<usize>,
    by_tier: [u32; TIER_COUNT],
}

/// A canonical block made of several engine blocks, the last of which completes it.
struct Joint {
    key: u64,
    group: u32,
    parts: Vec<Rc<Block>>,
    /// Parts with a copy, by tier.
    present: [u32; TIER_COUNT],
}

/// Canonical block that an engine block completes together with earlier ones.
pub struct NewJoint {
    pub key: u64,
    pub sources: Vec<Rc<Block>>,
}

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

/// Where a physical copy lies.
#[derive(Clone, Copy)]
pub struct GroupTier {
    pub group: u32,
    pub tier: u8,
}

/// All engine blocks of one publisher's generation.
pub struct EngineBlocks {
    map: EngineMap,
    aside: Slab<Rc<Block>>,
    joints: Slab<Joint>,
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

    /// Begins to load what looking up a key reads.
    #[inline]
    pub fn prefetch(&self, key: EngineKey) {
        self.map.prefetch(key);
    }

    /// Begins to load what a key stands for, once what `prefetch` asked for has come.
    #[inline]
    pub fn prefetch_entry(&self, key: EngineKey) {
        self.map.prefetch_entry(key);
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

    /// Returns the block of that engine key, made when it is new; None when there are too many. An
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
        if self.map.len() >= ENGINE_BLOCKS_MAX {
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

    fn remove_copy_aside(
        &mut self,
        block: &Rc<Block>,
        copy: GroupTier,
        writes: &mut Writes<'_>,
    ) -> bool {
        let left = {
            let mut list = block.copies.borrow_mut();
            let count = list
                .iter_mut()
                .find(|copies| copies.group == copy.group)
                .map(|copies| &mut copies.by_tier[copy.tier as usize]);
            match count {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    *count
                }
                _ => return false,
            }
        };
        if left == 0 {
            self.vanish(block, copy, writes);
            self.release_unused(block);
        }
        true
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
    fn block_aside(&mut self, known: Known) -> Rc<Block> {
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

    /// Notes where the group's copies of a block lie.
    fn tell(&mut self, block: &Rc<Block>, group: u32, keys: Vec<u64>, joint: Option<NewJoint>) {
        copies_of(block, group, |copies| copies.keys = Some(keys));
        if let Some(joint) = joint {
            self.join(block, group, joint);
        }
    }

    fn increase(&mut self, block: &Rc<Block>, copy: GroupTier, writes: &mut Writes<'_>) {
        let tier = copy.tier as usize;
        let joints = copies_of(block, copy.group, |copies| {
            copies.by_tier[tier] += 1;
            if copies.by_tier[tier] > 1 {
                return Vec::new();
            }
            for key in copies.keys.iter().flatten() {
                writes.add(residency(*key, copy));
            }
            copies.joints.clone()
        });
        for number in joints {
            let Some(joint) = self.joints.get_mut(number) else {
                continue;
            };
            joint.present[tier] += 1;
            if joint.present[tier] as usize == joint.parts.len() {
                writes.add(residency(joint.key, joint.copy(copy.tier)));
            }
        }
    }

    /// The last copy in a tier has gone.
    fn vanish(&mut self, block: &Rc<Block>, copy: GroupTier, writes: &mut Writes<'_>) {
        let tier = copy.tier as usize;
        let joints = copies_of(block, copy.group, |copies| {
            for key in copies.keys.iter().flatten() {
                writes.remove(residency(*key, copy));
            }
            copies.joints.clone()
        });
        for number in joints {
            let Some(joint) = self.joints.get_mut(number) else {
                continue;
            };
            if joint.present[tier] as usize == joint.parts.len() {
                writes.remove(residency(joint.key, joint.copy(copy.tier)));
            }
            joint.present[tier] = joint.present[tier].saturating_sub(1);
            if joint.present == [0; TIER_COUNT] {
                self.unjoin(number);
            }
        }
    }

    fn join(&mut self, last: &Rc<Block>, group: u32, new: NewJoint) {
        let mut parts: Vec<Rc<Block>> = Vec::with_capacity(new.sources.len() + 1);
        for source in &new.sources {
            parts.push(self.current(source));
        }
        parts.push(Rc::clone(last));
        let mut present = [0; TIER_COUNT];
        for part in &parts {
            copies_of(part, group, |copies| {
                for (present, count) in present.iter_mut().zip(copies.by_tier) {
                    *present += u32::from(count > 0);
                }
            });
        }
        let number = self.joints.insert(Joint {
            key: new.key,
            group,
            parts: parts.clone(),
            present,
        });
        for part in &parts {
            copies_of(part, group, |copies| copies.joints.push(number));
        }
    }

    /// The block of today for one that may have been forgotten since, or stored again.
    fn current(&mut self, source: &Rc<Block>) -> Rc<Block> {
        match self.find(source.engine_key) {
            None => {
                let index = self.aside.insert(Rc::clone(source));
                self.map.insert(source.engine_key, Entry::Aside(index));
                Rc::clone(source)
            }
            Some(known) if is_same_prefix(&known, source.end, source.tail.as_ref()) => {
                self.block_aside(known)
            }
            Some(_) => Rc::clone(source),
        }
    }

    /// Dissolves a joint without copies; the next store of its last block makes it anew.
    fn unjoin(&mut self, number: usize) {
        let Some(joint) = self.joints.remove(number) else {
            return;
        };
        if let Some(last) = joint.parts.last() {
            copies_of(last, joint.group, |copies| copies.keys = None);
        }
        for part in &joint.parts {
            copies_of(part, joint.group, |copies| {
                copies.joints.retain(|other| *other != number);
            });
            self.release_unused(part);
        }
    }

    /// Forgets a block without copies, unless a canonical block still counts on it.
    fn release_unused(&mut self, block: &Rc<Block>) {
        let in_use = block.copies.borrow().iter().any(|copies| {
            !copies.joints.is_empty() || copies.by_tier.iter().any(|count| *count > 0)
        });
        if in_use {
            return;
        }
        if let Some(position) = self.map.find(block.engine_key)
            && let Entry::Aside(index) = self.map.entry(position)
            && self
                .aside
                .get(index)
                .is_some_and(|known| Rc::ptr_eq(known, block))
        {
            self.aside.remove(index);
            self.map.remove(position);
        }
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

impl Joint {
    fn copy(&self, tier: u8) -> GroupTier {
        GroupTier {
            group: self.group,
            tier,
        }
    }
}

#[inline]
fn residency(key: u64, copy: GroupTier) -> Residency {
    Residency {
        key,
        tier: u32::from(copy.tier),
        group: copy.group,
    }
}

/// Works on the copies of one group, which are made when they are new.
fn copies_of<R>(block: &Block, group: u32, act: impl FnOnce(&mut Copies) -> R) -> R {
    let mut list = block.copies.borrow_mut();
    let at = list.iter().position(|copies| copies.group == group);
    let at = at.unwrap_or_else(|| {
        list.push(Copies {
            group,
            keys: None,
            joints: Vec::new(),
            by_tier: [0; TIER_COUNT],
        });
        list.len() - 1
    });
    act(&mut list[at])
}

fn primary_keys(block: &Block) -> Vec<u64> {
    let list = block.copies.borrow();
    let primary = list.iter().find(|copies| copies.group == 0);
    primary
        .and_then(|copies| copies.keys.clone())
        .unwrap_or_default()
}

#[inline]
fn is_same_prefix(known: &Known, end: u64, tail: Option<&Tail>) -> bool {
    let known_tail = match known {
        Known::Inline { .. } => None,
        Known::Aside(block) => block.tail.as_ref(),
    };
    known.end() == end
        && match (known_tail, tail) {
            (None, None) => true,
            (Some(left), Some(right)) => left.token_ids == right.token_ids,
            _ => false,
        }
}
