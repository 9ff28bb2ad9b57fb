//! The leaves of JSON: where strings and numbers end, what escapes mean, how JavaScript prints a
//! number. Used by the scans of request bodies, so nothing here allocates per character or recurses.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::cell::Cell;

/// Stands in Rust text for a lone surrogate, which UTF-8 cannot hold: U+D800 + n is U+10F800 + n of
/// a private plane. `json.dumps` prints it as the escape it was, everything else as U+FFFD.
const LONE_FIRST: u32 = 0x10_F800;
const SURROGATE_FIRST: u32 = 0xD800;
const SURROGATES: u32 = 0x800;

thread_local! {
    /// Whether this thread's current body has lone surrogates: almost none has.
    static HAS_LONE: Cell<bool> = const { Cell::new(false) };
}

/// Called before a body is read.
pub fn forget_lone_surrogates() {
    HAS_LONE.set(false);
}

pub fn has_lone_surrogates() -> bool {
    HAS_LONE.get()
}

/// The surrogate a character stands for.
pub fn lone_surrogate(character: char) -> Option<u32> {
    let code = u32::from(character);
    (HAS_LONE.get() && (LONE_FIRST..LONE_FIRST + SURROGATES).contains(&code))
        .then(|| code - LONE_FIRST + SURROGATE_FIRST)
}

/// Replaces what stands for lone surrogates, as an encoder to UTF-8 does.
pub fn without_lone_surrogates(text: String) -> String {
    match well_formed(Cow::Owned(text)) {
        Cow::Owned(text) => text,
        Cow::Borrowed(text) => text.to_owned(),
    }
}

/// The same of a text that may be part of the body.
pub fn well_formed(text: Cow<'_, str>) -> Cow<'_, str> {
    if !HAS_LONE.get() {
        return text;
    }
    let replace = |c: char| lone_surrogate(c).map_or(c, |_| char::REPLACEMENT_CHARACTER);
    Cow::Owned(text.chars().map(replace).collect())
}

/// A place in bytes from which strings and numbers are read.
pub struct Reading<'b> {
    bytes: &'b [u8],
    /// Where reading ended or failed.
    pub at: usize,
}

impl<'b> Reading<'b> {
    pub fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The string whose opening quote is here: one past its closing quote, and whether it has
    /// escapes. Null when it is not one; then `at` is where it fails.
    pub fn string(&mut self) -> Option<(usize, bool)> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.byte() {
                b'"' => return Some((self.at + 1, escaped)),
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 5;
            }
            _ => return None,
        }
        Some(())
    }

    /// One past the number that begins here.
    pub fn number(&mut self) -> Option<usize> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        if self.byte() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(self.at)
    }

    fn digits(&mut self) -> Option<()> {
        let first = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > first).then_some(())
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes looked at together while nothing is to be seen.
const STRIDE: usize = 32;

/// First place from `at` on with a quote, a backslash or a control character: in long texts many
/// bytes at a time, at their ends eight.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    let ends = |byte: &u8| (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20);
    while let Some(block) = bytes.get(at..at + STRIDE) {
        // Without a way out in between, which lets the processor's widest registers be used.
        if block.iter().fold(false, |any, byte| any | ends(byte)) {
            break;
        }
        at += STRIDE;
    }
    while let Some(block) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(block.try_into().unwrap_or_default());
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // The lowest mark is exact; those above it may be borrows.
        let marks = ((quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !ends(byte)) {
        at += 1;
    }
    at
}

/// Appends the text of a string that was read by `Reading::string`, quotes left out.
pub fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        rest = push_escape(escape, out);
    }
    out.push_str(rest);
}

/// Appends what the escape at the start of `text` means; returns what follows it.
fn push_escape<'b>(text: &'b str, out: &mut String) -> &'b str {
    let character = match text.as_bytes().get(1).copied().unwrap_or(0) {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return push_unit(text, out),
        other => char::from(other),
    };
    out.push(character);
    text.get(2..).unwrap_or_default()
}

fn push_unit<'b>(text: &'b str, out: &mut String) -> &'b str {
    let unit = hex_unit(text);
    let after = text.get(6..).unwrap_or_default();
    if (0xD800..0xDC00).contains(&unit) && after.starts_with("\\u") {
        let low = hex_unit(after);
        if (0xDC00..0xE000).contains(&low) {
            let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            out.extend(char::from_u32(code));
            return after.get(6..).unwrap_or_default();
        }
    }
    match char::from_u32(unit) {
        Some(character) => out.push(character),
        None => {
            HAS_LONE.set(true);
            out.extend(char::from_u32(unit - SURROGATE_FIRST + LONE_FIRST));
        }
    }
    after
}

fn hex_unit(escape: &str) -> u32 {
    let digits = escape.get(2..6).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or(0xFFFD)
}

/// Number of UTF-16 units, which is what JavaScript calls a text's length.
pub fn utf16_length(text: &str) -> usize {
    let units = |byte: &u8| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0);
    let lone = if HAS_LONE.get() {
        text.chars()
            .filter(|c| lone_surrogate(*c).is_some())
            .count()
    } else {
        0
    };
    text.as_bytes().iter().map(units).sum::<usize>() - lone
}

/// The number as JavaScript prints it: shortest digits, exponent from 1e21 and below 1e-6 on.
pub fn javascript_number(value: f64) -> String {
    if !value.is_finite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-6..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{}", exponent.unsigned_abs())
}
