//! Encode records in shared memory: encoders write them, the main thread reads them, both by the
//! offsets of `layout::shared`. A record is written only while its handle is open, under the lock
//! of its slot in the store, so a late encoder never touches another request's record.

#![deny(clippy::indexing_slicing)]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::media::MediaKeys;
use super::no_match::NoMatch;
use super::refusal::Refusal;
use crate::index::SpeculativeTable;
use crate::layout::limits::{ENDPOINTS_MAX, MEDIA_KEYS_MAX, REQUESTS_IN_FLIGHT_MAX};
use crate::layout::shared::{
    RECORD_DETAIL_BYTES_MAX, RECORD_PARAM_BYTES_MAX, RECORD_PATCHES_MAX, record,
    record_endpoint_arrays, request_memory,
};
use crate::matching::PromptMatch;
use crate::shared_words::SharedWords;
use crate::store::{Handle, RequestStore};

const WAITING: u32 = 0;
const ENCODED: u32 = 1;
const REFUSED: u32 = 2;
const FLAG_STREAM: u32 = 1;

/// CPU spent per stage of encoding, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageMicros {
    pub parse: u32,
    pub render: u32,
    pub tokenize: u32,
    pub hash: u32,
    pub matching: u32,
}

/// What one encoding found out, as it goes into the record.
#[derive(Debug, Default)]
pub struct Outcome {
    pub refusal: Option<Refusal>,
    pub no_match: Option<NoMatch>,
    /// Null when no endpoint serves the model.
    pub model_index: Option<u32>,
    pub model_offset: u32,
    pub model_bytes: u32,
    pub stream: bool,
    pub priority: i32,
    pub prompt_tokens: usize,
    pub total_blocks: usize,
    pub block_size: usize,
    pub cuts: Vec<(u32, u32)>,
    pub media: MediaKeys,
    pub index_epoch: u32,
    pub micros: StageMicros,
}

/// The records of one `requests` buffer.
#[derive(Clone, Copy)]
pub struct RecordTable {
    words: SharedWords,
    pub endpoint_capacity: usize,
    record_words: usize,
}

impl RecordTable {
    /// Null when the memory is no request memory.
    pub fn open(words: SharedWords) -> Option<Self> {
        if words.len() <= request_memory::HEAD_BYTES / 4 {
            return None;
        }
        let endpoint_capacity = words.load(request_memory::ENDPOINT_CAPACITY, Relaxed) as usize;
        let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * endpoint_capacity;
        let end = request_memory::HEAD_BYTES / 4 + REQUESTS_IN_FLIGHT_MAX * record_words;
        let fits = (1..=ENDPOINTS_MAX).contains(&endpoint_capacity) && end <= words.len();
        fits.then_some(Self {
            words,
            endpoint_capacity,
            record_words,
        })
    }

    /// Whether the handle's record has been written.
    pub fn is_written(&self, handle: Handle) -> bool {
        let Some(at) = self.at(handle) else {
            return false;
        };
        // The state is cleared before the generation changes, so a new generation never shows an
        // old state.
        self.words.load(at + record::GENERATION, Acquire) == handle.generation
            && self.words.load(at + record::STATE, Acquire) != WAITING
    }

    /// Writes an outcome and keeps the keys; false when the handle is stale.
    pub fn write(
        &self,
        store: &RequestStore,
        handle: Handle,
        outcome: &Outcome,
        matched: Option<&PromptMatch>,
        keys: &[u64],
    ) -> bool {
        let Some(at) = self.at(handle) else {
            return false;
        };
        store.set_keys(handle, keys);
        let written = store.while_open(handle, || {
            self.words.store(at + record::STATE, WAITING, Relaxed);
            self.words
                .store(at + record::GENERATION, handle.generation, Release);
            // A record that says why nothing was matched has left zeros, which need no second writing.
            let is_cleared = self.words.load(at + record::NO_MATCH_REASON, Relaxed) != 0;
            self.write_head(at, outcome);
            self.set(at + record::KEY_COUNT, keys.len());
            let matched = matched.filter(|_| outcome.no_match.is_none());
            if matched.is_some() || !is_cleared {
                self.write_match(at + record::HEAD_WORDS, matched);
            }
            let state = if outcome.refusal.is_some() {
                REFUSED
            } else {
                ENCODED
            };
            self.words.store(at + record::STATE, state, Release);
        });
        written.is_some()
    }

    /// Looks anew for what is expected at endpoints within moments: other prompts have been sent on
    /// since this one was matched. `keys` are its own; called by the thread that reads the record.
    pub fn renew_expected(
        &self,
        handle: Handle,
        keys: &[u64],
        expected: &SpeculativeTable,
        now_ms: f64,
    ) {
        let Some(at) = self.at(handle).filter(|_| self.is_written(handle)) else {
            return;
        };
        let prompt_tokens = self.words.load(at + record::PROMPT_TOKENS, Relaxed);
        let block_size = self.words.load(at + record::BLOCK_SIZE, Relaxed);
        // An engine computes the last token anew, and with it the last block of an even prompt.
        let limit = prompt_tokens
            .saturating_sub(1)
            .checked_div(block_size)
            .unwrap_or(0);
        let arrays = at + record::HEAD_WORDS;
        let usable_at = arrays + record_endpoint_arrays::USABLE_BLOCKS * self.endpoint_capacity;
        let usable: Vec<u32> = (usable_at..usable_at + self.endpoint_capacity)
            .map(|word| self.words.load(word, Relaxed))
            .collect();
        let mut blocks = usable.clone();
        expected.match_keys(keys, limit as usize, &usable, &mut blocks, now_ms);
        let blocks_at =
            arrays + record_endpoint_arrays::SPECULATIVE_BLOCKS * self.endpoint_capacity;
        for (word, value) in blocks.iter().enumerate() {
            self.put(blocks_at + word, *value);
        }
    }

