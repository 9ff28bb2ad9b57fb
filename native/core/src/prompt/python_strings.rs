//! String methods as Python has them, where minijinja follows Rust: whitespace, strip with
//! characters, places counted in characters. Called by template.rs for every method of a value.

#![deny(clippy::indexing_slicing)]

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::python_print::text_of;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Both,
    Left,
    Right,
}

/// What str.strip() removes: Rust's trim leaves U+001C-1F.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// str.strip, lstrip, rstrip; without characters whitespace.
pub fn strip<'t>(text: &'t str, characters: Option<&str>, side: Side) -> &'t str {
    let goes = |c: char| match characters {
        None => is_space(c),
        Some(set) => set.contains(c),
    };
    let text = match side {
        Side::Right => text,
        Side::Both | Side::Left => text.trim_start_matches(goes),
    };
    match side {
        Side::Left => text,
        Side::Both | Side::Right => text.trim_end_matches(goes),
    }
}

/// Methods of values, called when minijinja knows none.
pub fn call_method(
    state: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.kind() == ValueKind::String
        && let Some(text) = value.as_str()
        && let Some(answer) = string_method(text, method, args)
    {
        return answer;
    }
    pycompat::unknown_method_callback(state, value, method, args)
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let argument = || match args.first().and_then(Value::as_str) {
        Some(argument) => Ok(argument),
        None => Err(Error::new(
            ErrorKind::InvalidOperation,
            "a string method wants a string argument",
        )),
    };
    let characters = args.first().filter(|value| !value.is_none());
    let stripped = |side| match characters {
        None => Ok(Value::from(strip(text, None, side))),
        Some(_) => argument().map(|set| Value::from(strip(text, Some(set), side))),
    };
    Some(match method {
        "strip" => stripped(Side::Both),
        "lstrip" => stripped(Side::Left),
        "rstrip" => stripped(Side::Right),
        "capitalize" => Ok(Value::from(capitalize(text))),
        "removeprefix" => {
            argument().map(|part| Value::from(text.strip_prefix(part).unwrap_or(text)))
        }
        "removesuffix" => {
            argument().map(|part| Value::from(text.strip_suffix(part).unwrap_or(text)))
        }
        "count" => argument().map(|part| Value::from(count(text, part))),
        "find" => argument().map(|part| Value::from(place(text, text.find(part)))),
        "rfind" => argument().map(|part| Value::from(place(text, text.rfind(part)))),
        "isspace" => Ok(Value::from(!text.is_empty() && text.chars().all(is_space))),
        "isdigit" => Ok(Value::from(!text.is_empty() && text.chars().all(is_digit))),
        "isalpha" => Ok(Value::from(
            !text.is_empty() && text.chars().all(char::is_alphabetic),
        )),
        "splitlines" => Ok(Value::from(lines(text))),
        "join" => join(text, args.first()),
        _ => return None,
    })
}

fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    let rest = characters.as_str().to_lowercase();
    first.into_iter().flatten().chain(rest.chars()).collect()
}

/// JavaScript splits by the empty string between UTF-16 units; Python counts the places.
fn count(text: &str, part: &str) -> usize {
    if part.is_empty() {
        return text.chars().count() + 1;
    }
    text.matches(part).count()
}

fn place(text: &str, at: Option<usize>) -> i64 {
    let before = at.and_then(|at| text.get(..at));
    before.map_or(-1, |before| before.chars().count() as i64)
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric() && !c.is_alphabetic())
}

fn lines(text: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_end = |c: char| {
            matches!(
                c,
                '\n' | '\r' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        let at = rest.find(is_end).unwrap_or(rest.len());
        let (line, end) = rest.split_at(at);
        lines.push(Value::from(line));
        let mut after = end.chars();
        after.next();
        rest = end.strip_prefix("\r\n").unwrap_or(after.as_str());
    }
    lines
}

/// str.join, which prints numbers too: so does the join filter.
pub fn join(separator: &str, list: Option<&Value>) -> Result<Value, Error> {
    let mut out = String::new();
    if let Some(list) = list {
        for (at, item) in list.try_iter()?.enumerate() {
            if at > 0 {
                out.push_str(separator);
            }
            match item.as_str() {
                Some(text) => out.push_str(text),
                None => out.push_str(&text_of(&item)),
            }
        }
    }
    Ok(Value::from(out))
}
