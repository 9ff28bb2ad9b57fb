//! The routing history: what was sent to endpoints whose engines publish no events counts as held
//! there. The executable specification is `src/core/portable/history/`. Used on the main thread alone.

#![deny(clippy::indexing_slicing)]

mod endpoint;
mod pool;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use endpoint::Shape;
use endpoint::{EndpointHistory, Filling};
use run::Run;

use crate::index::IndexWriter;
use crate::layout::limits::{
    ENDPOINTS_MAX, HISTORY_BLOCKS_MAX, HISTORY_SLICE_BLOCKS, REQUESTS_IN_FLIGHT_MAX,
};
use crate::store::{Handle, RequestStore};

/// What is left of the work of a call; numbers are those the binding gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Done = 0,
    More = 1,
    Stuck = 2,
}

/// Of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub blocks: usize,
    pub capacity_blocks: u32,
    pub requests: usize,
}

/// Block lists longer than this are not kept for the next request of a handle slot.
const KEPT_BLOCKS: usize = 1024;

pub struct RoutingHistory {
    index: IndexWriter,
    store: Arc<RequestStore>,
    /// By endpoint slot.
    histories: Vec<Option<EndpointHistory>>,
    /// By handle slot; of a run that is over only the memory is left.
    runs: Vec<Run>,
    /// Keys of the prompt that is being taken in.
    keys: Vec<u64>,
    lives: u32,
}

impl RoutingHistory {
    pub fn new(index: IndexWriter, store: Arc<RequestStore>) -> Self {
        Self {
            index,
            store,
            histories: Vec::new(),
            runs: Vec::new(),
            keys: Vec::new(),
            lives: 0,
        }
    }

    /// Begins an empty history of the slot; an earlier one is dropped.
    pub fn open(&mut self, slot: u32, shape: Shape) {
        assert!((slot as usize) < ENDPOINTS_MAX, "the endpoint slot exists");
        self.close(slot);
        if self.histories.len() <= slot as usize {
            self.histories.resize_with(slot as usize + 1, || None);
        }
        let shape = Shape {
            capacity_blocks: shape.capacity_blocks.clamp(1, HISTORY_BLOCKS_MAX as u32),
            ..shape
        };
        let history = self.begun(slot, shape);
        if let Some(entry) = self.histories.get_mut(slot as usize) {
            *entry = Some(history);
        }
    }

    /// Drops the slot's history.
    pub fn close(&mut self, slot: u32) {
        let entry = self.histories.get_mut(slot as usize);
        let Some(history) = entry.and_then(Option::take) else {
            return;
        };
        if let Some(virtual_id) = history.virtual_id {
            self.index.drop_endpoint(virtual_id);
        }
    }

    /// A request was sent to the slot's endpoint.
    pub fn begin(&mut self, handle: Handle, slot: u32, prompt_tokens: u32) -> Work {
        if handle.slot as usize >= REQUESTS_IN_FLIGHT_MAX {
            return Work::Done;
        }
        // A handle slot comes back only when its request is over.
        self.leave(handle.slot);
        self.renew(slot);
        let Some(Some(history)) = self.histories.get_mut(slot as usize) else {
            return Work::Done;
        };
        let Some(keys) = self.store.with_keys(handle, <[u64]>::len) else {
            return Work::Done;
        };
        let block_size = history.shape.block_size.max(1) as usize;
        let tokens = prompt_tokens as usize;
        let capacity = history.shape.capacity_blocks as usize;
        let keys = keys.min(tokens / block_size).min(capacity);
        if self.runs.len() <= handle.slot as usize {
            self.runs
                .resize_with(handle.slot as usize + 1, Run::default);
        }
        let Some(run) = self.runs.get_mut(handle.slot as usize) else {
            return Work::Done;
        };
        run.generation = handle.generation;
        run.slot = slot;
        run.life = history.life;
        run.blocks.clear();
        run.hits = 0;
        run.keys = keys;
        run.wanted = tokens.div_ceil(block_size).min(capacity);
        run.reusable = tokens.saturating_sub(1) / block_size;
        run.hitting = true;
        history.requests += 1;
        history.pending.push_back(handle.slot);
        self.fill(slot)
    }

    /// The endpoint has answered, wholly or in part; `cached` is None where the engine does not tell.
    pub fn end(&mut self, handle: Handle, computed: u32, cached: Option<u32>) -> Work {
        let Some(slot) = self.finish_filling(handle) else {
            return Work::Done;
        };
        let (Some(Some(history)), Some(run)) = (
            self.histories.get_mut(slot as usize),
            self.runs.get_mut(handle.slot as usize),
        ) else {
            return Work::Done;
        };
        let cached = cached.map(|tokens| tokens as usize);
        let finished = history.finish(&mut self.index, run, computed as usize, cached);
        self.over(handle.slot, slot);
        finished.map_or(Work::Stuck, |()| self.fill(slot))
    }

    /// The endpoint did not compute it.
    pub fn withdraw(&mut self, handle: Handle) -> Work {
        let Some(slot) = self.current(handle) else {
            return Work::Done;
        };
        self.unqueue(handle.slot, slot);
        let (Some(Some(history)), Some(run)) = (
            self.histories.get_mut(slot as usize),
            self.runs.get_mut(handle.slot as usize),
        ) else {
            return Work::Done;
        };
        let withdrawn = history.withdraw(&mut self.index, run);
        self.over(handle.slot, slot);
        withdrawn.map_or(Work::Stuck, |()| self.fill(slot))
    }

