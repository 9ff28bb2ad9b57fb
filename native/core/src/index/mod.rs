//! The block index: request key → residencies, on the same bytes and by the same protocol as the
//! portable core (`src/contracts/index-layout.ts`), so that both may work on one index at the same
//! time. `SharedMatcher` is what the prompt encoder's threads use.

mod buckets;
mod endpoints;
mod lock;
mod matcher;
mod memory;
mod owner;
mod plan;
mod reader;
mod sets;
mod speculative;
mod sweep;
mod windows;
mod words;
mod writer;

pub use buckets::{Place, Slot, delete_slot, find_slot, insert_slot, probe};
pub use endpoints::VirtualId;
pub use lock::{LOCK_ROUNDS, lock, unlock};
pub use matcher::SharedMatcher;
pub use memory::{Layout, Memory, TIER_COUNT};
pub use owner::{IndexOwner, IndexStats};
pub use reader::{IndexReader, MatchResult};
pub use speculative::SpeculativeTable;
pub use words::{Word, Words, set_word_narrow};
pub use writer::{IndexWriter, Residency, WriteStatus};

#[cfg(test)]
pub mod test_table;
#[cfg(test)]
mod tests;
