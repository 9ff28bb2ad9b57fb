//! The history of one endpoint: leads its pool of blocks through the requests that were sent there
//! and writes what they hold into the block index. `src/contracts/routing-history.ts` states the rule.

#![deny(clippy::indexing_slicing)]

use std::collections::VecDeque;

use super::pool::{Content, NONE, Pool};
use super::run::Run;
use crate::index::{IndexWriter, Residency, VirtualId, WriteStatus};
use crate::layout::limits::HISTORY_SLICE_BLOCKS;

/// Keys whose buckets of the index are loaded ahead.
const PREFETCH: usize = 8;

/// What one endpoint's engine can hold.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub capacity_blocks: u32,
    pub block_size: u32,
    pub alignment_blocks: u32,
}

/// How far a prompt was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    Filled,
    /// The slice has been used up.
    Sliced,
    /// No block is free.
    Blocked,
    Stuck,
}

/// A lock of the index stayed taken.
pub struct Stuck;

pub struct EndpointHistory {
    pub shape: Shape,
    /// Which history of its slot this is; runs of earlier ones are over.
    pub life: u32,
    pub pool: Pool,
    /// None while all virtual ids of the index are taken.
    pub virtual_id: Option<VirtualId>,
    /// Handle slots of the requests that are not filled yet, in the order they were sent.
    pub pending: VecDeque<u32>,
    /// Whether `pending` waits for a later turn only.
    pub sliced: bool,
    pub requests: usize,
}

impl EndpointHistory {
    pub fn new(shape: Shape, life: u32, virtual_id: Option<VirtualId>) -> Self {
        Self {
            shape,
            life,
            pool: Pool::new(shape.capacity_blocks),
            virtual_id,
            pending: VecDeque::new(),
            sliced: false,
            requests: 0,
        }
    }

    /// Takes in up to `budget` blocks of a prompt. `keys` are those from the run's next block on.
    pub fn fill(
        &mut self,
        index: &mut IndexWriter,
        run: &mut Run,
        keys: &[u64],
        budget: &mut usize,
    ) -> Filling {
        let first = run.blocks.len();
        while !run.is_filled() {
            if *budget == 0 {
                return Filling::Sliced;
            }
            *budget -= 1;
            let at = run.blocks.len();
            let key = keys.get(at - first).copied().filter(|_| at < run.keys);
            if let (true, Some(key)) = (run.hitting && at < run.reusable, key) {
                if let Some(block) = self.pool.find(key) {
                    self.pool.take(block);
                    run.blocks.push(block);
                    run.hits += 1;
                    continue;
                }
                let left = keys.get(at - first..).unwrap_or_default();
                if self.take_over(index, run, left).is_err() {
                    return Filling::Stuck;
                }
                run.hitting = false;
                if run.blocks.len() > at {
                    continue;
                }
            }
            run.hitting = false;
            if let Some(ahead) = keys.get(at - first + PREFETCH) {
                index.prefetch(residency(*ahead));
            }
            match self.new_block(index) {
                Ok(Some(block)) => run.blocks.push(block),
                Ok(None) => return Filling::Blocked,
                Err(Stuck) => return Filling::Stuck,
            }
            if let (Some(block), Some(key)) = (run.blocks.last(), key)
                && self.hold(index, *block, key).is_err()
            {
                return Filling::Stuck;
            }
        }
        Filling::Filled
    }

    /// Gives the blocks of an earlier answer the keys of the prompt that goes on behind it. Only a
    /// prompt long enough to hold all of the answer can be its continuation.
    fn take_over(
        &mut self,
        index: &mut IndexWriter,
        run: &mut Run,
        keys: &[u64],
    ) -> Result<(), Stuck> {
        let at = run.blocks.len();
        let answer = run.blocks.last().and_then(|last| self.pool.answer(*last));
        let Some((mut block, count)) = answer else {
            return Ok(());
        };
        if at + count as usize > run.reusable.min(run.keys) {
            return Ok(());
        }
        for key in keys.iter().take(count as usize) {
            let next = self.pool.answer(block).map_or(NONE, |(next, _)| next);
            self.pool.take(block);
            self.pool.forget(block);
            run.blocks.push(block);
            run.hits += 1;
            self.hold(index, block, *key)?;
            if next == NONE {
                break;
            }
            block = next;
        }
        Ok(())
    }

