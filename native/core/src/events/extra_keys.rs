//! What vLLM's untagged extra keys mean for our keys: the adapter's name, the cache salt (both part
//! of the namespace), or more input of one block (multimodal items, prompt embeddings), which
//! enters the block's own key so that a text request never matches it. They are read from the frame
//! where they lie; its structure has been checked.
#![deny(clippy::indexing_slicing)]

use super::tail::ExtraBytes;
use super::text;
use super::walker::{Refusal, Value, Walker};
use crate::keys::push_counted;

const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
/// CBOR's major types.
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTE_STRING: u8 = 2;
const TEXT_STRING: u8 = 3;
const ARRAY: u8 = 4;

/// Where the extra keys of one event's blocks lie.
#[derive(Clone, Copy)]
pub struct ExtraKeys<'a> {
    frame: &'a [u8],
    at: usize,
    count: usize,
}

/// One extra key.
enum ExtraKey {
    Text(Vec<u8>),
    /// In canonical CBOR; None for what has no such form.
    Other(Option<Vec<u8>>),
}

impl<'a> ExtraKeys<'a> {
    pub fn new(frame: &'a [u8], at: usize, count: usize) -> Self {
        Self { frame, at, count }
    }

    /// Whether nothing but token ids enters the blocks' keys: of the first block of a sequence
    /// (`begins`) one string may be the salt, of every block one the adapter's name.
    pub fn are_plain(&self, lora_name: Option<&[u8]>, begins: bool) -> bool {
        self.check_plain(lora_name, begins).unwrap_or(false)
    }

    fn check_plain(&self, lora_name: Option<&[u8]>, begins: bool) -> Result<bool, Refusal> {
        let mut walker = Walker::again(self.frame, self.at, self.count);
        for block in 0..self.count {
            let Value::Array { count, .. } = walker.next(5)? else {
                continue;
            };
            let mut names_lora = false;
            for _ in 0..count {
                let Value::Text(span) = walker.skip(6)? else {
                    return Ok(false);
                };
                let text = text::decode(self.frame, span);
                names_lora |= lora_name.is_some_and(|name| *text == *name);
            }
            let plain = usize::from(names_lora) + usize::from(begins && block == 0);
            if count > plain {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The cache salt among the extra keys of a block that starts at token 0: the last string that
    /// is not the adapter's name (order on the wire: LoRA, multimodal, salt, embeddings).
    pub fn salt(&self, lora_name: Option<&[u8]>) -> Option<Vec<u8>> {
        let first = self.parse(1).ok()?.into_iter().next()?;
        without_lora(first, lora_name)
            .into_iter()
            .rev()
            .find_map(|key| match key {
                ExtraKey::Text(text) => Some(text),
                ExtraKey::Other(_) => None,
            })
    }

    /// Further extra keys of every block, in the engine's order, each in canonical CBOR. None when
    /// a key is none of string, integer, bytes, boolean, nil or an array of those.
    pub fn extra_bytes(&self, lora_name: Option<&[u8]>, begins: bool) -> Option<Vec<ExtraBytes>> {
        let blocks = self.parse(self.count).ok()?;
        let extra = |(block, keys): (usize, Vec<ExtraKey>)| -> Option<ExtraBytes> {
            let mut keys = without_lora(keys, lora_name);
            if begins && block == 0 {
                let salt = keys
                    .iter()
                    .rposition(|key| matches!(key, ExtraKey::Text(_)));
                if let Some(salt) = salt {
                    keys.remove(salt);
                }
            }
            let mut extra = ExtraBytes::new();
            for key in keys {
                push_counted(&mut extra, &key.into_cbor()?);
            }
            Some(extra)
        };
        blocks.into_iter().enumerate().map(extra).collect()
    }

    /// The keys of the first blocks; none for nil.
    fn parse(&self, block_count: usize) -> Result<Vec<Vec<ExtraKey>>, Refusal> {
        let mut walker = Walker::again(self.frame, self.at, self.count);
        let mut blocks = Vec::new();
        for _ in 0..block_count.min(self.count) {
            let mut keys = Vec::new();
            if let Value::Array { count, .. } = walker.next(5)? {
                for _ in 0..count {
                    keys.push(self.parse_key(&mut walker)?);
                }
            }
            blocks.push(keys);
        }
        Ok(blocks)
    }

    fn parse_key(&self, walker: &mut Walker<'_>) -> Result<ExtraKey, Refusal> {
        let value = walker.next(6)?;
        if let Value::Text(span) = value {
            return Ok(ExtraKey::Text(text::decode(self.frame, span).into_owned()));
        }
        let mut cbor = Vec::new();
        let has_form = self.encode(walker, value, 6, &mut cbor)?;
        Ok(ExtraKey::Other(has_form.then_some(cbor)))
    }

    /// Appends a value and what is in it; false when it has no canonical form.
    fn encode(
        &self,
        walker: &mut Walker<'_>,
        value: Value,
        level: usize,
        cbor: &mut Vec<u8>,
    ) -> Result<bool, Refusal> {
        match value {
            Value::Nil => cbor.push(0xf6),
            Value::Bool(value) => cbor.push(if value { 0xf5 } else { 0xf4 }),
            Value::Number(value) => write_integer(cbor, value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() <= SAFE_INTEGER => {
                write_integer(cbor, value as i64);
            }
            Value::Text(span) => write_text(cbor, &text::decode(self.frame, span)),
            Value::Bytes(span) => {
                write_head(cbor, BYTE_STRING, span.length as u64);
                cbor.extend_from_slice(walker.bytes_of(span));
            }
            Value::Array { count, .. } => {
                write_head(cbor, ARRAY, count as u64);
                let mut fine = true;
                for _ in 0..count {
                    let element = walker.next(level + 1)?;
                    fine &= self.encode(walker, element, level + 1, cbor)?;
                }
                return Ok(fine);
            }
            other => {
                walker.skip_inside(other, level)?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl ExtraKey {
    fn into_cbor(self) -> Option<Vec<u8>> {
        match self {
            Self::Other(cbor) => cbor,
            Self::Text(text) => {
                let mut cbor = Vec::with_capacity(text.len() + 9);
                write_text(&mut cbor, &text);
                Some(cbor)
            }
        }
    }
}

fn without_lora(mut keys: Vec<ExtraKey>, lora_name: Option<&[u8]>) -> Vec<ExtraKey> {
    let position = keys
        .iter()
        .position(|key| matches!(key, ExtraKey::Text(text) if lora_name == Some(text.as_slice())));
    if let Some(position) = position {
        keys.remove(position);
    }
    keys
}

fn write_integer(cbor: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        write_head(cbor, UNSIGNED, value.cast_unsigned());
    } else {
        write_head(cbor, NEGATIVE, (-1 - value).cast_unsigned());
    }
}

fn write_text(cbor: &mut Vec<u8>, text: &[u8]) {
    let text = text::to_utf8(text);
    write_head(cbor, TEXT_STRING, text.len() as u64);
    cbor.extend_from_slice(text.as_bytes());
}

/// Major type with its argument in the shortest of 0, 1, 2, 4 or 8 further bytes.
fn write_head(cbor: &mut Vec<u8>, major: u8, argument: u64) {
    let kind = major << 5;
    let bytes = argument.to_be_bytes();
    let (code, length) = match argument {
        0..24 => {
            cbor.push(kind | argument as u8);
            return;
        }
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    cbor.push(kind | code);
    cbor.extend(bytes.iter().skip(8 - length));
}
