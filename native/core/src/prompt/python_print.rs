//! Values of template variables as Python would print them: numbers, lists and dictionaries by
//! str() and repr(), and json.dumps for the tojson filter. Called by template.rs.

#![deny(clippy::indexing_slicing)]

use std::fmt::{self, Write};

use minijinja::Value;
use minijinja::value::ValueKind;

use super::json_text::lone_surrogate;
use super::values::{BigInteger, JsonMap};

/// Python's str(): what an output tag or the ~ operator prints.
pub fn print_text(value: &Value, out: &mut impl Write) -> fmt::Result {
    if let Some(text) = value.as_str() {
        return out.write_str(text);
    }
    if value.is_undefined() {
        return Ok(());
    }
    print_repr(value, out)
}

pub fn text_of(value: &Value) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = print_text(value, &mut text);
    text
}

/// Python's repr().
fn print_repr(value: &Value, out: &mut impl Write) -> fmt::Result {
    match value.kind() {
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::None => out.write_str("None"),
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::Number => print_number(value, out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (at, item) in value.try_iter().into_iter().flatten().enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                print_repr(&item, out)?;
            }
            out.write_char(']')
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (at, (key, item)) in pairs(value).into_iter().enumerate() {
                out.write_str(if at == 0 { "" } else { ", " })?;
                print_repr(&key, out)?;
                out.write_str(": ")?;
                print_repr(&item, out)?;
            }
            out.write_char('}')
        }
        _ => write!(out, "{value}"),
    }
}

fn pairs(value: &Value) -> Vec<(Value, Value)> {
    if let Some(map) = value.downcast_object_ref::<JsonMap>() {
        return map.entries().to_vec();
    }
    let keys = value.try_iter().into_iter().flatten();
    keys.map(|key| {
        let item = value.get_item(&key).unwrap_or_default();
        (key, item)
    })
    .collect()
}

fn print_number(value: &Value, out: &mut impl Write) -> fmt::Result {
    if value.is_integer() {
        return write!(out, "{value}");
    }
    match f64::try_from(value.clone()) {
        Ok(number) => print_float(number, out),
        Err(_) => write!(out, "{value}"),
    }
}

/// repr() of a Python float: shortest digits, exponent from 1e16 and below 1e-4 on.
pub fn print_float(value: f64, out: &mut impl Write) -> fmt::Result {
    if !value.is_finite() {
        let name = if value > 0.0 { "inf" } else { "-inf" };
        return out.write_str(if value.is_nan() { "nan" } else { name });
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return write!(out, "{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// repr() of a string: single quotes unless only those occur in it.
fn quoted(text: &str, out: &mut impl Write) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == quote => write!(out, "\\{c}")?,
            c => match lone_surrogate(c).or(unprintable(c)) {
                None => out.write_char(c)?,
                Some(code) if code <= 0xFF => write!(out, "\\x{code:02x}")?,
                Some(code) if code <= 0xFFFF => write!(out, "\\u{code:04x}")?,
                Some(code) => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// Control, format, private and separator characters other than the space.
fn unprintable(c: char) -> Option<u32> {
    let code = u32::from(c);
    let hidden = c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            code,
            0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x8E2 | 0x180E
        )
        || matches!(code, 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xFEFF)
        || matches!(code, 0xFFF9..=0xFFFB | 0xE000..=0xF8FF | 0xFFFE..=0xFFFF)
        || code >= 0xE_0000 && !(0xE_0100..=0xE_01EF).contains(&code);
    hidden.then_some(code)
}

/// How json.dumps is called.
pub struct DumpOptions {
    pub indent: Option<usize>,
    pub ensure_ascii: bool,
    pub separators: Option<(String, String)>,
    pub sort_keys: bool,
}

/// Python's json.dumps as transformers' tojson filter calls it; an error names what it cannot dump.
pub fn dumps(value: &Value, options: &DumpOptions) -> Result<String, String> {
    let (comma, colon) = match &options.separators {
        Some((comma, colon)) => (comma.as_str(), colon.as_str()),
        None if options.indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    let mut dump = Dump {
        out: String::new(),
        options,
        comma,
        colon,
    };
    dump.value(value, 0)?;
    Ok(dump.out)
}

struct Dump<'a> {
    out: String,
    options: &'a DumpOptions,
    comma: &'a str,
    colon: &'a str,
}

impl Dump<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        match value.kind() {
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Number => {
                let _ = print_number(value, &mut self.out);
            }
            ValueKind::Seq | ValueKind::Iterable => return self.list(value, depth),
            ValueKind::Map => return self.map(value, depth),
            kind => match value.downcast_object_ref::<BigInteger>() {
                Some(BigInteger(digits)) => self.out.push_str(digits),
                None => return Err(format!("Object of type {kind} is not JSON serializable")),
            },
        }
        Ok(())
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        self.out.push('[');
        let mut is_empty = true;
        for item in value.try_iter().into_iter().flatten() {
            self.between(is_empty, depth);
            is_empty = false;
            self.value(&item, depth + 1)?;
        }
        self.end(is_empty, depth, ']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if !self.options.sort_keys
            && let Some(map) = value.downcast_object_ref::<JsonMap>()
        {
            return self.pairs(map.entries(), depth);
        }
        let mut entries = pairs(value);
        if self.options.sort_keys {
            entries.sort_by_cached_key(|(key, _)| text_of(key));
        }
        self.pairs(&entries, depth)
    }

    fn pairs(&mut self, entries: &[(Value, Value)], depth: usize) -> Result<(), String> {
        self.out.push('{');
        for (at, (key, item)) in entries.iter().enumerate() {
            self.between(at == 0, depth);
            match key.as_str() {
                Some(key) => self.string(key),
                None => self.string(&text_of(key)),
            }
            self.out.push_str(self.colon);
            self.value(item, depth + 1)?;
        }
        self.end(entries.is_empty(), depth, '}');
        Ok(())
    }

    fn between(&mut self, is_first: bool, depth: usize) {
        if !is_first {
            self.out.push_str(self.comma);
        }
        self.line(depth + 1);
    }

    fn end(&mut self, is_empty: bool, depth: usize, bracket: char) {
        if !is_empty {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.options.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| self.is_special(byte)) {
            let (plain, special) = rest.split_at(at);
            self.out.push_str(plain);
            let mut characters = special.chars();
            if let Some(c) = characters.next() {
                self.escape(c);
            }
            rest = characters.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    /// Whether a byte may have to be escaped; of other than ASCII the first byte of a character.
    fn is_special(&self, byte: u8) -> bool {
        let wide = self.options.ensure_ascii && (byte == 0x7F || byte >= 0xC0);
        // What stands for a lone surrogate begins with 0xF4.
        byte < 0x20 || byte == b'"' || byte == b'\\' || wide || byte == 0xF4
    }

    fn escape(&mut self, c: char) {
        let short = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            _ => "",
        };
        self.out.push_str(short);
        if !short.is_empty() {
            return;
        }
        if let Some(unit) = lone_surrogate(c) {
            let _ = write!(self.out, "\\u{unit:04x}");
        } else if self.options.ensure_ascii || c < ' ' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(self.out, "\\u{unit:04x}");
            }
        } else {
            self.out.push(c);
        }
    }
}
