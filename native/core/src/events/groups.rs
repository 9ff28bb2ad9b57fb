//! KV groups of one publisher: which one decides the prefix, how many blocks before the end of a
//! hit every other one must hold, and what hits are multiples of (wire-formats §2, §3). Learned
//! from the events; kept over clears, because the model behind a publisher stays the same, but for
//! block sizes. Borders are doubles, as the portable core computes them.

use super::event::{Event, GPU, SpecKind, StoredEvent};
use crate::layout::limits::KV_GROUPS_MAX;

/// A window no prompt fills: the whole prefix must be resident.
const WHOLE_PREFIX_BLOCKS: u32 = 1 << 31;

/// For a group with a window: its blocks between two borders that hits can end at, and how many of
/// them, at least 1, before each border a hit can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub blocks: usize,
    pub kept: usize,
}

/// Groups by their number in the index: 0 is the one whose run is the prefix.
#[derive(Default)]
pub struct KvGroups {
    windows: [Option<u32>; KV_GROUPS_MAX],
    /// The wire's number of the group that is 0 in the index; None before the first store.
    primary: Option<u32>,
    /// Tokens per GPU block; 0 for a group that keeps states.
    block_sizes: [Option<u32>; KV_GROUPS_MAX],
}

impl KvGroups {
    /// Chooses the primary group at the first batch that stores: group 0, unless that says that it
    /// is of another kind and the lowest-numbered group with full attention is in the same batch.
    /// An engine announces all groups of a request in one batch.
    pub fn learn(&mut self, events: &[Event]) {
        if self.primary.is_some() {
            return;
        }
        let stored = || {
            events.iter().filter_map(|event| match event {
                Event::Stored(stored) => Some(stored),
                _ => None,
            })
        };
        if stored().next().is_none() {
            return;
        }
        let full = stored()
            .filter(|event| event.spec_kind == SpecKind::Full)
            .map(|event| event.group)
            .filter(|group| (*group as usize) < KV_GROUPS_MAX)
            .min();
        let first = stored().find(|event| event.group == 0);
        let tells = first.is_some_and(|event| event.spec_kind != SpecKind::Unknown);
        self.primary = Some(full.filter(|_| tells).unwrap_or(0));
    }

    /// Number of a wire group in the index; None for one that the index cannot hold.
    pub fn index_group(&self, group: u32) -> Option<u32> {
        if group as usize >= KV_GROUPS_MAX {
            return None;
        }
        let primary = self.primary.unwrap_or(0);
        if group == primary {
            return Some(0);
        }
        Some(if group == 0 { primary } else { group })
    }

    /// Window of the group the event is about, when it is not yet known like that.
    pub fn new_window(&mut self, group: u32, event: &StoredEvent, block_size: u32) -> Option<u32> {
        if group == 0 {
            return None;
        }
        let known = &mut self.windows[group as usize];
        let window = window_blocks(event, block_size).filter(|window| *known != Some(*window))?;
        *known = Some(window);
        Some(window)
    }

    /// What hits are multiples of, in canonical blocks, when the event changes that. An engine
    /// reuses whole blocks of every group, thus up to their common borders. Groups that keep states
    /// tell by where the states lie.
    pub fn new_alignment(
        &mut self,
        group: u32,
        event: &StoredEvent,
        block_size: u32,
    ) -> Option<u32> {
        // Offload tiers may store larger blocks than a hit ends at.
        if event.tier != GPU || event.block_size == 0 {
            return None;
        }
        let size = if event.spec_kind == SpecKind::State {
            0
        } else {
            event.block_size
        };
        // A smaller one is the partial last block of a prompt.
        if self.block_sizes[group as usize].is_some_and(|known| size <= known) {
            return None;
        }
        let before = self.alignment(block_size);
        self.block_sizes[group as usize] = Some(size);
        let after = self.alignment(block_size);
        (after != before).then_some(after.min(f64::from(u32::MAX)) as u32)
    }

    /// None where the group keeps no blocks, or all.
    pub fn segment(&self, event: &StoredEvent) -> Option<Segment> {
        if event.spec_kind != SpecKind::Windowed {
            return None;
        }
        let size = f64::from(event.block_size);
        let blocks = self.common_border() / size;
        let kept = ((f64::from(event.sliding_window?) - 1.0) / size).ceil();
        let fits = blocks.fract() == 0.0 && kept >= 1.0 && kept < blocks;
        fits.then_some(Segment {
            blocks: blocks as usize,
            kept: kept as usize,
        })
    }

    /// An engine that starts anew may do so with other block sizes.
    pub fn forget_block_sizes(&mut self) {
        self.block_sizes = [None; KV_GROUPS_MAX];
    }

    /// Every known window, to be declared again for a new generation.
    pub fn windows(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.windows
            .iter()
            .enumerate()
            .filter_map(|(group, window)| Some((group as u32, (*window)?)))
    }

    /// 1 also where engine blocks lie across canonical borders: hits end between ours anyway.
    fn alignment(&self, block_size: u32) -> f64 {
        let border = self.common_border();
        let size = f64::from(block_size);
        if border > 0.0 && border % size == 0.0 {
            border / size
        } else {
            1.0
        }
    }

    /// Tokens between borders that all groups' blocks share; 0 with a group that keeps states.
    fn common_border(&self) -> f64 {
        self.block_sizes.iter().flatten().fold(1.0, |border, size| {
            least_common_multiple(border, f64::from(*size))
        })
    }
}

/// 0 with a 0.
fn least_common_multiple(left: f64, right: f64) -> f64 {
    if left == 0.0 || right == 0.0 {
        return 0.0;
    }
    let (mut divisor, mut rest) = (left, right);
    while rest != 0.0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    left / divisor * right
}

/// In canonical blocks; None when the event does not tell (a placeholder names no kind).
fn window_blocks(event: &StoredEvent, block_size: u32) -> Option<u32> {
    if event.block_size == 0 && event.spec_kind == SpecKind::Unknown {
        return None;
    }
    if event.spec_kind == SpecKind::State {
        return Some(1);
    }
    let window = match event.sliding_window {
        Some(window) if event.spec_kind == SpecKind::Windowed => window,
        _ => return Some(WHOLE_PREFIX_BLOCKS),
    };
    let engine_block_size = f64::from(if event.block_size == 0 {
        block_size
    } else {
        event.block_size
    });
    let engine_blocks = ((f64::from(window) - 1.0) / engine_block_size).ceil();
    let blocks = (engine_blocks * engine_block_size / f64::from(block_size)).ceil();
    // The index knows no empty window; a block more than needed only predicts less.
    Some(blocks.clamp(1.0, f64::from(u32::MAX)) as u32)
}
