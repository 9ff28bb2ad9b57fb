//! Exact prefix cache of one tokenizer, shared by all threads: texts are cut where the tokenizer
//! provably splits, chunks are hash-chained, and a node keeps the keys its chunk completed and where
//! the chain stands after it, so that a seen prefix is neither tokenised nor hashed again. Nodes
//! belong to one namespace and block size. Locks are one per shard and held for one node.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokenizers::pipeline::PipelineToken;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::tokenize::{LoadedTokenizer, Tokens, ids_of};
use crate::keys::chain_keys;
use crate::layout::limits::PREFIX_STORE_BYTES;

/// Bytes of a chunk before a cut is looked for: nodes stay few and suffixes short.
const CHUNK_BYTES: usize = 1024;
/// Bytes a node is counted with besides its arrays: map entry and headers.
const NODE_BYTES: usize = 96;
const SHARDS: usize = 64;
/// Tokens and keys a workspace keeps room for between two prompts.
const WORDS_KEPT: usize = 64 * 1024;

/// What is keyed.
#[derive(Clone, Copy)]
pub struct KeyingInput<'t> {
    pub text: &'t str,
    pub add_special_tokens: bool,
    /// Key the chain starts from.
    pub seed: u64,
    pub block_size: usize,
}

/// A prompt's keys, and what finding them took. Kept and refilled.
#[derive(Default)]
pub struct Keyed {
    pub keys: Vec<u64>,
    pub prompt_tokens: usize,
    pub chunks: usize,
    /// Chunks found in the store.
    pub hits: usize,
    pub tokenize_micros: u32,
    pub hash_micros: u32,
    /// Key of the last whole block, or the seed.
    parent: u64,
    /// Token ids after the last whole block.
    leftover: Vec<u32>,
    tokens: Tokens,
    joined: Vec<u32>,
    /// End of each chunk, and its hash with everything before it.
    cuts: Vec<(usize, u64)>,
}

impl Keyed {
    /// Forgets the prompt before.
    pub fn clear(&mut self) {
        self.begin(0);
        self.chunks = 0;
    }

    /// Starts a chain.
    fn begin(&mut self, seed: u64) {
        self.keys.clear();
        self.keys.shrink_to(WORDS_KEPT);
        self.tokens.shrink_to(WORDS_KEPT);
        self.joined.shrink_to(WORDS_KEPT);
        self.leftover.clear();
        self.prompt_tokens = 0;
        self.parent = seed;
        self.chunks = 1;
        self.hits = 0;
    }

    /// Continues the chain by the ids in `tokens`; the keys from `first` on are new.
    fn extend(&mut self, block_size: usize) {
        let ids = ids_of(&self.tokens);
        self.prompt_tokens += ids.len();
        self.joined.clear();
        self.joined.extend_from_slice(&self.leftover);
        self.joined.extend_from_slice(ids);
        self.parent = chain_keys(self.parent, &self.joined, block_size, &mut self.keys);
        let whole = self.joined.len() / block_size * block_size;
        self.leftover.clear();
        self.leftover
            .extend_from_slice(self.joined.get(whole..).unwrap_or_default());
    }

    /// Keys of ids that are known already.
    pub fn key_ids(&mut self, ids: &[u32], seed: u64, block_size: usize) {
        let started = Instant::now();
        self.begin(seed);
        self.prompt_tokens = ids.len();
        chain_keys(seed, ids, block_size, &mut self.keys);
        self.tokenize_micros = 0;
        self.hash_micros = micros(started);
    }
}

struct Node {
    keys: Box<[u64]>,
    leftover: Box<[u32]>,
    parent: u64,
    tokens: u32,
}

impl Node {
    fn bytes(&self) -> usize {
        NODE_BYTES + size_of_val(&*self.keys) + size_of_val(&*self.leftover)
    }
}

/// Keys of the maps are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Nodes = HashMap<u64, Node, BuildHasherDefault<AsIs>>;

/// Nodes in two generations: what is used moves to the young one; when that is full it becomes the
/// old one, and what was not used since goes.
#[derive(Default)]
struct Shard {
    young: Nodes,
    old: Nodes,
    young_bytes: usize,
    old_bytes: usize,
}

impl Shard {
    fn find(&mut self, hash: u64, half: usize) -> Option<&Node> {
        if !self.young.contains_key(&hash) {
            let node = self.old.remove(&hash)?;
            self.old_bytes -= node.bytes();
            self.insert(hash, node, half);
        }
        self.young.get(&hash)
    }

    fn insert(&mut self, hash: u64, node: Node, half: usize) {
        let bytes = node.bytes();
        // What never fits must not cost what does.
        if bytes > half {
            return;
        }
        if self.young_bytes + bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert(hash, node);
    }
}

pub struct PrefixStore {
    shards: Box<[Mutex<Shard>]>,
    /// Bytes of one generation of one shard.
    half: usize,
}

impl Default for PrefixStore {
    fn default() -> Self {
        Self::new(PREFIX_STORE_BYTES)
    }
}

