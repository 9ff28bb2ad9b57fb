//! Follows one sequence of engine blocks and says where each lies among canonical blocks: inside
//! one, spanning several, or across a border.

use std::rc::Rc;

use super::block_aside::{Block, NewJoint};
use super::engine_blocks::Known;
use super::tail::{ExtraBytes, Tail, append_parts, length_of, parts_of};
use crate::keys::{block_key, block_key_with_extra};

/// Position in a sequence: the prefix so far.
pub struct ChainPosition {
    pub end: u64,
    /// The engine block that ends there, where it has a tail.
    pub before: Option<Rc<Block>>,
}

/// One engine block further.
pub struct ChainStep {
    pub end: u64,
    pub tail: Option<Tail>,
    /// Keys of the whole canonical blocks inside it.
    pub keys: Vec<u64>,
    pub joint: Option<NewJoint>,
}

/// Advances over one engine block. Extra keys enter the first canonical block that the engine block
/// overlaps, so that it and all after it differ from those of plain text.
pub fn advance(
    from: ChainPosition,
    token_ids: &[u32],
    block_size: usize,
    extra: &[u8],
) -> ChainStep {
    let ChainPosition { mut end, before } = from;
    let mut keys = Vec::new();
    let mut joint = None;
    let mut rest = token_ids;
    let mut rest_extra = extra;
    if let Some(before) = before {
        let missing = block_size.saturating_sub(length_of(Some(&before)));
        let Some((own, after)) = rest.split_at_checked(missing) else {
            let tail = Some(Tail::new(Some(before), rest, extra, end));
            return ChainStep {
                end,
                tail,
                keys,
                joint,
            };
        };
        let sources = parts_of(&before);
        let mut joined = Vec::with_capacity(block_size);
        let mut joined_extra = ExtraBytes::new();
        append_parts(&sources, &mut joined, &mut joined_extra);
        joined.extend_from_slice(own);
        joined_extra.extend_from_slice(extra);
        end = key_of(end, &joined, &joined_extra);
        joint = Some(NewJoint { key: end, sources });
        rest = after;
        rest_extra = &[];
    }
    while let Some((own, after)) = rest.split_at_checked(block_size) {
        end = key_of(end, own, rest_extra);
        keys.push(end);
        rest = after;
        rest_extra = &[];
    }
    let tail = (!rest.is_empty()).then(|| Tail::new(None, rest, rest_extra, end));
    ChainStep {
        end,
        tail,
        keys,
        joint,
    }
}

/// The position after a block, whose own token ids are part of the tail from now on.
pub fn after(known: &Known) -> ChainPosition {
    let before = match known {
        Known::Aside(block) if block.tail.is_some() => Some(Rc::clone(block)),
        _ => None,
    };
    ChainPosition {
        end: known.end(),
        before,
    }
}

fn key_of(parent: u64, token_ids: &[u32], extra: &[u8]) -> u64 {
    if extra.is_empty() {
        return block_key(parent, token_ids);
    }
    block_key_with_extra(parent, token_ids, extra)
}