    fn at(&self, handle: Handle) -> Option<usize> {
        let slot = handle.slot as usize;
        let records = request_memory::HEAD_BYTES / 4;
        (slot < REQUESTS_IN_FLIGHT_MAX).then(|| records + slot * self.record_words)
    }

    fn set(&self, at: usize, value: usize) {
        self.put(at, u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn put(&self, at: usize, value: u32) {
        self.words.store(at, value, Relaxed);
    }

    fn write_head(&self, at: usize, outcome: &Outcome) {
        let refusal = outcome.refusal.as_ref();
        let micros = outcome.micros;
        self.set(
            at + record::ERROR_CODE,
            refusal.map_or(0, |refusal| refusal.code),
        );
        self.put(
            at + record::NO_MATCH_REASON,
            outcome.no_match.map_or(0, |why| 1 + why as u32),
        );
        self.put(
            at + record::FLAGS,
            if outcome.stream { FLAG_STREAM } else { 0 },
        );
        self.put(at + record::PRIORITY, outcome.priority.cast_unsigned());
        self.set(at + record::PROMPT_TOKENS, outcome.prompt_tokens);
        self.set(at + record::TOTAL_BLOCKS, outcome.total_blocks);
        self.set(at + record::BLOCK_SIZE, outcome.block_size);
        self.put(
            at + record::MODEL,
            outcome.model_index.map_or(0, |index| index + 1),
        );
        self.put(at + record::MODEL_OFFSET, outcome.model_offset);
        self.put(at + record::MODEL_BYTES, outcome.model_bytes);
        self.put(at + record::INDEX_EPOCH, outcome.index_epoch);
        self.put(at + record::PARSE_MICROS, micros.parse);
        self.put(at + record::RENDER_MICROS, micros.render);
        self.put(at + record::TOKENIZE_MICROS, micros.tokenize);
        self.put(at + record::HASH_MICROS, micros.hash);
        self.put(at + record::MATCH_MICROS, micros.matching);
        // Duplicates are refused, so there are never more runs than names that are stripped.
        let cuts = outcome.cuts.iter().take(RECORD_PATCHES_MAX);
        self.set(at + record::PATCH_COUNT, cuts.len());
        for (cut, (offset, length)) in cuts.enumerate() {
            self.put(at + record::PATCHES + 2 * cut, *offset);
            self.put(at + record::PATCHES + 2 * cut + 1, *length);
        }
        self.write_media(at, &outcome.media);
        let detail = refusal.map_or("", |refusal| refusal.detail.as_str());
        self.write_text(at + record::DETAIL_BYTES, detail, RECORD_DETAIL_BYTES_MAX);
        let param = refusal.and_then(|refusal| refusal.param.as_deref());
        self.write_text(
            at + record::PARAM_BYTES,
            param.unwrap_or(""),
            RECORD_PARAM_BYTES_MAX,
        );
    }

    fn write_media(&self, at: usize, media: &MediaKeys) {
        let keys = media.keys.iter().take(MEDIA_KEYS_MAX);
        self.set(at + record::MEDIA_COUNT, keys.len());
        self.set(at + record::MEDIA_LEFT_OUT, media.left_out);
        for (item, key) in keys.enumerate() {
            self.put(at + record::MEDIA + 2 * item, *key as u32);
            self.put(at + record::MEDIA + 2 * item + 1, (*key >> 32) as u32);
        }
    }

    /// A byte count, then the bytes, cut between characters when there are too many.
    fn write_text(&self, at: usize, text: &str, bytes_max: usize) {
        let mut length = text.len().min(bytes_max);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        self.set(at, length);
        let bytes = text.as_bytes().get(..length).unwrap_or_default();
        for (word, chunk) in bytes.chunks(4).enumerate() {
            let value = chunk
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            self.put(at + 1 + word, value);
        }
    }

    /// Every element is written: a slot's record is used by one request after another.
    fn write_match(&self, at: usize, matched: Option<&PromptMatch>) {
        let capacity = self.endpoint_capacity;
        let Some(matched) = matched else {
            for word in 0..record_endpoint_arrays::WORDS * capacity {
                self.put(at + word, 0);
            }
            return;
        };
        let arrays = [
            (
                record_endpoint_arrays::USABLE_BLOCKS,
                &matched.usable_blocks,
                1,
            ),
            (record_endpoint_arrays::RAW_BLOCKS, &matched.raw_blocks, 1),
            (
                record_endpoint_arrays::SPECULATIVE_BLOCKS,
                &matched.speculative_blocks,
                1,
            ),
            (record_endpoint_arrays::TIER_BLOCKS, &matched.tier_blocks, 4),
        ];
        for (array, values, width) in arrays {
            for (word, value) in values.iter().take(width * capacity).enumerate() {
                self.put(at + array * capacity + word, *value);
            }
        }
    }
}
