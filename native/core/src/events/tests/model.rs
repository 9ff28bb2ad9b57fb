//! What a publisher's stream has told, in the plainest form: every block keeps all its token ids,
//! and what the index must hold is counted from scratch.

use std::collections::{BTreeMap, HashMap};

use super::super::block_aside::GroupTier;
use crate::index::Residency;
use crate::keys::chain_keys;

pub const BLOCK_SIZE: usize = 4;
pub const SEED: u64 = 42;

/// One meaning of an engine key, by number: a key that comes to stand for another prefix gets a new
/// one.
type Number = usize;

#[derive(Default)]
struct MeantBlock {
    key: u64,
    /// Token ids from the sequence's beginning to the block's end.
    prefix: Vec<u32>,
    /// Blocks that the tokens after the last whole canonical block came from, itself included.
    tail_sources: Vec<Number>,
    groups: BTreeMap<u32, Copies>,
}

#[derive(Default)]
struct Copies {
    /// Canonical blocks inside; None until told.
    told: Option<Vec<u64>>,
    by_tier: [u32; 4],
}

/// A canonical block made of several engine blocks.
struct Joint {
    key: u64,
    group: u32,
    parts: Vec<Number>,
}

#[derive(Default)]
pub struct Model {
    blocks: Vec<MeantBlock>,
    current: BTreeMap<u64, Number>,
    joints: Vec<Joint>,
}

impl Model {
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn len(&self) -> usize {
        self.current.len()
    }

    pub fn knows(&self, key: u64) -> bool {
        self.current.contains_key(&key)
    }

    /// One more copy of a block behind `parent`; the keys of its prefix.
    pub fn store(
        &mut self,
        key: u64,
        parent: Option<u64>,
        token_ids: &[u32],
        copy: GroupTier,
    ) -> Vec<u64> {
        let parent = parent.map(|parent| &self.blocks[self.current[&parent]]);
        let start = parent.map_or(0, |parent| parent.prefix.len());
        let before = parent.map_or(Vec::new(), |parent| parent.tail_sources.clone());
        let mut prefix = parent.map_or(Vec::new(), |parent| parent.prefix.clone());
        prefix.extend_from_slice(token_ids);
        let (end, mut keys) = (prefix.len(), Vec::new());
        chain_keys(SEED, &prefix, BLOCK_SIZE, &mut keys);
        let number = self.ensure(key, prefix);
        let completes = !before.is_empty() && end / BLOCK_SIZE > start / BLOCK_SIZE;
        if self.blocks[number].tail_sources.is_empty() && !end.is_multiple_of(BLOCK_SIZE) {
            let earlier = if completes {
                Vec::new()
            } else {
                before.clone()
            };
            self.blocks[number].tail_sources = [earlier, vec![number]].concat();
        }
        let group = self.blocks[number].groups.entry(copy.group).or_default();
        if group.told.is_none() {
            group.told = Some(keys[start.div_ceil(BLOCK_SIZE).min(keys.len())..].to_vec());
            if completes {
                let parts = before.iter().map(|part| self.today(*part));
                let parts: Vec<Number> = parts.collect();
                for part in &parts {
                    self.current.entry(self.blocks[*part].key).or_insert(*part);
                }
                self.joints.push(Joint {
                    key: keys[start / BLOCK_SIZE],
                    group: copy.group,
                    parts: [parts, vec![number]].concat(),
                });
            }
        }
        self.count(number, copy, 1);
        keys
    }

    /// One more copy of a block known by its hash.
    pub fn join(&mut self, key: u64, copy: GroupTier, key_count: usize) {
        let number = self.current[&key];
        let primary = self.primary_keys(number);
        let group = self.blocks[number].groups.entry(copy.group).or_default();
        group
            .told
            .get_or_insert_with(|| primary[primary.len().saturating_sub(key_count)..].to_vec());
        self.count(number, copy, 1);
    }

    /// One copy less; false when there is none.
    pub fn remove(&mut self, key: u64, copy: GroupTier) -> bool {
        let Some(number) = self.current.get(&key).copied() else {
            return false;
        };
        if self.copies_of(number, copy) == 0 {
            return false;
        }
        self.count(number, copy, -1);
        if self.copies_of(number, copy) == 0 {
            self.dissolve(number, copy.group);
            self.release_unused(number);
        }
        true
    }

    /// Engine key, end and primary keys of every block.
    pub fn known(&self) -> Vec<(u64, u64, Vec<u64>)> {
        let one = |(key, number): (&u64, &Number)| {
            let mut keys = vec![SEED];
            chain_keys(SEED, &self.blocks[*number].prefix, BLOCK_SIZE, &mut keys);
            (*key, keys[keys.len() - 1], self.primary_keys(*number))
        };
        self.current.iter().map(one).collect()
    }

