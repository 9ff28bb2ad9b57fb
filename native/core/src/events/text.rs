//! Strings of a frame as the portable core's decoder has them. What an engine sends is UTF-8 and is
//! taken as it lies; damaged bytes become the same text on both cores, in WTF-8 (UTF-8 in which
//! halves of surrogate pairs may stand alone, as they may in JavaScript).
#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::walker::Span;

/// Longer strings go through TextDecoder there, shorter ones through a loop of its own.
const SHORT_BYTES_MAX: usize = 200;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Text of a string of the frame.
pub fn decode(frame: &[u8], span: Span) -> Cow<'_, [u8]> {
    let end = span.start + span.length;
    let raw = frame.get(span.start..end).unwrap_or_default();
    if span.length > SHORT_BYTES_MAX {
        let raw = raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw);
        return match String::from_utf8_lossy(raw) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
    }
    if std::str::from_utf8(raw).is_ok() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(wtf8(&units(frame, span)))
}

/// Whether the string is `name`, which is ASCII.
#[inline]
pub fn is(frame: &[u8], span: Span, name: &[u8]) -> bool {
    let raw = frame.get(span.start..span.start + span.length);
    raw == Some(name) || !raw.is_some_and(<[u8]>::is_ascii) && *decode(frame, span) == *name
}

/// The text in UTF-8: lone halves of surrogate pairs become replacement characters, as Node's
/// Buffer makes them.
pub fn to_utf8(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut fixed = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first == 0xed && after.first().is_some_and(|second| *second >= 0xa0) {
            fixed.extend_from_slice("\u{fffd}".as_bytes());
            rest = after.get(2..).unwrap_or_default();
        } else {
            fixed.push(*first);
            rest = after;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&fixed).into_owned())
}

/// UTF-16 units by the decoder's loop: it checks nothing, and a character cut off at the end takes
/// the bytes that follow the string.
fn units(frame: &[u8], span: Span) -> Vec<u16> {
    let mut units = Vec::new();
    let mut at = span.start;
    let end = span.start + span.length;
    let next = |at: &mut usize| -> u32 {
        let byte = frame.get(*at).copied().unwrap_or(0);
        *at += 1;
        u32::from(byte)
    };
    while at < end {
        let first = next(&mut at);
        if first & 0xe0 == 0xc0 {
            let second = next(&mut at) & 0x3f;
            units.push(((first & 0x1f) << 6 | second) as u16);
        } else if first & 0xf0 == 0xe0 {
            let second = next(&mut at) & 0x3f;
            let third = next(&mut at) & 0x3f;
            units.push(((first & 0x1f) << 12 | second << 6 | third) as u16);
        } else if first & 0xf8 == 0xf0 {
            let second = next(&mut at) & 0x3f;
            let third = next(&mut at) & 0x3f;
            let fourth = next(&mut at) & 0x3f;
            let mut unit = (first & 0x07) << 18 | second << 12 | third << 6 | fourth;
            if unit > 0xffff {
                unit -= 0x1_0000;
                units.push((unit >> 10 & 0x3ff | 0xd800) as u16);
                unit = 0xdc00 | unit & 0x3ff;
            }
            units.push(unit as u16);
        } else {
            units.push(first as u16);
        }
    }
    units
}

fn wtf8(units: &[u16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(units.len());
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(character) => {
                let mut buffer = [0; 4];
                text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Err(lone) => {
                let half = u32::from(lone.unpaired_surrogate());
                text.push(0xed);
                text.push((0x80 | half >> 6 & 0x3f) as u8);
                text.push((0x80 | half & 0x3f) as u8);
            }
        }
    }
    text
}
