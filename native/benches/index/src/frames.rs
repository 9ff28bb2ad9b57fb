//! Frames of a busy vLLM endpoint, array form: 3.2 events on average, of which 45 % store one block
//! of a sequence (decoding), 40 % store 8 to 64 blocks from a root (prefill) and 15 % remove 1 to
//! 32 hashes, oldest first; more removals once the endpoint holds what it can.

use std::collections::VecDeque;

use crate::load::Random;

const SEQUENCES_MAX: usize = 64;
const BLOCK: usize = 16;
const TOKEN_IDS: u64 = 150_000;

pub struct Mix {
    random: Random,
    /// Hashes the engine holds, oldest first.
    live: VecDeque<u64>,
    live_max: usize,
    /// Last hash of each sequence that decoding goes on with.
    sequences: Vec<u64>,
    was_full: bool,
}

impl Mix {
    pub fn new(seed: u64, live_max: usize) -> Self {
        Self {
            random: Random(seed << 32 | 0x5eed),
            live: VecDeque::new(),
            live_max,
            sequences: Vec::new(),
            was_full: false,
        }
    }

    /// Whether the endpoint has begun to evict.
    pub fn is_full(&self) -> bool {
        self.was_full
    }

    /// Appends the next frame; the blocks it stores.
    pub fn frame(&mut self, frame: &mut Vec<u8>) -> usize {
        let count = 1 + self.random.below(5) + u64::from(self.random.below(5) == 0);
        frame.extend_from_slice(&[0x93, 0xcb]);
        frame.extend_from_slice(&1.7e9_f64.to_be_bytes());
        frame.push(0x90 | count as u8);
        let stored = (0..count).map(|_| self.event(frame)).sum();
        frame.push(0);
        stored
    }

    fn event(&mut self, frame: &mut Vec<u8>) -> usize {
        let draw = self.random.below(100);
        self.was_full |= self.live.len() > self.live_max;
        let over = self.live.len() > self.live_max;
        if over || draw < 15 && self.live.len() > self.live_max / 2 {
            self.removal(frame);
            return 0;
        }
        if draw < 60 && !self.sequences.is_empty() {
            let sequence = self.random.below(self.sequences.len() as u64) as usize;
            // Its end may have been evicted meanwhile: then it is over.
            let parent = self.sequences[sequence];
            if self.live.len() < self.live_max / 2 || self.live.contains_recent(parent) {
                self.sequences[sequence] = self.store(frame, Some(parent), 1);
                return 1;
            }
        }
        let count = 8 + self.random.below(57) as usize;
        let last = self.store(frame, None, count);
        if self.sequences.len() < SEQUENCES_MAX {
            self.sequences.push(last);
        } else {
            let sequence = self.random.below(SEQUENCES_MAX as u64) as usize;
            self.sequences[sequence] = last;
        }
        count
    }

    fn store(&mut self, frame: &mut Vec<u8>, parent: Option<u64>, count: usize) -> u64 {
        frame.push(0x99);
        text(frame, "BlockStored");
        array(frame, count);
        let mut last = 0;
        for _ in 0..count {
            last = self.random.next();
            self.live.push_back(last);
            hash(frame, last);
        }
        match parent {
            Some(parent) => hash(frame, parent),
            None => frame.push(0xc0),
        }
        array(frame, count * BLOCK);
        for _ in 0..count * BLOCK {
            integer(frame, self.random.below(TOKEN_IDS) as u32);
        }
        frame.extend_from_slice(&[BLOCK as u8, 0xc0]);
        text(frame, "GPU");
        frame.extend_from_slice(&[0xc0, 0xc0]);
        last
    }

    fn removal(&mut self, frame: &mut Vec<u8>) {
        let count = 1 + self.random.below(32) as usize;
        let removed: Vec<u64> = self.live.drain(..count.min(self.live.len())).collect();
        frame.push(0x93);
        text(frame, "BlockRemoved");
        array(frame, removed.len());
        for one in removed {
            hash(frame, one);
        }
        text(frame, "GPU");
    }
}

trait ContainsRecent {
    /// Whether a hash is among the younger half.
    fn contains_recent(&self, hash: u64) -> bool;
}

impl ContainsRecent for VecDeque<u64> {
    fn contains_recent(&self, hash: u64) -> bool {
        self.iter()
            .rev()
            .take(self.len().min(4000))
            .any(|one| *one == hash)
    }
}

fn text(frame: &mut Vec<u8>, text: &str) {
    frame.push(0xa0 | text.len() as u8);
    frame.extend_from_slice(text.as_bytes());
}

fn array(frame: &mut Vec<u8>, count: usize) {
    if count < 16 {
        frame.push(0x90 | count as u8);
    } else {
        frame.push(0xdc);
        frame.extend_from_slice(&(count as u16).to_be_bytes());
    }
}

fn hash(frame: &mut Vec<u8>, hash: u64) {
    frame.push(0xcf);
    frame.extend_from_slice(&hash.to_be_bytes());
}

/// In its shortest form.
fn integer(frame: &mut Vec<u8>, value: u32) {
    match value {
        0..0x80 => frame.push(value as u8),
        0x80..0x100 => frame.extend_from_slice(&[0xcc, value as u8]),
        0x100..0x1_0000 => {
            frame.push(0xcd);
            frame.extend_from_slice(&(value as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xce);
            frame.extend_from_slice(&value.to_be_bytes());
        }
    }
}
