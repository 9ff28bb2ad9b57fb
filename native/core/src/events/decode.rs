//! Turns one frame of an engine into events: arrays and maps, short and long, vLLM and SGLang
//! (wire-formats §2, rules 1-3). Called by the applier before it changes anything, so a malformed
//! frame is refused as a whole. What is well-formed but cannot be mapped is counted. Hashes and
//! token ids of all events lie in one array each, which the next frame uses again.
#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::event::{
    EngineKey, Event, EventText, GPU, KeyKind, RemovedEvent, SHARED, SpecKind, StoredEvent,
    medium_tier,
};
use super::fields::{
    Field, Fields, REMOVED_FIELDS, STORED_FIELDS, Tag, extra_keys, field_named, tag_of, wrong_key,
    wrong_type,
};
use super::text;
use super::walker::{Refusal, Span, Value, Walker, kind_of};

/// Longest hash in bytes: a SHA-256 has 32.
const HASH_BYTES_MAX: usize = 64;
/// Largest integer a double holds exactly with all below it.
const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Events of one frame.
#[derive(Default)]
pub struct Batch {
    pub events: Vec<Event>,
    pub hashes: Vec<EngineKey>,
    pub token_ids: Vec<u32>,
    /// Events left out or not wholly understood.
    pub unknown_events: u32,
    side: Vec<u8>,
    /// Seed of the hash of byte strings.
    key_seed: u64,
}

impl Batch {
    pub fn new(key_seed: u64) -> Self {
        Self {
            key_seed,
            ..Self::default()
        }
    }

    /// The text's bytes; `frame` is what the batch was decoded from.
    pub fn text<'a>(&'a self, frame: &'a [u8], text: EventText) -> &'a [u8] {
        let bytes = if text.is_aside { &self.side } else { frame };
        let end = text.span.start + text.span.length;
        bytes.get(text.span.start..end).unwrap_or_default()
    }

    pub fn hashes(&self, range: &Range<usize>) -> &[EngineKey] {
        self.hashes.get(range.clone()).unwrap_or_default()
    }

    pub fn token_ids(&self, range: &Range<usize>) -> &[u32] {
        self.token_ids.get(range.clone()).unwrap_or_default()
    }

    /// Decodes the third frame of an event message.
    pub fn decode(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        self.events.clear();
        self.hashes.clear();
        self.token_ids.clear();
        self.side.clear();
        self.unknown_events = 0;
        let mut walker = Walker::new(frame)?;
        let Value::Array { count, .. } = walker.next(1)? else {
            return Err("batch is not an array of timestamp, events, rank".to_owned());
        };
        if count < 2 {
            return Err("batch is not an array of timestamp, events, rank".to_owned());
        }
        let timestamp = walker.skip(2)?;
        if !matches!(
            timestamp,
            Value::Number(_) | Value::Float(_) | Value::Big { .. }
        ) {
            let kind = kind_of(timestamp);
            return Err(format!("batch: timestamp is {kind}, expected a number"));
        }
        match walker.next(2)? {
            Value::Array { count, .. } => {
                for position in 0..count {
                    self.event(&mut walker, frame)
                        .map_err(|reason| format!("event {position}: {reason}"))?;
                }
            }
            other => {
                let kind = kind_of(other);
                return Err(format!("batch: events is {kind}, expected an array"));
            }
        }
        for _ in 2..count {
            walker.skip(2)?;
        }
        walker.finish()
    }

    fn event(&mut self, walker: &mut Walker<'_>, frame: &[u8]) -> Result<(), Refusal> {
        let mut fields = Fields::default();
        let tag = match walker.next(3)? {
            Value::Array { count, .. } => self.array_form(walker, frame, count, &mut fields)?,
            Value::Map { count, .. } => self.map_form(walker, frame, count, &mut fields)?,
            other => return Err(format!("{} without a tag", kind_of(other))),
        };
        match tag {
            Tag::Stored => self.stored(frame, &fields),
            Tag::Removed => self.removed(frame, &fields),
            Tag::Cleared => {
                self.events.push(Event::Cleared);
                Ok(())
            }
            Tag::Unknown => {
                self.unknown_events += 1;
                Ok(())
            }
        }
    }

