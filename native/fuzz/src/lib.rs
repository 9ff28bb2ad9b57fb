//! Fuzz targets of everything that reads outside input: plain functions that unwind when a property
//! does not hold, and the seeds to begin from. Run by the test `replay`, by the program
//! `warmpath-fuzz`, and by libFuzzer through `fuzz_targets`.

// A finding is a panic here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod body;
pub mod chat;
pub mod drive;
pub mod events;
pub mod http;
mod memory;
mod msgpack;
pub mod mutate;
mod random;
mod seeds;
pub mod stream;
pub mod tokens;

use warmpath_core::layout::limits::EVENT_FRAME_BYTES_MAX;

/// Longest input a target is given: an event frame.
pub const INPUT_BYTES_MAX: usize = EVENT_FRAME_BYTES_MAX;

/// One function under test.
pub struct Target {
    pub name: &'static str,
    /// Unwinds when a property does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with, besides those of `corpus/<name>`.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Fragments that mutations put in.
    pub words: &'static [&'static str],
}

pub const TARGETS: [Target; 7] = [
    events::TARGET,
    body::TARGET,
    http::REQUEST,
    http::ANSWER,
    stream::TARGET,
    tokens::TARGET,
    chat::TARGET,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    static ALL: [Target; 7] = TARGETS;
    ALL.iter().find(|target| target.name == name)
}