impl PrefixStore {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            half: bytes_max / SHARDS / 2,
        }
    }

    /// Nodes and bytes held.
    pub fn usage(&self) -> (usize, usize) {
        self.shards
            .iter()
            .map(lock)
            .fold((0, 0), |(nodes, bytes), shard| {
                let held = shard.young.len() + shard.old.len();
                (nodes + held, bytes + shard.young_bytes + shard.old_bytes)
            })
    }

    /// Tokens and keys of a text, equal to tokenising and hashing it whole.
    pub fn key(
        &self,
        tokenizer: &LoadedTokenizer,
        input: KeyingInput<'_>,
        keyed: &mut Keyed,
    ) -> Result<(), String> {
        let started = Instant::now();
        keyed.begin(input.seed);
        let frame = tokenizer.frame.as_ref();
        let frame_is_fixed =
            !input.add_special_tokens || frame.is_some_and(|frame| frame.after.is_empty());
        let Some(cutter) = tokenizer.cutter.as_ref().filter(|_| frame_is_fixed) else {
            return key_whole(tokenizer, input, keyed, started);
        };
        keyed.cuts.clear();
        let root = [
            input.seed,
            (input.block_size as u64) << 1 | u64::from(input.add_special_tokens),
        ];
        let mut hash =
            xxh3_64_with_seed(&[root[0].to_le_bytes(), root[1].to_le_bytes()].concat(), 0);
        let mut start = 0;
        while start < input.text.len() || keyed.cuts.is_empty() {
            let is_long = input.text.len() - start > CHUNK_BYTES;
            let cut = is_long
                .then(|| cutter.next(input.text, start, start + CHUNK_BYTES))
                .flatten();
            let end = cut.unwrap_or(input.text.len());
            let chunk = input.text.as_bytes().get(start..end).unwrap_or_default();
            hash = xxh3_64_with_seed(chunk, hash);
            keyed.cuts.push((end, hash));
            start = end;
            if cut.is_none() {
                break;
            }
        }
        keyed.chunks = keyed.cuts.len();
        if let Some(frame) = frame.filter(|_| input.add_special_tokens) {
            keyed.tokens.clear();
            keyed
                .tokens
                .extend(frame.before.iter().copied().map(PipelineToken::from));
            keyed.extend(input.block_size);
        }
        self.walk(keyed);
        let mut hash_nanos = nanos(started);
        let mut tokenize_nanos = 0;
        let cuts = std::mem::take(&mut keyed.cuts);
        let done = keyed.hits.checked_sub(1).and_then(|last| cuts.get(last));
        let mut start = done.map_or(0, |(end, _)| *end);
        for (end, hash) in cuts.get(keyed.hits..).unwrap_or_default() {
            let tokenizing = Instant::now();
            keyed.tokens.clear();
            let chunk = input.text.get(start..*end).unwrap_or_default();
            tokenizer.encode_plain(chunk, &mut keyed.tokens)?;
            tokenize_nanos += nanos(tokenizing);
            let hashing = Instant::now();
            let first = keyed.keys.len();
            keyed.extend(input.block_size);
            self.insert(*hash, first, keyed);
            hash_nanos += nanos(hashing);
            start = *end;
        }
        keyed.cuts = cuts;
        keyed.tokenize_micros = (tokenize_nanos / 1000) as u32;
        keyed.hash_micros = (hash_nanos / 1000) as u32;
        Ok(())
    }

    /// Takes over what is known of the longest known prefix.
    fn walk(&self, keyed: &mut Keyed) {
        let cuts = std::mem::take(&mut keyed.cuts);
        for (_, hash) in &cuts {
            let Some(shard) = self.shard(*hash) else {
                break;
            };
            let mut shard = lock(shard);
            let Some(node) = shard.find(*hash, self.half) else {
                break;
            };
            keyed.keys.extend_from_slice(&node.keys);
            keyed.leftover.clear();
            keyed.leftover.extend_from_slice(&node.leftover);
            keyed.parent = node.parent;
            keyed.prompt_tokens = node.tokens as usize;
            keyed.hits += 1;
        }
        keyed.cuts = cuts;
    }

    fn insert(&self, hash: u64, first: usize, keyed: &Keyed) {
        let node = Node {
            keys: keyed.keys.get(first..).unwrap_or_default().into(),
            leftover: keyed.leftover.as_slice().into(),
            parent: keyed.parent,
            tokens: keyed.prompt_tokens as u32,
        };
        if let Some(shard) = self.shard(hash) {
            let mut shard = lock(shard);
            if shard.find(hash, self.half).is_none() {
                shard.insert(hash, node, self.half);
            }
        }
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        self.shards.get((hash >> 32) as usize % SHARDS)
    }
}

fn key_whole(
    tokenizer: &LoadedTokenizer,
    input: KeyingInput<'_>,
    keyed: &mut Keyed,
    started: Instant,
) -> Result<(), String> {
    keyed.tokens.clear();
    tokenizer.encode(input.text, input.add_special_tokens, &mut keyed.tokens)?;
    keyed.tokenize_micros = micros(started);
    let hashing = Instant::now();
    keyed.extend(input.block_size);
    keyed.hash_micros = micros(hashing);
    Ok(())
}

pub fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Nothing is left half-done in a shard whose holder unwound: a node is there or not.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
