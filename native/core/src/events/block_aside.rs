//! Engine blocks that have more to tell than fits into the map: copies in several KV groups, token
//! ids left over, canonical blocks they share with others (joints). A block owns the one before it
//! where they lie in the same canonical block, joints own the blocks they join, and blocks name
//! joints by number, so dropping both lists frees all.

use std::cell::RefCell;
use std::rc::Rc;

use super::engine_blocks::{EngineBlocks, is_same_prefix};
use super::engine_map::Entry;
use super::event::EngineKey;
use super::tail::Tail;
use super::writes::Writes;
use crate::index::{Residency, TIER_COUNT};

/// The prefix that ends with an engine block.
pub struct Block {
    pub engine_key: EngineKey,
    /// Key of the last whole canonical block (the namespace's seed when there is none yet).
    pub end: u64,
    pub tail: Option<Tail>,
    pub copies: RefCell<Vec<Copies>>,
}

/// Physical copies of an engine block in one KV group.
pub struct Copies {
    pub group: u32,
    /// Whole canonical blocks inside it; None until a store has told.
    pub keys: Option<Vec<u64>>,
    /// Canonical blocks it is only a part of, by their number.
    pub joints: Vec<usize>,
    pub by_tier: [u32; TIER_COUNT],
}

/// A canonical block made of several engine blocks, the last of which completes it.
pub struct Joint {
    key: u64,
    pub group: u32,
    pub parts: Vec<Rc<Block>>,
    /// Parts with a copy, by tier.
    pub present: [u32; TIER_COUNT],
}

/// Canonical block that an engine block completes together with earlier ones.
pub struct NewJoint {
    pub key: u64,
    pub sources: Vec<Rc<Block>>,
}

/// Where a physical copy lies.
#[derive(Clone, Copy, Debug)]
pub struct GroupTier {
    pub group: u32,
    pub tier: u8,
}

impl EngineBlocks {
    pub fn remove_copy_aside(
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

    /// Notes where the group's copies of a block lie.
    pub fn tell(&mut self, block: &Rc<Block>, group: u32, keys: Vec<u64>, joint: Option<NewJoint>) {
        copies_of(block, group, |copies| copies.keys = Some(keys));
        if let Some(joint) = joint {
            self.join(block, group, joint);
        }
    }

    pub fn increase(&mut self, block: &Rc<Block>, copy: GroupTier, writes: &mut Writes<'_>) {
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
    pub fn vanish(&mut self, block: &Rc<Block>, copy: GroupTier, writes: &mut Writes<'_>) {
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
    pub fn release_unused(&mut self, block: &Rc<Block>) {
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
pub fn residency(key: u64, copy: GroupTier) -> Residency {
    Residency {
        key,
        tier: u32::from(copy.tier),
        group: copy.group,
    }
}

/// Works on the copies of one group, which are made when they are new.
pub fn copies_of<R>(block: &Block, group: u32, act: impl FnOnce(&mut Copies) -> R) -> R {
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

pub fn primary_keys(block: &Block) -> Vec<u64> {
    let list = block.copies.borrow();
    let primary = list.iter().find(|copies| copies.group == 0);
    primary
        .and_then(|copies| copies.keys.clone())
        .unwrap_or_default()
}
