//! Follows one sequence of engine blocks and says where each lies among canonical blocks: inside
//! one, spanning several, or across a border.

use std::rc::Rc;

use super::block_aside::{ExtraBytes, NewJoint, Tail};
use super::engine_blocks::Known;
use crate::keys::{block_key, block_key_with_extra};

/// Position in a sequence: the prefix so far.
pub struct ChainPosition {
    pub end: u64,
    pub tail: Option<Tail>,
}

/// One engine block further.
pub struct ChainStep {
    pub position: ChainPosition,
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
    extra: &ExtraBytes,
) -> ChainStep {
    let ChainPosition { mut end, tail } = from;
    let mut keys = Vec::new();
    let mut joint = None;
    let mut rest = token_ids;
    let mut rest_extra = extra.clone();
    if let Some(tail) = tail {
        let missing = block_size - tail.token_ids.len();
        let joined_extra = [tail.extra, rest_extra].concat();
        let taken = rest.len().min(missing);
        let joined = [tail.token_ids.as_slice(), &rest[..taken]].concat();
        if rest.len() < missing {
            let tail = Some(Tail {
                token_ids: joined,
                extra: joined_extra,
                sources: tail.sources,
            });
            let position = ChainPosition { end, tail };
            return ChainStep {
                position,
                keys,
                joint,
            };
        }
        end = key_of(end, &joined, &joined_extra);
        joint = Some(NewJoint {
            key: end,
            sources: tail.sources,
        });
        rest = &rest[missing..];
        rest_extra = ExtraBytes::new();
    }
    while rest.len() >= block_size {
        end = key_of(end, &rest[..block_size], &rest_extra);
        keys.push(end);
        rest = &rest[block_size..];
        rest_extra = ExtraBytes::new();
    }
    let tail = (!rest.is_empty()).then(|| Tail {
        token_ids: rest.to_vec(),
        extra: rest_extra,
        sources: Vec::new(),
    });
    ChainStep {
        position: ChainPosition { end, tail },
        keys,
        joint,
    }
}

/// The position after a block, whose own token ids are part of the tail from now on.
pub fn after(known: &Known) -> ChainPosition {
    let end = known.end();
    let tail = match known {
        Known::Inline { .. } => None,
        Known::Aside(block) => block.tail.as_ref().map(|tail| {
            let mut tail = tail.clone();
            tail.sources.push(Rc::clone(block));
            tail
        }),
    };
    ChainPosition { end, tail }
}

fn key_of(parent: u64, token_ids: &[u32], extra: &ExtraBytes) -> u64 {
    if extra.is_empty() {
        return block_key(parent, token_ids);
    }
    block_key_with_extra(parent, token_ids, extra.iter().map(Vec::as_slice))
}
