//! Walks a msgpack frame once, value by value, without recursion into anything deeper than the
//! bound and without allocation. It refuses what the portable core's structural scan and decoder
//! refuse: a frame cannot declare more elements than it has bytes, whatever encloses them.
#![deny(clippy::indexing_slicing)]

use std::hint::select_unpredictable;

use crate::layout::limits::{EVENT_DEPTH_MAX, EVENT_FRAME_BYTES_MAX};

/// One value; containers are followed by their elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Not in the frame at all.
    Absent,
    Nil,
    Bool(bool),
    /// An integer of at most 32 bits, which JavaScript has as a number.
    Number(i64),
    Float(f64),
    /// A 64-bit integer; JavaScript has it as a bigint.
    Big {
        bits: u64,
        negative: bool,
    },
    /// Bytes of a string; not always UTF-8.
    Text(Span),
    Bytes(Span),
    /// Elements begin at byte `at`.
    Array {
        at: usize,
        count: usize,
    },
    Map {
        at: usize,
        count: usize,
    },
    Extension,
}

/// Bytes of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub length: usize,
}

/// Why a frame is refused.
pub type Refusal = String;

const TIMESTAMP: u8 = 0xff;
/// Token ids read at once and then appended: appending one by one keeps the length in memory, and
/// room for all that may come would be cleared again after every id that is not one of the usual.
const WINDOW_IDS: usize = 64;

/// A position in a frame. `slack` is what makes bombs harmless: the bytes left beyond one for each
/// value that all open containers still owe.
pub struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    slack: usize,
}

