//! Tags and fields of events, by their position in an array or their name in a map, and what is said of one
//! that has the wrong type.
#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::text;
use super::walker::{Refusal, Span, Value, Walker, kind_of};

/// Kind of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    Stored,
    Removed,
    Cleared,
    Unknown,
}

pub fn tag_of(frame: &[u8], value: Value, form: &str) -> Result<Tag, Refusal> {
    let Value::Text(span) = value else {
        return Err(format!("{form} without a tag"));
    };
    Ok(if text::is(frame, span, b"BlockStored") {
        Tag::Stored
    } else if text::is(frame, span, b"BlockRemoved") {
        Tag::Removed
    } else if text::is(frame, span, b"AllBlocksCleared") {
        Tag::Cleared
    } else {
        Tag::Unknown
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    BlockHashes,
    ParentBlockHash,
    TokenIds,
    BlockSize,
    LoraId,
    Medium,
    LoraName,
    ExtraKeys,
    GroupIdx,
    SpecKind,
    SlidingWindow,
    Locality,
    CacheSalt,
}

/// Every field with its name, in the order of their numbers.
const FIELDS: [(Field, &str); 13] = [
    (Field::BlockHashes, "block_hashes"),
    (Field::ParentBlockHash, "parent_block_hash"),
    (Field::TokenIds, "token_ids"),
    (Field::BlockSize, "block_size"),
    (Field::LoraId, "lora_id"),
    (Field::Medium, "medium"),
    (Field::LoraName, "lora_name"),
    (Field::ExtraKeys, "extra_keys"),
    (Field::GroupIdx, "group_idx"),
    (Field::SpecKind, "kv_cache_spec_kind"),
    (Field::SlidingWindow, "kv_cache_spec_sliding_window"),
    (Field::Locality, "locality"),
    (Field::CacheSalt, "cache_salt"),
];

/// Positions in the array form after the tag. Fields that only maps have are not listed.
pub const STORED_FIELDS: [Field; 11] = [
    Field::BlockHashes,
    Field::ParentBlockHash,
    Field::TokenIds,
    Field::BlockSize,
    Field::LoraId,
    Field::Medium,
    Field::LoraName,
    Field::ExtraKeys,
    Field::GroupIdx,
    Field::SpecKind,
    Field::SlidingWindow,
];
pub const REMOVED_FIELDS: [Field; 3] = [Field::BlockHashes, Field::Medium, Field::GroupIdx];

pub fn field_named(frame: &[u8], span: Span) -> Option<Field> {
    FIELDS
        .iter()
        .find(|(_, name)| text::is(frame, span, name.as_bytes()))
        .map(|(field, _)| *field)
}

/// Values of one event.
pub struct Fields {
    pub values: [Value; FIELDS.len()],
    pub hashes: Range<usize>,
    /// One of the hashes that is none.
    pub bad_hash: Option<Value>,
    pub token_ids: Range<usize>,
    pub are_token_ids: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            values: [Value::Absent; FIELDS.len()],
            hashes: 0..0,
            bad_hash: None,
            token_ids: 0..0,
            are_token_ids: false,
        }
    }
}

impl Fields {
    pub fn get(&self, field: Field) -> Value {
        self.values
            .get(field as usize)
            .copied()
            .unwrap_or(Value::Absent)
    }

    pub fn array(&self, field: Field) -> Result<(), Refusal> {
        match self.get(field) {
            Value::Array { .. } => Ok(()),
            other => Err(wrong_type(field, other, "an array")),
        }
    }

    pub fn hashes(&self) -> Result<(), Refusal> {
        self.array(Field::BlockHashes)?;
        match self.bad_hash {
            None => Ok(()),
            Some(value) => Err(wrong_key(Field::BlockHashes, value)),
        }
    }

    pub fn count(&self, field: Field) -> Result<Option<u32>, Refusal> {
        match self.get(field) {
            Value::Absent | Value::Nil => Ok(None),
            Value::Number(count) if count >= 0 => Ok(Some(count as u32)),
            Value::Float(count)
                if count >= 0.0 && count.fract() == 0.0 && count <= f64::from(u32::MAX) =>
            {
                Ok(Some(count as u32))
            }
            other => Err(wrong_type(field, other, "a count")),
        }
    }
}

/// The extra keys are an array of arrays and nils.
pub fn extra_keys(frame: &[u8], fields: &Fields) -> Result<Option<(usize, usize)>, Refusal> {
    match fields.get(Field::ExtraKeys) {
        Value::Absent | Value::Nil => Ok(None),
        Value::Array { at, count } => {
            let mut walker = Walker::again(frame, at, count);
            for _ in 0..count {
                match walker.skip(5)? {
                    Value::Nil | Value::Array { .. } => {}
                    other => return Err(wrong_type(Field::ExtraKeys, other, "arrays")),
                }
            }
            Ok(Some((at, count)))
        }
        other => Err(wrong_type(Field::ExtraKeys, other, "an array or nil")),
    }
}

fn name_of(field: Field) -> &'static str {
    FIELDS.get(field as usize).map_or("", |(_, name)| name)
}

pub fn wrong_type(field: Field, value: Value, expected: &str) -> Refusal {
    let (name, kind) = (name_of(field), kind_of(value));
    format!("{name} is {kind}, expected {expected}")
}

pub fn wrong_key(field: Field, value: Value) -> Refusal {
    let (name, kind) = (name_of(field), kind_of(value));
    format!("{name} holds {kind}, expected an integer or a short bin")
}