    /// Every copy of every block.
    pub fn copies(&self) -> Vec<(u64, GroupTier)> {
        let mut all = Vec::new();
        for (key, number) in &self.current {
            for (group, copies) in &self.blocks[*number].groups {
                for tier in 0..4 {
                    let copy = GroupTier {
                        group: *group,
                        tier,
                    };
                    all.extend((0..copies.by_tier[tier as usize]).map(|_| (*key, copy)));
                }
            }
        }
        all
    }

    /// For every residency, how much stands for it.
    pub fn owners(&self) -> HashMap<Residency, u32> {
        let mut owners = HashMap::new();
        let mut add =
            |key, tier, group| *owners.entry(Residency { key, tier, group }).or_insert(0) += 1;
        for number in self.current.values() {
            for (group, copies) in &self.blocks[*number].groups {
                for tier in (0..4).filter(|tier| copies.by_tier[*tier as usize] > 0) {
                    for key in copies.told.iter().flatten() {
                        add(*key, tier, *group);
                    }
                }
            }
        }
        for joint in &self.joints {
            for tier in 0..4 {
                let copy = GroupTier {
                    group: joint.group,
                    tier,
                };
                if joint
                    .parts
                    .iter()
                    .all(|part| self.copies_of(*part, copy) > 0)
                {
                    add(joint.key, u32::from(tier), joint.group);
                }
            }
        }
        owners
    }

    fn ensure(&mut self, key: u64, prefix: Vec<u32>) -> Number {
        if let Some(number) = self.current.get(&key).copied() {
            if self.blocks[number].prefix == prefix {
                return number;
            }
            let groups: Vec<u32> = self.blocks[number].groups.keys().copied().collect();
            for group in groups {
                for tier in 0..4 {
                    let had = self.copies_of(number, GroupTier { group, tier }) > 0;
                    if let Some(copies) = self.blocks[number].groups.get_mut(&group) {
                        copies.by_tier[tier as usize] = 0;
                    }
                    if had {
                        self.dissolve(number, group);
                    }
                }
            }
        }
        self.blocks.push(MeantBlock {
            key,
            prefix,
            ..MeantBlock::default()
        });
        self.current.insert(key, self.blocks.len() - 1);
        self.blocks.len() - 1
    }

    /// The block that has a source's key today, if that still stands for the same prefix.
    fn today(&self, source: Number) -> Number {
        let block = &self.blocks[source];
        let now = self.current.get(&block.key).copied();
        now.filter(|now| self.blocks[*now].prefix == block.prefix)
            .unwrap_or(source)
    }

    fn primary_keys(&self, number: Number) -> Vec<u64> {
        let primary = self.blocks[number].groups.get(&0);
        primary
            .and_then(|copies| copies.told.clone())
            .unwrap_or_default()
    }

    fn copies_of(&self, number: Number, copy: GroupTier) -> u32 {
        let group = self.blocks[number].groups.get(&copy.group);
        group.map_or(0, |copies| copies.by_tier[copy.tier as usize])
    }

    fn count(&mut self, number: Number, copy: GroupTier, change: i32) {
        let group = self.blocks[number].groups.entry(copy.group).or_default();
        let count = &mut group.by_tier[copy.tier as usize];
        *count = count
            .checked_add_signed(change)
            .expect("no fewer than none");
    }

    /// Joints of a block of which no part has a copy left are forgotten, and what the last part was
    /// told with them.
    fn dissolve(&mut self, number: Number, group: u32) {
        let joints = std::mem::take(&mut self.joints);
        let is_over = |joint: &Joint| {
            let copies = (0..4).map(|tier| GroupTier { group, tier });
            let mut all = copies.flat_map(|copy| joint.parts.iter().map(move |part| (*part, copy)));
            joint.group == group
                && joint.parts.contains(&number)
                && all.all(|(part, copy)| self.copies_of(part, copy) == 0)
        };
        let (over, left): (Vec<Joint>, Vec<Joint>) = joints.into_iter().partition(is_over);
        self.joints = left;
        for joint in over {
            let last = joint.parts[joint.parts.len() - 1];
            if let Some(copies) = self.blocks[last].groups.get_mut(&group) {
                copies.told = None;
            }
            for part in joint.parts {
                self.release_unused(part);
            }
        }
    }

    fn release_unused(&mut self, number: Number) {
        let block = &self.blocks[number];
        let has_copies = block.groups.values().any(|copies| copies.by_tier != [0; 4]);
        let is_part = self
            .joints
            .iter()
            .any(|joint| joint.parts.contains(&number));
        if !has_copies && !is_part && self.current.get(&block.key) == Some(&number) {
            self.current.remove(&block.key);
        }
    }
}
