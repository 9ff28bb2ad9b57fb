//! What of a prefix lies after its last whole canonical block. Every engine block keeps only its own
//! part of it, so that memory grows with what was told and not with its square.

use std::iter::successors;
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::block_aside::Block;
use crate::keys::push_counted;
use crate::layout::limits::TAIL_EXTRA_BYTES_MAX;

/// Extra keys in the form that enters a block's key: of each the u32 little-endian byte count and
/// the bytes.
pub type ExtraBytes = Vec<u8>;

/// Token ids of one engine block after the last border of canonical blocks.
pub struct Tail {
    token_ids: Box<[u32]>,
    extra: Box<[u8]>,
    /// The engine block before it, where that reaches behind the border too.
    before: Option<Rc<Block>>,
    /// Token ids from the border on, those of the blocks before included, and those blocks with this.
    length: usize,
    parts: usize,
}

impl Tail {
    /// `seed` is the key of the canonical block before it. Of longer extra keys than engines send, a
    /// digest stands for them, so that the whole canonical block still has a key of its own.
    pub fn new(before: Option<Rc<Block>>, token_ids: &[u32], extra: &[u8], seed: u64) -> Self {
        let extra = if extra.len() > TAIL_EXTRA_BYTES_MAX {
            let mut digest = ExtraBytes::new();
            let bytes = xxh3_128_with_seed(extra, seed).to_le_bytes();
            push_counted(&mut digest, &bytes);
            digest.into_boxed_slice()
        } else {
            extra.into()
        };
        let behind = before.as_ref().and_then(|block| block.tail.as_ref());
        let (length, parts) = behind.map_or((0, 0), |tail| (tail.length, tail.parts));
        Self {
            length: length + token_ids.len(),
            parts: parts + 1,
            token_ids: token_ids.into(),
            extra,
            before,
        }
    }

    /// Engine blocks that it lies in, this one included.
    pub fn parts(&self) -> usize {
        self.parts
    }

    pub fn is_same(&self, other: &Self) -> bool {
        let follow_one = match (&self.before, &other.before) {
            (None, None) => true,
            (Some(left), Some(right)) => Rc::ptr_eq(left, right),
            _ => false,
        };
        if follow_one {
            return self.token_ids == other.token_ids;
        }
        self.length == other.length && self.backwards().eq(other.backwards())
    }

    /// All its token ids, last to first.
    fn backwards(&self) -> impl Iterator<Item = u32> + '_ {
        let parts = successors(Some(self), |tail| tail.before.as_ref()?.tail.as_ref());
        parts.flat_map(|tail| tail.token_ids.iter().rev().copied())
    }
}

/// Token ids from the last border to the end of a block.
pub fn length_of(block: Option<&Rc<Block>>) -> usize {
    let tail = block.and_then(|block| block.tail.as_ref());
    tail.map_or(0, |tail| tail.length)
}

/// The engine blocks whose token ids lie after the last border, first to last; the last is `block`.
pub fn parts_of(block: &Rc<Block>) -> Vec<Rc<Block>> {
    let before = |block: &Rc<Block>| block.tail.as_ref()?.before.clone();
    let mut parts: Vec<Rc<Block>> = successors(Some(Rc::clone(block)), before).collect();
    parts.reverse();
    parts
}

/// Appends the token ids of these parts, and their extra keys.
pub fn append_parts(parts: &[Rc<Block>], token_ids: &mut Vec<u32>, extra: &mut ExtraBytes) {
    for tail in parts.iter().filter_map(|part| part.tail.as_ref()) {
        token_ids.extend_from_slice(&tail.token_ids);
        extra.extend_from_slice(&tail.extra);
    }
}
