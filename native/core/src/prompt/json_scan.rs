//! What is wrong with a body that `json_tape` would not read, in the words and the order of the
//! portable core: a scan without recursion that never looks past the first limit. Also the byte
//! ranges that remove members. Called by parse.rs for refused bodies only.

#![deny(clippy::indexing_slicing)]

use std::collections::HashSet;

use super::json_tape::{Member, Plan, Trouble};
use super::json_text;
use super::refusal::Refusal;
use crate::layout::error;
use crate::layout::limits::{JSON_DEPTH_MAX, JSON_KEYS_MAX, JSON_VALUES_MAX};

const XARGS: &str = "vllm_xargs";
/// The refusal of a body that is not UTF-8, or that begins with a byte order mark.
pub fn not_plain_utf8(bytes: &[u8]) -> Refusal {
    let detail = if bytes.starts_with(b"\xef\xbb\xbf") {
        "the body begins with a byte order mark; send plain UTF-8"
    } else {
        "the body is not valid UTF-8"
    };
    Refusal::new(error::INVALID_JSON, detail.to_owned(), None)
}

/// The refusal of a body whose reading by `plan` ended with `trouble`.
pub fn refusal_of(text: &str, plan: &Plan, trouble: Trouble) -> Refusal {
    if text.starts_with('\u{feff}') {
        return not_plain_utf8(text.as_bytes());
    }
    if let Some(refusal) = Scanner::new(text, plan).run() {
        return refusal;
    }
    let detail = match trouble {
        Trouble::Syntax { at, expected } if at < text.len() => {
            format!("the body is not valid JSON: expected {expected} at byte {at}")
        }
        Trouble::Syntax { expected, .. } => {
            format!("the body is not valid JSON: expected {expected} at its end")
        }
        Trouble::Limit => "the body is not valid JSON".to_owned(),
    };
    Refusal::new(error::INVALID_JSON, detail, None)
}

/// Byte ranges (offset, length) that remove members together with the right commas.
pub fn push_cuts(
    members: &[Member],
    is_removed: impl Fn(&Member) -> bool,
    cuts: &mut Vec<(u32, u32)>,
) {
    let mut at = 0;
    while let Some(first) = members.get(at) {
        if !is_removed(first) {
            at += 1;
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| members.get(at));
        let mut last = first;
        while let Some(next) = members.get(at + 1).filter(|next| is_removed(next)) {
            last = next;
            at += 1;
        }
        let after = members.get(at + 1);
        // A run goes with the comma behind it; at the end of the object with the one before it.
        let start = match (after, before) {
            (None, Some(before)) => before.end,
            _ => first.start,
        };
        let end = after.map_or(last.end, |after| after.start);
        cuts.push((start, end - start));
        at += 1;
    }
}

/// Knows of JSON only strings and brackets, so it goes through anything.
struct Scanner<'b> {
    text: &'b str,
    bytes: &'b [u8],
    /// Whether the container at a depth is an object.
    is_object: [bool; JSON_DEPTH_MAX + 1],
    seen: HashSet<String>,
    depth: usize,
    keys: usize,
    values: usize,
    expect_key: bool,
    /// The top-level member being read.
    open: Open,
    plan: &'b Plan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    None,
    Xargs,
    Rendered,
    Other,
}