impl<'a> Walker<'a> {
    /// Begins a frame, before its one value.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > EVENT_FRAME_BYTES_MAX {
            let length = bytes.len();
            return Err(format!(
                "frame of {length} bytes is over the limit of {EVENT_FRAME_BYTES_MAX}"
            ));
        }
        let slack = bytes.len().checked_sub(1).ok_or("frame is empty")?;
        Ok(Self {
            bytes,
            position: 0,
            slack,
        })
    }

    /// Goes over elements that were walked before: `count` of them begin at `at`.
    pub fn again(bytes: &'a [u8], at: usize, count: usize) -> Self {
        let left = bytes.len().saturating_sub(at);
        Self {
            bytes,
            position: at,
            slack: left.saturating_sub(count),
        }
    }

    /// Bytes that were walked over.
    pub fn bytes_of(&self, span: Span) -> &'a [u8] {
        let end = span.start + span.length;
        self.bytes.get(span.start..end).unwrap_or_default()
    }

    /// The frame must end here.
    pub fn finish(&self) -> Result<(), Refusal> {
        let left = self.bytes.len() - self.position;
        if left > 0 {
            return Err(format!("{left} bytes follow the end of the batch"));
        }
        Ok(())
    }

    /// The next value. `level` is the depth it has as a container, the frame's own value being 1.
    #[inline]
    pub fn next(&mut self, level: usize) -> Result<Value, Refusal> {
        let at = self.position;
        let kind = *self.bytes.get(at).ok_or("frame ends too early")?;
        self.position = at + 1;
        match kind {
            0x00..=0x7f => Ok(Value::Number(i64::from(kind))),
            0x80..=0x8f => self.map(usize::from(kind & 0x0f), level),
            0x90..=0x9f => self.array(usize::from(kind & 0x0f), level),
            0xa0..=0xbf => self.text(usize::from(kind & 0x1f)),
            0xc0 => Ok(Value::Nil),
            0xc1 => Err(format!("byte {at} is no msgpack type (0xc1)")),
            0xc2 => Ok(Value::Bool(false)),
            0xc3 => Ok(Value::Bool(true)),
            0xca => Ok(Value::Float(f64::from(f32::from_be_bytes(self.take()?)))),
            0xcb => Ok(Value::Float(f64::from_be_bytes(self.take()?))),
            0xcc => Ok(Value::Number(i64::from(u8::from_be_bytes(self.take()?)))),
            0xcd => Ok(Value::Number(i64::from(u16::from_be_bytes(self.take()?)))),
            0xce => Ok(Value::Number(i64::from(u32::from_be_bytes(self.take()?)))),
            0xcf => Ok(Value::Big {
                bits: u64::from_be_bytes(self.take()?),
                negative: false,
            }),
            0xd0 => Ok(Value::Number(i64::from(i8::from_be_bytes(self.take()?)))),
            0xd1 => Ok(Value::Number(i64::from(i16::from_be_bytes(self.take()?)))),
            0xd2 => Ok(Value::Number(i64::from(i32::from_be_bytes(self.take()?)))),
            0xd3 => {
                let value = i64::from_be_bytes(self.take()?);
                Ok(Value::Big {
                    bits: value.cast_unsigned(),
                    negative: value < 0,
                })
            }
            0xe0..=0xff => Ok(Value::Number(i64::from(kind.cast_signed()))),
            _ => self.long(kind, level),
        }
    }

    /// Values whose length comes after the type, and extensions.
    fn long(&mut self, kind: u8, level: usize) -> Result<Value, Refusal> {
        match kind {
            0xc4..=0xc6 => {
                let length = self.length(kind - 0xc4)?;
                self.span(length).map(Value::Bytes)
            }
            0xc7..=0xc9 => {
                let length = self.length(kind - 0xc7)?;
                self.extension(length)
            }
            0xd4..=0xd8 => self.extension(1 << (kind - 0xd4)),
            0xd9..=0xdb => {
                let length = self.length(kind - 0xd9)?;
                self.text(length)
            }
            0xdc | 0xdd => {
                let count = self.length(kind - 0xdb)?;
                self.array(count, level)
            }
            _ => {
                let count = self.length(kind - 0xdd)?;
                self.map(count, level)
            }
        }
    }

    /// Steps over one value and everything in it.
    pub fn skip(&mut self, level: usize) -> Result<Value, Refusal> {
        let value = self.next(level)?;
        self.skip_inside(value, level)?;
        Ok(value)
    }

    /// Steps over the elements of a container that was just entered.
    pub fn skip_inside(&mut self, value: Value, level: usize) -> Result<(), Refusal> {
        match value {
            Value::Array { count, .. } => {
                for _ in 0..count {
                    self.skip(level + 1)?;
                }
            }
            Value::Map { count, .. } => {
                for _ in 0..count {
                    self.key(level)?;
                    self.skip(level + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The next key of a map that lies at `level`: strings and short numbers only.
    pub fn key(&mut self, level: usize) -> Result<Value, Refusal> {
        let at = self.position;
        match self.next(level + 1)? {
            Value::Text(span) if super::text::is(self.bytes, span, b"__proto__") => {
                Err("the key __proto__ is not allowed".to_owned())
            }
            key @ (Value::Text(_) | Value::Number(_) | Value::Float(_)) => Ok(key),
            other => Err(format!(
                "the key at byte {at} is {}, expected a string or a number",
                kind_of(other)
            )),
        }
    }

    /// Appends `count` token ids to `ids`. False when a value among them is none: bigram pairs, or
    /// numbers beyond 32 bits.
    pub fn token_ids(
        &mut self,
        count: usize,
        level: usize,
        ids: &mut Vec<u32>,
    ) -> Result<bool, Refusal> {
        let mut fine = true;
        ids.reserve(count);
        let mut window = [0; WINDOW_IDS];
        let mut left = count;
        while left > 0 {
            let most = left.min(WINDOW_IDS);
            let taken = self.short_ids(window.get_mut(..most).unwrap_or_default())?;
            ids.extend_from_slice(window.get(..taken).unwrap_or_default());
            left -= taken;
            if taken == most {
                continue;
            }
            left -= 1;
            match self.skip(level)? {
                Value::Number(id) if id >= 0 => ids.push(id as u32),
                Value::Float(id) if id >= 0.0 && id.fract() == 0.0 && id <= 4_294_967_295.0 => {
                    ids.push(id as u32);
                }
                _ => fine = false,
            }
        }
        Ok(fine)
    }

    /// The usual token ids, of 16 or 32 bits, as many as come in a row and fit; how many that were.
    /// Which of the two follows cannot be predicted, so it decides by arithmetic and not by a branch;
    /// and the type after next is read for both cases, so that a read never waits for the one before.
    #[inline]
    fn short_ids(&mut self, into: &mut [u32]) -> Result<usize, Refusal> {
        let start = self.position;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let mut position = 0;
        let mut count = 0;
        let mut kind = rest.first().copied().unwrap_or(0);
        for id in into {
            // Up to the type after a long one.
            let chunk = rest
                .get(position..)
                .and_then(|rest| rest.first_chunk::<6>());
            let Some(chunk) = chunk.filter(|_| kind == 0xcd || kind == 0xce) else {
                break;
            };
            let [_, first, second, third, fourth, after_long] = *chunk;
            let is_long = kind == 0xce;
            let short = u32::from(u16::from_be_bytes([first, second]));
            let long = u32::from_be_bytes([first, second, third, fourth]);
            *id = select_unpredictable(is_long, long, short);
            kind = select_unpredictable(is_long, after_long, third);
            position += select_unpredictable(is_long, 5, 3);
            count += 1;
        }
        // One byte of each was owed.
        self.claim(position - count)?;
        self.position = start + position;
        Ok(count)
    }

    /// Appends what `make` makes of the 64-bit integers that come in a row; how many those were.
    pub fn naturals<T>(
        &mut self,
        most: usize,
        into: &mut Vec<T>,
        make: impl Fn(u64) -> T,
    ) -> Result<usize, Refusal> {
        let mut rest = self.bytes.get(self.position..).unwrap_or_default();
        let mut count = 0;
        while count < most
            && let Some((&[0xcf, ref bits @ ..], after)) = rest.split_first_chunk::<9>()
        {
            into.push(make(u64::from_be_bytes(*bits)));
            rest = after;
            count += 1;
        }
        self.claim(8 * count)?;
        self.position += 9 * count;
        Ok(count)
    }

    fn array(&mut self, count: usize, level: usize) -> Result<Value, Refusal> {
        self.enter(count, level)?;
        let at = self.position;
        Ok(Value::Array { at, count })
    }

    fn map(&mut self, count: usize, level: usize) -> Result<Value, Refusal> {
        self.enter(count * 2, level)?;
        let at = self.position;
        Ok(Value::Map { at, count })
    }

    fn enter(&mut self, children: usize, level: usize) -> Result<(), Refusal> {
        if level > EVENT_DEPTH_MAX {
            return Err(format!("nested deeper than {EVENT_DEPTH_MAX} levels"));
        }
        self.claim(children)
    }

    fn text(&mut self, length: usize) -> Result<Value, Refusal> {
        self.span(length).map(Value::Text)
    }

    fn extension(&mut self, length: usize) -> Result<Value, Refusal> {
        let [kind] = self.take::<1>()?;
        self.span(length)?;
        if kind == TIMESTAMP && !matches!(length, 4 | 8 | 12) {
            return Err(format!(
                "a timestamp has {length} bytes, expected 4, 8 or 12"
            ));
        }
        Ok(Value::Extension)
    }

    fn span(&mut self, length: usize) -> Result<Span, Refusal> {
        self.claim(length)?;
        let start = self.position;
        self.position += length;
        Ok(Span { start, length })
    }

    /// A length of 1, 2 or 4 bytes, by its power of two.
    fn length(&mut self, power: u8) -> Result<usize, Refusal> {
        match power {
            0 => Ok(usize::from(u8::from_be_bytes(self.take()?))),
            1 => Ok(usize::from(u16::from_be_bytes(self.take()?))),
            _ => Ok(u32::from_be_bytes(self.take()?) as usize),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        self.claim(N)?;
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = *rest.first_chunk::<N>().ok_or("frame ends too early")?;
        self.position += N;
        Ok(taken)
    }

    /// Takes bytes or elements out of the slack.
    #[inline]
    fn claim(&mut self, count: usize) -> Result<(), Refusal> {
        match self.slack.checked_sub(count) {
            Some(slack) => {
                self.slack = slack;
                Ok(())
            }
            None => Err(format!(
                "the value at byte {} declares more than the {} bytes left for it",
                self.position, self.slack
            )),
        }
    }
}

/// A value's kind in words.
pub fn kind_of(value: Value) -> String {
    match value {
        Value::Absent | Value::Nil => "missing".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) | Value::Float(_) => "a number".to_owned(),
        Value::Big { .. } => "a 64-bit integer".to_owned(),
        Value::Text(_) => "a string".to_owned(),
        Value::Bytes(span) => format!("a bin of {} bytes", span.length),
        Value::Array { .. } => "an array".to_owned(),
        Value::Map { .. } => "a map".to_owned(),
        Value::Extension => "an extension".to_owned(),
    }
}