    /// The engine has answered: blocks for the answer, and for what it had to compute although it
    /// was a hit here; then all are free. `cached` is None where the engine does not tell.
    pub fn finish(
        &mut self,
        index: &mut IndexWriter,
        run: &mut Run,
        computed: usize,
        cached: Option<usize>,
    ) -> Result<(), Stuck> {
        let block_size = self.shape.block_size.max(1) as usize;
        let alignment = self.shape.alignment_blocks.max(1) as usize;
        let expected = run.hits / alignment * alignment;
        let found = cached.map_or(expected, |tokens| tokens / block_size);
        for _ in 0..expected.saturating_sub(found).min(HISTORY_SLICE_BLOCKS) {
            let Some(block) = self.new_block(index)? else {
                break;
            };
            self.pool.hide(block);
            self.pool.release(block);
        }
        if run.is_filled() {
            self.add_answer(index, run, computed, block_size)?;
        }
        self.release(run);
        Ok(())
    }

    fn add_answer(
        &mut self,
        index: &mut IndexWriter,
        run: &mut Run,
        computed: usize,
        block_size: usize,
    ) -> Result<(), Stuck> {
        let full = computed / block_size;
        let last_of_prompt = run.keys.checked_sub(1).and_then(|at| run.blocks.get(at));
        let mut behind = last_of_prompt.copied().unwrap_or(NONE);
        // An answer that no prompt can take over in one slice is not kept as one.
        let mut answer_blocks = match self.pool.content(behind) {
            Content::Prompt(_) if full <= run.keys + HISTORY_SLICE_BLOCKS => {
                full.saturating_sub(run.keys) as u32
            }
            _ => {
                behind = NONE;
                0
            }
        };
        let blocks = computed.div_ceil(block_size);
        let most = run.blocks.len() + HISTORY_SLICE_BLOCKS;
        for at in run.keys..blocks.min(most) {
            let block = match run.blocks.get(at) {
                Some(block) => *block,
                None => match self.new_block(index)? {
                    Some(block) => {
                        run.blocks.push(block);
                        block
                    }
                    None => break,
                },
            };
            if at >= full {
                break;
            }
            if behind == NONE {
                self.pool.hide(block);
            } else {
                self.pool.answer_behind(block, behind, answer_blocks);
                (behind, answer_blocks) = (block, 0);
            }
        }
        Ok(())
    }

    /// The engine did not compute the prompt: what it alone brought is forgotten, the first blocks
    /// of it, without which the others cannot be hit.
    pub fn withdraw(&mut self, index: &mut IndexWriter, run: &mut Run) -> Result<(), Stuck> {
        let own = run.blocks.get(run.hits..).unwrap_or_default();
        for block in own.iter().take(HISTORY_SLICE_BLOCKS) {
            if self.pool.references(*block) == 1 {
                let content = self.pool.forget(*block);
                self.unwrite(index, content)?;
            }
        }
        self.release(run);
        Ok(())
    }

    /// Last block first, so that the head of a prefix outlives its tail.
    fn release(&mut self, run: &mut Run) {
        for block in run.blocks.drain(..).rev() {
            self.pool.release(block);
        }
    }

    fn new_block(&mut self, index: &mut IndexWriter) -> Result<Option<u32>, Stuck> {
        let Some((block, evicted)) = self.pool.allocate() else {
            return Ok(None);
        };
        self.unwrite(index, evicted)?;
        Ok(Some(block))
    }

    fn hold(&mut self, index: &mut IndexWriter, block: u32, key: u64) -> Result<(), Stuck> {
        if !self.pool.hold(block, key) {
            return Ok(());
        }
        let Some(virtual_id) = self.virtual_id else {
            return Ok(());
        };
        match index.add(virtual_id, residency(key)) {
            WriteStatus::Done | WriteStatus::Unchanged => Ok(()),
            WriteStatus::Full => {
                self.pool.hide(block);
                Ok(())
            }
            WriteStatus::Stuck => Err(Stuck),
        }
    }

    fn unwrite(&self, index: &mut IndexWriter, content: Content) -> Result<(), Stuck> {
        let (Content::Prompt(key), Some(virtual_id)) = (content, self.virtual_id) else {
            return Ok(());
        };
        match index.remove(virtual_id, residency(key)) {
            WriteStatus::Stuck => Err(Stuck),
            _ => Ok(()),
        }
    }
}

fn residency(key: u64) -> Residency {
    Residency {
        key,
        tier: 0,
        group: 0,
    }
}