    /// Missing trailing fields stay absent, extra ones are ignored (rule 2).
    fn array_form(
        &mut self,
        walker: &mut Walker<'_>,
        frame: &[u8],
        count: usize,
        fields: &mut Fields,
    ) -> Result<Tag, Refusal> {
        if count == 0 {
            return Err("an array without a tag".to_owned());
        }
        let tag = tag_of(frame, walker.skip(4)?, "an array")?;
        let names: &[Field] = match tag {
            Tag::Stored => &STORED_FIELDS,
            Tag::Removed => &REMOVED_FIELDS,
            Tag::Cleared | Tag::Unknown => &[],
        };
        for position in 1..count {
            match names.get(position - 1) {
                Some(field) => self.field(walker, *field, fields)?,
                None => {
                    walker.skip(4)?;
                }
            }
        }
        Ok(tag)
    }

    fn map_form(
        &mut self,
        walker: &mut Walker<'_>,
        frame: &[u8],
        count: usize,
        fields: &mut Fields,
    ) -> Result<Tag, Refusal> {
        let mut tag = Value::Absent;
        for _ in 0..count {
            let key = walker.key(3)?;
            match key {
                Value::Text(span) if text::is(frame, span, b"type") => tag = walker.skip(4)?,
                Value::Text(span) => match field_named(frame, span) {
                    Some(field) => self.field(walker, field, fields)?,
                    None => {
                        walker.skip(4)?;
                    }
                },
                _ => {
                    walker.skip(4)?;
                }
            }
        }
        tag_of(frame, tag, "a map")
    }

    /// Reads the value of a field; of a map's key that comes twice the last counts.
    fn field(
        &mut self,
        walker: &mut Walker<'_>,
        field: Field,
        fields: &mut Fields,
    ) -> Result<(), Refusal> {
        let value = walker.next(4)?;
        match (field, value) {
            (Field::BlockHashes, Value::Array { count, .. }) => {
                let first = self.hashes.len();
                fields.bad_hash = None;
                self.hashes.reserve(count);
                let naturals = walker.naturals(count, &mut self.hashes, natural)?;
                for _ in naturals..count {
                    let hash = walker.skip(5)?;
                    match self.engine_key(walker, hash) {
                        Some(key) => self.hashes.push(key),
                        None => fields.bad_hash = Some(hash),
                    }
                }
                fields.hashes = first..self.hashes.len();
            }
            (Field::TokenIds, Value::Array { count, .. }) => {
                let first = self.token_ids.len();
                fields.are_token_ids = walker.token_ids(count, 5, &mut self.token_ids)?;
                fields.token_ids = first..self.token_ids.len();
            }
            _ => walker.skip_inside(value, 4)?,
        }
        if let Some(kept) = fields.values.get_mut(field as usize) {
            *kept = value;
        }
        Ok(())
    }

    fn stored(&mut self, frame: &[u8], fields: &Fields) -> Result<(), Refusal> {
        fields.array(Field::TokenIds)?;
        fields.hashes()?;
        let medium = self.string(frame, fields, Field::Medium)?;
        let locality = self.string(frame, fields, Field::Locality)?;
        let tier = self.tier_of(frame, medium, locality);
        // Bigram pairs of EAGLE trees, or ids beyond 32 bits, name no block that a prompt can have.
        if !fields.are_token_ids {
            self.unknown_events += 1;
            return Ok(());
        }
        let walker = Walker::again(frame, 0, 0);
        let parent = match fields.get(Field::ParentBlockHash) {
            Value::Absent | Value::Nil => None,
            value => Some(
                self.engine_key(&walker, value)
                    .ok_or_else(|| wrong_key(Field::ParentBlockHash, value))?,
            ),
        };
        let spec_kind = self.string(frame, fields, Field::SpecKind)?;
        let event = StoredEvent {
            hashes: fields.hashes.clone(),
            parent,
            token_ids: fields.token_ids.clone(),
            block_size: fields.count(Field::BlockSize)?.unwrap_or(0),
            tier: tier.unwrap_or(SHARED),
            lora_name: self.lora_name(frame, fields)?,
            cache_salt: self.string(frame, fields, Field::CacheSalt)?,
            extra_keys: extra_keys(frame, fields)?,
            group: fields.count(Field::GroupIdx)?.unwrap_or(0),
            spec_kind: self.spec_kind(frame, spec_kind),
            sliding_window: fields.count(Field::SlidingWindow)?,
        };
        self.unknown_events += u32::from(tier.is_none());
        self.events.push(Event::Stored(event));
        Ok(())
    }

    fn removed(&mut self, frame: &[u8], fields: &Fields) -> Result<(), Refusal> {
        let medium = self.string(frame, fields, Field::Medium)?;
        let locality = self.string(frame, fields, Field::Locality)?;
        let tier = self.tier_of(frame, medium, locality);
        fields.hashes()?;
        self.events.push(Event::Removed(RemovedEvent {
            hashes: fields.hashes.clone(),
            tier: tier.unwrap_or(SHARED),
            group: fields.count(Field::GroupIdx)?.unwrap_or(0),
        }));
        self.unknown_events += u32::from(tier.is_none());
        Ok(())
    }

