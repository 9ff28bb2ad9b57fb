//! The blocks of one endpoint's history: reference counts, the queue of those that may be evicted,
//! and the map from request keys. It knows nothing of the block index; whoever gives a block a
//! content, or takes one away, is told what changed.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Number of no block.
pub const NONE: u32 = u32::MAX;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing that could be reused: it is the first to be filled.
    Nothing,
    /// The block of a prompt with that request key.
    Prompt(u64),
    /// Part of an answer, behind the block of that number.
    Answer { behind: u32 },
    /// Something the engine may find but the router cannot name.
    Hidden,
}

struct Block {
    content: Content,
    references: u32,
    /// Neighbours in the queue, of a block with a content and without references.
    next: u32,
    previous: u32,
    /// The answer's block behind this one.
    answer: u32,
    /// How many there were behind a prompt's last block when the answer had ended.
    answer_blocks: u32,
}

/// Keys are hashes seeded with the deployment's secret already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type KeyMap = HashMap<u64, u32, BuildHasherDefault<KeyHasher>>;

/// Blocks 0 … capacity − 1. Room for all of them is reserved at once, because growing would hold up
/// the main thread; its pages are committed as blocks come into use.
pub struct Pool {
    capacity: u32,
    blocks: Vec<Block>,
    by_key: KeyMap,
    /// Free blocks without a content, the last one first in line.
    spare: Vec<u32>,
    /// Ends of the queue of free blocks with a content, and its length.
    head: u32,
    tail: u32,
    queued: u32,
}

impl Pool {
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            blocks: Vec::with_capacity(capacity as usize),
            by_key: KeyMap::with_capacity_and_hasher(
                capacity as usize,
                BuildHasherDefault::default(),
            ),
            spare: Vec::new(),
            head: NONE,
            tail: NONE,
            queued: 0,
        }
    }

    /// Blocks that a prompt can hit.
    pub fn known(&self) -> usize {
        self.by_key.len()
    }

    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    pub fn find(&self, key: u64) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    pub fn content(&self, block: u32) -> Content {
        self.get(block)
            .map_or(Content::Nothing, |block| block.content)
    }

    pub fn references(&self, block: u32) -> u32 {
        self.get(block).map_or(0, |block| block.references)
    }

    /// The first block of the answer behind a prompt's block, and how many blocks it had.
    pub fn answer(&self, block: u32) -> Option<(u32, u32)> {
        let block = self.get(block)?;
        (block.answer != NONE).then_some((block.answer, block.answer_blocks))
    }

    /// Takes a reference to a block with a content.
    pub fn take(&mut self, block: u32) {
        if self.references(block) == 0 {
            self.unlink(block);
        }
        if let Some(block) = self.get_mut(block) {
            block.references += 1;
        }
    }

    /// A free block, referenced once and without a content, and what was evicted from it; None when
    /// all blocks are referenced.
    pub fn allocate(&mut self) -> Option<(u32, Content)> {
        let fresh = self.blocks.len() as u32;
        let block = if let Some(block) = self.spare.pop() {
            block
        } else if fresh < self.capacity {
            self.blocks.push(Block {
                content: Content::Nothing,
                references: 0,
                next: NONE,
                previous: NONE,
                answer: NONE,
                answer_blocks: 0,
            });
            fresh
        } else if self.head != NONE {
            let oldest = self.head;
            self.unlink(oldest);
            oldest
        } else {
            return None;
        };
        let evicted = self.forget(block);
        if let Some(block) = self.get_mut(block) {
            block.references = 1;
        }
        Some((block, evicted))
    }

    /// Gives a block the content of a prompt's block. True when no other block had it; one that had
    /// it keeps its place in line but is found no more.
    pub fn hold(&mut self, block: u32, key: u64) -> bool {
        let other = self.by_key.insert(key, block);
        if let Some(block) = self.get_mut(block) {
            block.content = Content::Prompt(key);
        }
        let Some(other) = other.and_then(|other| self.get_mut(other)) else {
            return true;
        };
        other.content = Content::Hidden;
        other.answer = NONE;
        false
    }

    /// Gives a block a content that the router cannot name.
    pub fn hide(&mut self, block: u32) {
        self.forget(block);
        if let Some(block) = self.get_mut(block) {
            block.content = Content::Hidden;
        }
    }

    /// Makes a block the answer's next one behind `behind`. `answer_blocks` is the answer's length
    /// where `behind` is a prompt's block, else 0.
    pub fn answer_behind(&mut self, block: u32, behind: u32, answer_blocks: u32) {
        self.hide(block);
        if let Some(before) = self.get_mut(behind) {
            before.answer = block;
            before.answer_blocks = answer_blocks;
        }
        if let Some(block) = self.get_mut(block) {
            block.content = Content::Answer { behind };
        }
    }

    /// Takes a block's content away and returns it.
    pub fn forget(&mut self, block: u32) -> Content {
        let Some(entry) = self.get_mut(block) else {
            return Content::Nothing;
        };
        let content = std::mem::replace(&mut entry.content, Content::Nothing);
        entry.answer = NONE;
        match content {
            Content::Prompt(key) => {
                self.by_key.remove(&key);
            }
            Content::Answer { behind } => self.cut(behind, block),
            Content::Nothing | Content::Hidden => {}
        }
        content
    }

    /// Gives a reference back; the last one puts the block in line.
    pub fn release(&mut self, block: u32) {
        let Some(entry) = self.get_mut(block) else {
            return;
        };
        entry.references = entry.references.saturating_sub(1);
        if entry.references > 0 {
            return;
        }
        if entry.content == Content::Nothing {
            self.spare.push(block);
        } else {
            self.append(block);
        }
    }

    /// What stood behind `behind` begins elsewhere now, if it was `block`.
    fn cut(&mut self, behind: u32, block: u32) {
        if let Some(before) = self.get_mut(behind)
            && before.answer == block
        {
            before.answer = NONE;
        }
    }

    fn append(&mut self, block: u32) {
        let tail = self.tail;
        if let Some(entry) = self.get_mut(block) {
            entry.previous = tail;
            entry.next = NONE;
        }
        match self.get_mut(tail) {
            Some(last) => last.next = block,
            None => self.head = block,
        }
        self.tail = block;
        self.queued += 1;
    }

    fn unlink(&mut self, block: u32) {
        let Some((previous, next)) = self.get(block).map(|entry| (entry.previous, entry.next))
        else {
            return;
        };
        match self.get_mut(previous) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.get_mut(next) {
            Some(after) => after.previous = previous,
            None => self.tail = previous,
        }
        self.queued -= 1;
    }

    #[inline]
    fn get(&self, block: u32) -> Option<&Block> {
        self.blocks.get(block as usize)
    }

    #[inline]
    fn get_mut(&mut self, block: u32) -> Option<&mut Block> {
        self.blocks.get_mut(block as usize)
    }
}