    /// Takes in the next slice of the first history that waits for a turn.
    pub fn advance(&mut self) -> Work {
        let is_sliced = |history: &Option<EndpointHistory>| {
            history.as_ref().is_some_and(|history| history.sliced)
        };
        let Some(slot) = self.histories.iter().position(is_sliced) else {
            return Work::Done;
        };
        let work = self.fill(slot as u32);
        match work {
            Work::Done if self.histories.iter().any(is_sliced) => Work::More,
            _ => work,
        }
    }

    pub fn usage(&self, slot: u32) -> Option<Usage> {
        let history = self.histories.get(slot as usize)?.as_ref()?;
        Some(Usage {
            blocks: history.pool.known(),
            capacity_blocks: history.pool.capacity(),
            requests: history.requests,
        })
    }

    fn begun(&mut self, slot: u32, shape: Shape) -> EndpointHistory {
        let virtual_id = self.index.open_endpoint(slot);
        if let Some(virtual_id) = virtual_id
            && shape.alignment_blocks > 1
        {
            self.index
                .set_hit_alignment(virtual_id, shape.alignment_blocks);
        }
        self.lives = self.lives.wrapping_add(1);
        EndpointHistory::new(shape, self.lives, virtual_id)
    }

    /// Begins the slot's history anew when somebody else dropped its residencies.
    fn renew(&mut self, slot: u32) {
        let Some(Some(history)) = self.histories.get(slot as usize) else {
            return;
        };
        let shape = history.shape;
        if !history
            .virtual_id
            .is_some_and(|virtual_id| self.index.is_open(virtual_id))
        {
            self.open(slot, shape);
        }
    }

    /// Takes in what waits, in order, until a slice is used up or nothing is free.
    fn fill(&mut self, slot: u32) -> Work {
        let mut budget = HISTORY_SLICE_BLOCKS;
        loop {
            let Some(Some(history)) = self.histories.get_mut(slot as usize) else {
                return Work::Done;
            };
            history.sliced = false;
            let Some(&request) = history.pending.front() else {
                return Work::Done;
            };
            match self.fill_one(slot, request, &mut budget) {
                Filling::Filled => {}
                Filling::Blocked => return Work::Done,
                Filling::Stuck => return Work::Stuck,
                Filling::Sliced => {
                    if let Some(Some(history)) = self.histories.get_mut(slot as usize) {
                        history.sliced = true;
                    }
                    return Work::More;
                }
            }
            self.unqueue(request, slot);
        }
    }

    fn fill_one(&mut self, slot: u32, request: u32, budget: &mut usize) -> Filling {
        let (Some(Some(history)), Some(run)) = (
            self.histories.get_mut(slot as usize),
            self.runs.get_mut(request as usize),
        ) else {
            return Filling::Filled;
        };
        let handle = Handle {
            slot: request,
            generation: run.generation,
        };
        let (from, count) = run.left();
        self.keys.clear();
        // Copied, because the data plane wants the same lock. An answer's blocks come on top.
        let count = count.min(*budget + HISTORY_SLICE_BLOCKS);
        let keys = &mut self.keys;
        self.store.with_keys(handle, |all| {
            keys.extend_from_slice(all.get(from..from + count).unwrap_or_default());
        });
        history.fill(&mut self.index, run, keys, budget)
    }

    /// Takes in one more slice of a request that has ended while it waited; what is left then is
    /// not remembered. The slot of its history; None when it is not running in one.
    fn finish_filling(&mut self, handle: Handle) -> Option<u32> {
        let slot = self.current(handle)?;
        if self
            .runs
            .get(handle.slot as usize)
            .is_some_and(|run| !run.is_filled())
        {
            let mut budget = HISTORY_SLICE_BLOCKS;
            self.fill_one(slot, handle.slot, &mut budget);
        }
        self.unqueue(handle.slot, slot);
        Some(slot)
    }

    /// Slot of the history that the request runs in; None when it does not.
    fn current(&self, handle: Handle) -> Option<u32> {
        let run = self.runs.get(handle.slot as usize)?;
        let history = self.histories.get(run.slot as usize)?.as_ref()?;
        let runs = run.life == history.life && run.generation == handle.generation;
        runs.then_some(run.slot)
    }

    fn unqueue(&mut self, request: u32, slot: u32) {
        let Some(Some(history)) = self.histories.get_mut(slot as usize) else {
            return;
        };
        if history.pending.front() == Some(&request) {
            history.pending.pop_front();
        } else {
            history.pending.retain(|waiting| *waiting != request);
        }
    }

    /// Ends what a handle slot was used for, whichever way.
    fn leave(&mut self, request: u32) {
        let Some(run) = self.runs.get(request as usize) else {
            return;
        };
        let handle = Handle {
            slot: request,
            generation: run.generation,
        };
        let _ = self.withdraw(handle);
    }

    fn over(&mut self, request: u32, slot: u32) {
        if let Some(run) = self.runs.get_mut(request as usize) {
            run.life = 0;
            run.blocks.clear();
            run.blocks.shrink_to(KEPT_BLOCKS);
        }
        if let Some(Some(history)) = self.histories.get_mut(slot as usize) {
            history.requests -= 1;
        }
    }
}