impl<'b> Scanner<'b> {
    fn new(text: &'b str, plan: &'b Plan) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            is_object: [false; JSON_DEPTH_MAX + 1],
            seen: HashSet::new(),
            depth: 0,
            keys: 0,
            values: 0,
            expect_key: false,
            open: Open::None,
            plan,
        }
    }

    fn run(mut self) -> Option<Refusal> {
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => {
                    let end = self.string_end(at);
                    let is_key = self.expect_key;
                    let refusal = if is_key {
                        self.key(at, end)
                    } else {
                        self.value()
                    };
                    if refusal.is_some() {
                        return refusal;
                    }
                    at = end;
                    continue;
                }
                b'-' | b'0'..=b'9' => {
                    if self.open == Open::Rendered
                        && let Some(refusal) = self.value()
                    {
                        return Some(refusal);
                    }
                    at = self.number_end(at);
                    continue;
                }
                b'{' | b'[' => {
                    if self.depth == JSON_DEPTH_MAX {
                        return Some(too_much(format!(
                            "the body nests deeper than {JSON_DEPTH_MAX} levels"
                        )));
                    }
                    if let Some(refusal) = self.value() {
                        return Some(refusal);
                    }
                    self.depth += 1;
                    self.expect_key = byte == b'{';
                    self.set_kind(byte == b'{');
                }
                b'}' | b']' => {
                    self.close();
                    self.depth = self.depth.saturating_sub(1);
                    self.expect_key = false;
                }
                b',' => {
                    self.close();
                    self.expect_key = self.kind(self.depth);
                }
                b':' => self.expect_key = false,
                // Of true, false and null these are the first letters, and no others.
                b't' | b'f' | b'n' => {
                    if let Some(refusal) = self.value() {
                        return Some(refusal);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn close(&mut self) {
        if self.depth == 1 {
            self.open = Open::None;
        }
    }

    fn kind(&self, depth: usize) -> bool {
        self.is_object.get(depth).copied().unwrap_or(false)
    }

    fn set_kind(&mut self, is_object: bool) {
        if let Some(kind) = self.is_object.get_mut(self.depth) {
            *kind = is_object;
        }
    }

    fn value(&mut self) -> Option<Refusal> {
        self.values += 1;
        (self.values > JSON_VALUES_MAX).then(|| {
            too_much(format!(
                "the body has more than {JSON_VALUES_MAX} values; send shorter lists"
            ))
        })
    }

    fn key(&mut self, start: usize, end: usize) -> Option<Refusal> {
        self.keys += 1;
        if self.keys > JSON_KEYS_MAX {
            return Some(too_much(format!(
                "the body has more than {JSON_KEYS_MAX} object keys"
            )));
        }
        let is_top = self.depth == 1 && self.kind(1);
        let is_xarg = self.depth == 2 && self.kind(2) && self.open == Open::Xargs;
        if !is_top && !is_xarg {
            return None;
        }
        let name = self.key_text(start, end);
        if is_top {
            self.open = match name.as_str() {
                XARGS => Open::Xargs,
                name if self.plan.whole.contains(&name) => Open::Rendered,
                _ => Open::Other,
            };
        }
        let param = if is_top {
            name
        } else {
            format!("{XARGS}.{name}")
        };
        if self.seen.contains(&param) {
            let detail = format!("{param}: appears twice in the body; send it once");
            return Some(Refusal::new(error::DUPLICATE_FIELD, detail, Some(param)));
        }
        self.seen.insert(param);
        None
    }

    /// One past the closing quote of the string that begins at `start`, or the end of the text.
    fn string_end(&self, start: usize) -> usize {
        let mut at = start + 1;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'"' => return at + 1,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.bytes.len()
    }

    /// One past what may belong to the number that begins at `start`.
    fn number_end(&self, start: usize) -> usize {
        let rest = self.bytes.get(start + 1..).unwrap_or_default();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let length = rest.iter().position(|byte| !is_part(byte));
        start + 1 + length.unwrap_or(rest.len())
    }

    /// Text of a key, escapes resolved where it is a JSON string, else as it is written.
    fn key_text(&self, start: usize, end: usize) -> String {
        let raw = self.text.get(start..end).unwrap_or_default();
        if !raw.contains('\\') {
            return raw.get(1..raw.len() - 1).unwrap_or_default().to_owned();
        }
        let mut reading = json_text::Reading::new(raw.as_bytes(), 0);
        if reading.string().map(|(end, _)| end) != Some(raw.len()) {
            return raw.to_owned();
        }
        let mut text = String::with_capacity(raw.len());
        json_text::unescape(raw.get(1..raw.len() - 1).unwrap_or_default(), &mut text);
        text
    }
}

fn too_much(detail: String) -> Refusal {
    Refusal::new(error::BODY_TOO_DEEP, detail, None)
}