    /// None for a medium this program does not know, which is kept as `shared` and counted.
    fn tier_of(
        &self,
        frame: &[u8],
        medium: Option<EventText>,
        locality: Option<EventText>,
    ) -> Option<u8> {
        let Some(medium) = medium else {
            return Some(GPU);
        };
        if locality.is_some_and(|locality| self.text(frame, locality) == b"REMOTE") {
            return Some(SHARED);
        }
        let medium = self.text(frame, medium);
        if medium.is_ascii() {
            return medium_tier(&mut medium.iter().map(u8::to_ascii_uppercase));
        }
        let upper = text::to_utf8(medium).to_uppercase();
        medium_tier(&mut upper.bytes())
    }

    /// Name of the adapter. Releases before 0.14.1 tell only a number: such blocks get a name that
    /// no request can have (a NUL), so that they never pass for the base model's.
    fn lora_name(&mut self, frame: &[u8], fields: &Fields) -> Result<Option<EventText>, Refusal> {
        let name = self.string(frame, fields, Field::LoraName)?;
        if name.is_some() {
            return Ok(name);
        }
        let id = match fields.get(Field::LoraId) {
            Value::Absent | Value::Nil => return Ok(None),
            Value::Bool(id) => id.to_string(),
            Value::Number(id) => id.to_string(),
            Value::Float(id) if id.fract() == 0.0 && id.abs() <= SAFE_INTEGER => {
                (id as i64).to_string()
            }
            Value::Big {
                bits,
                negative: true,
            } => bits.cast_signed().to_string(),
            Value::Big { bits, .. } => bits.to_string(),
            Value::Text(span) => text::to_utf8(&text::decode(frame, span)).into_owned(),
            // No engine sends these; a name of their own is enough.
            Value::Extension => "a map".to_owned(),
            other => kind_of(other),
        };
        Ok(Some(self.aside(format!("\0lora-id:{id}").as_bytes())))
    }

    fn spec_kind(&self, frame: &[u8], kind: Option<EventText>) -> SpecKind {
        let Some(kind) = kind else {
            return SpecKind::Unknown;
        };
        match self.text(frame, kind) {
            b"full_attention" | b"mla_attention" => SpecKind::Full,
            b"mamba" => SpecKind::State,
            kind if kind.starts_with(b"sliding_window") => SpecKind::Windowed,
            _ => SpecKind::Other,
        }
    }

    fn string(
        &mut self,
        frame: &[u8],
        fields: &Fields,
        field: Field,
    ) -> Result<Option<EventText>, Refusal> {
        match fields.get(field) {
            Value::Absent | Value::Nil => Ok(None),
            Value::Text(span) => Ok(Some(match text::decode(frame, span) {
                std::borrow::Cow::Borrowed(text) => EventText {
                    // A byte order mark may have been left out at the front.
                    span: Span {
                        start: span.start + span.length - text.len(),
                        length: text.len(),
                    },
                    is_aside: false,
                },
                std::borrow::Cow::Owned(text) => self.aside(&text),
            })),
            other => Err(wrong_type(field, other, "a string or nil")),
        }
    }

    fn aside(&mut self, text: &[u8]) -> EventText {
        let start = self.side.len();
        self.side.extend_from_slice(text);
        EventText {
            span: Span {
                start,
                length: text.len(),
            },
            is_aside: true,
        }
    }

    fn engine_key(&self, walker: &Walker<'_>, value: Value) -> Option<EngineKey> {
        let integer = |bits: u64, negative: bool| EngineKey {
            bits,
            kind: if negative {
                KeyKind::Negative
            } else {
                KeyKind::Natural
            },
        };
        match value {
            Value::Big { bits, negative } => Some(integer(bits, negative)),
            Value::Number(value) => Some(integer(value.cast_unsigned(), value < 0)),
            Value::Float(value) if value.fract() == 0.0 && value.abs() <= SAFE_INTEGER => {
                Some(integer((value as i64).cast_unsigned(), value < 0.0))
            }
            Value::Bytes(span) if (1..=HASH_BYTES_MAX).contains(&span.length) => Some(EngineKey {
                bits: xxh3_64_with_seed(walker.bytes_of(span), self.key_seed),
                kind: KeyKind::Bytes,
            }),
            _ => None,
        }
    }
}

fn natural(bits: u64) -> EngineKey {
    EngineKey {
        bits,
        kind: KeyKind::Natural,
    }
}
