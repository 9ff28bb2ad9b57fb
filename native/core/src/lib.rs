//! What must be fast in Warmpath, without any knowledge of Node: request bodies, prompt encoding,
//! the block index, events, the data plane. `src/contracts` states what each part promises and
//! `src/core/portable` is its executable specification.

pub mod clock;
pub mod data_plane;
pub mod events;
pub mod history;
pub mod index;
pub mod keys;
pub mod layout;
pub mod matching;
pub mod pages;
pub mod prepare;
pub mod prompt;
pub mod shared_words;
pub mod store;
pub mod watch;
