//! KV events: from an engine's frames to residencies in the block index. `EventApplier` is the
//! whole of it; equal, frame by frame, to the portable core's.

mod applier;
mod block_aside;
mod chain;
mod decode;
mod engine_blocks;
mod engine_map;
mod event;
mod extra_keys;
mod fields;
mod groups;
mod slab;
mod store;
mod tail;
mod text;
mod walker;
mod writes;

pub use applier::{Applied, ApplyStatus, EventApplier};

#[cfg(test)]
mod tests;
