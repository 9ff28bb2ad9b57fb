//! What an engine tells about its blocks, as `decode` reads it from a frame.
#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::walker::Span;

pub const GPU: u8 = 0;
const CPU: u8 = 1;
const DISK: u8 = 2;
pub const SHARED: u8 = 3;

/// An engine's name for a block. Integers are themselves, whatever width they were sent in; byte
/// strings are a hash of their bytes, secretly seeded, and never equal an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EngineKey {
    pub bits: u64,
    pub kind: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    Natural = 0,
    Negative = 1,
    Bytes = 2,
}

/// Text of an event: bytes of the frame, or of `Batch::side` where the frame's were damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventText {
    pub span: Span,
    pub is_aside: bool,
}

/// What an engine says about a KV group's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecKind {
    Unknown,
    /// Full or multi-head latent attention: keeps the whole prefix.
    Full,
    /// Any `sliding_window…`.
    Windowed,
    /// `mamba`: only the state after the last token of a block is kept.
    State,
    Other,
}

#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub hashes: Range<usize>,
    /// None: first block of a sequence.
    pub parent: Option<EngineKey>,
    /// Empty for a placeholder.
    pub token_ids: Range<usize>,
    pub block_size: u32,
    pub tier: u8,
    pub lora_name: Option<EventText>,
    pub cache_salt: Option<EventText>,
    /// Where the elements of the extra keys begin in the frame, and how many there are.
    pub extra_keys: Option<(usize, usize)>,
    /// KV group, 0 when absent.
    pub group: u32,
    pub spec_kind: SpecKind,
    pub sliding_window: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct RemovedEvent {
    pub hashes: Range<usize>,
    pub tier: u8,
    pub group: u32,
}

#[derive(Clone, Debug)]
pub enum Event {
    Stored(StoredEvent),
    Removed(RemovedEvent),
    Cleared,
}

/// Tier of a medium, in upper case; None for one this program does not know.
pub fn medium_tier(upper: &mut dyn Iterator<Item = u8>) -> Option<u8> {
    let mut name = [0; 10];
    let mut length = 0;
    for byte in upper {
        *name.get_mut(length)? = byte;
        length += 1;
    }
    match name.get(..length)? {
        b"GPU" => Some(GPU),
        b"CPU" | b"CPU_PINNED" => Some(CPU),
        b"DISK" | b"STORAGE" => Some(DISK),
        b"EXTERNAL" => Some(SHARED),
        _ => None,
    }
}
