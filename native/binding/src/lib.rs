//! Node-API surface of the native core. Every export catches unwinding, takes numbers, typed arrays
//! and (where it is not hot) strings, and names native objects by ids of `registry`.

#![deny(clippy::indexing_slicing)]

mod common;
mod data_plane;
mod events;
mod history;
mod index;
mod prompt;
mod registry;
mod store;
mod watcher;

/// Requests are made and dropped on different threads: glibc locks an arena for that, this does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
