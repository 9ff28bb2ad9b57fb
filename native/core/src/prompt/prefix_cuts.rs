//! Where a text may be cut so that its tokens are the tokens of the parts: beside added tokens, and,
//! for tokenizers of the GPT-4 regex family, where no alternative of the pattern can cross. Used by
//! prefix_store.rs; tokenize.rs tests the rule on random cuts before it is trusted.

#![deny(clippy::indexing_slicing)]

use serde_json::Value;

use super::tokenizer_files::TokenizerFiles;

/// Pre-tokenizers whose letter runs end at a space and that never cross a newline into a letter:
/// Qwen, Llama 3 and whatever else has exactly this form; they differ in how digits are grouped.
const PATTERN_HEAD: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}";
const PATTERN_DIGITS: [&str; 3] = ["", "{1,2}", "{1,3}"];
const PATTERN_TAIL: &str = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Bytes a cut is first looked for in; words and lines end well within.
const FIRST_WINDOW: usize = 256;
const FLAGS: [&str; 4] = ["lstrip", "rstrip", "single_word", "normalized"];
/// Components that treat the start of a text differently: parts would get their own.
const UNCUTTABLE: [&str; 5] = [
    "Metaspace",
    "Prepend",
    "Precompiled",
    "Strip",
    "BertNormalizer",
];

/// Finds cuts in one tokenizer's texts. Positions are bytes.
pub struct TextCutter {
    /// Whether texts are cut between words too, or beside added tokens only.
    pub by_text: bool,
    tokens: TokenFinder,
}

impl TextCutter {
    /// Null when a text of this tokenizer must not be cut at all.
    pub fn of(files: &TokenizerFiles) -> Option<Self> {
        let shape = [
            files.outline.json.get("normalizer"),
            files.outline.json.get("pre_tokenizer"),
        ];
        if shape.into_iter().flatten().any(depends_on_start) {
            return None;
        }
        let has_flag = |token: &Value| {
            FLAGS
                .iter()
                .any(|flag| token.get(flag).and_then(Value::as_bool) == Some(true))
        };
        let mut tokens = TokenFinder::default();
        let mut is_plain = true;
        for token in files.added_tokens() {
            let content = token
                .get("content")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if content.is_empty() {
                continue;
            }
            // An added token with a space or newline inside could lie across a cut.
            is_plain &= !has_flag(token) && !content.contains(char::is_whitespace);
            tokens.add(content.as_bytes(), !has_flag(token));
        }
        Some(Self {
            by_text: is_plain && has_known_pattern(files),
            tokens,
        })
    }

    /// First safe position ≥ `from` and < the text's end; `start` is itself a cut.
    pub fn next(&self, text: &str, start: usize, from: usize) -> Option<usize> {
        let end = text.len().checked_sub(1)?;
        let mut window = FIRST_WINDOW;
        // Both kinds are looked for in growing windows: else the rarer one would be searched
        // through the whole rest of the text for every cut, which is quadratic.
        loop {
            let last = end.min(from + window);
            let in_text = self
                .by_text
                .then(|| next_text_cut(text, from, last))
                .flatten();
            let at_token = self.tokens.next(text, start, from, in_text.unwrap_or(last));
            if at_token.is_some() {
                return at_token;
            }
            if in_text.is_some() || last == end {
                return in_text;
            }
            window *= 2;
        }
    }
}

/// After a newline before a letter, or between a letter and a space that a letter follows.
fn next_text_cut(text: &str, from: usize, last: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from.max(1) - 1;
    while let Some(found) = memchr::memchr2(b' ', b'\n', bytes.get(at..=last)?) {
        let place = at + found;
        let after = text.get(place + 1..).and_then(|rest| rest.chars().next());
        if after.is_some_and(is_letter) {
            if bytes.get(place) == Some(&b'\n') {
                if place < last && place + 1 >= from {
                    return Some(place + 1);
                }
            } else if place >= from {
                let before = text.get(..place).and_then(|head| head.chars().next_back());
                if before.is_some_and(is_letter) {
                    return Some(place);
                }
            }
        }
        at = place + 1;
        if at > last {
            return None;
        }
    }
    None
}

/// Letters that may stand at a cut. Not all there are: those of large alphabets that were letters
/// in every version of Unicode, that are no marks and compose with nothing before them.
fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    matches!(c,
        'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ɏ' | 'Α'..='Ρ' | 'Σ'..='Ϋ' | 'ά'..='ώ'
        | 'Ѐ'..='ҁ' | 'Ҋ'..='ԧ' | 'א'..='ת' | 'ؠ'..='ؿ' | 'ف'..='ي' | 'ऄ'..='ह'
        | 'ก'..='ฮ' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='鿌' | '가'..='힣')
}

/// All added tokens, found by their bytes: leftmost first, the longest of those.
#[derive(Default)]
pub(super) struct TokenFinder {
    nodes: Vec<TrieNode>,
    firsts: Vec<u8>,
    /// Bit of each byte in `firsts`.
    first_bits: [u64; 4],
}

#[derive(Default)]
struct TrieNode {
    children: Vec<(u8, u32)>,
    /// Whether a text may be cut behind the token that ends here.
    cuttable: Option<bool>,
}

impl TokenFinder {
    pub(super) fn add(&mut self, token: &[u8], cuttable: bool) {
        if self.nodes.is_empty() {
            self.nodes.push(TrieNode::default());
        }
        if let Some(first) = token.first().filter(|first| !self.firsts.contains(first)) {
            self.firsts.push(*first);
            if let Some(bits) = self.first_bits.get_mut(usize::from(*first >> 6)) {
                *bits |= 1 << (first & 63);
            }
        }
        let mut at = 0_u32;
        for byte in token {
            let next = self.nodes.len() as u32;
            let Some(node) = self.nodes.get_mut(at as usize) else {
                return;
            };
            match node.children.iter().find(|(child, _)| child == byte) {
                Some((_, child)) => at = *child,
                None => {
                    node.children.push((*byte, next));
                    self.nodes.push(TrieNode::default());
                    at = next;
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.cuttable = Some(cuttable);
        }
    }

    /// Whether any of the tokens is in `bytes`.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && let Some(place) = self.first_place(rest)
        {
            at += place;
            if self
                .longest_at(bytes.get(at..).unwrap_or_default())
                .is_some()
            {
                return true;
            }
            at += 1;
        }
        false
    }

    /// End of the first cuttable token that ends in [from, end]. Scans from a cut, so none is
    /// missed, and sees tokens that begin before `end` whole: cut off, one could pass for another.
    fn next(&self, text: &str, start: usize, from: usize, end: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = start;
        while at < end {
            at += self.first_place(bytes.get(at..end)?)?;
            let Some((length, cuttable)) = self.longest_at(bytes.get(at..)?) else {
                at += 1;
                continue;
            };
            at += length;
            if at > end {
                return None;
            }
            if at >= from && cuttable {
                return Some(at);
            }
        }
        None
    }

    /// Where a token may begin.
    fn first_place(&self, bytes: &[u8]) -> Option<usize> {
        match *self.firsts.as_slice() {
            [] => None,
            [a] => memchr::memchr(a, bytes),
            [a, b] => memchr::memchr2(a, b, bytes),
            [a, b, c] => memchr::memchr3(a, b, c, bytes),
            _ => bytes.iter().position(|byte| {
                let bits = self.first_bits.get(usize::from(byte >> 6));
                bits.is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
            }),
        }
    }

    fn longest_at(&self, bytes: &[u8]) -> Option<(usize, bool)> {
        let mut found = None;
        let mut node = self.nodes.first()?;
        for (at, byte) in bytes.iter().enumerate() {
            let Some((_, child)) = node.children.iter().find(|(child, _)| child == byte) else {
                break;
            };
            node = self.nodes.get(*child as usize)?;
            if let Some(cuttable) = node.cuttable {
                found = Some((at + 1, cuttable));
            }
        }
        found
    }
}

fn depends_on_start(part: &Value) -> bool {
    match part {
        Value::Array(items) => items.iter().any(depends_on_start),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let is_type = name == "type" && UNCUTTABLE.iter().any(|kind| value == kind);
            let prefixes = name == "add_prefix_space" && value == &Value::Bool(true);
            is_type || prefixes || depends_on_start(value)
        }),
        _ => false,
    }
}

fn has_known_pattern(files: &TokenizerFiles) -> bool {
    let normalizer = files
        .outline
        .json
        .get("normalizer")
        .filter(|value| value.is_object());
    let kind = normalizer
        .and_then(|value| value.get("type"))
        .and_then(Value::as_str);
    if normalizer.is_some() && kind != Some("NFC") {
        return false;
    }
    let Some(pattern) = split_pattern(files.outline.json.get("pre_tokenizer")) else {
        return false;
    };
    let digits = pattern
        .strip_prefix(PATTERN_HEAD)
        .and_then(|rest| rest.strip_suffix(PATTERN_TAIL));
    digits.is_some_and(|digits| PATTERN_DIGITS.contains(&digits))
}

/// The regex of a pre-tokenizer that splits by one regex and then maps bytes.
fn split_pattern(pre_tokenizer: Option<&Value>) -> Option<&str> {
    let steps = pre_tokenizer?.get("pretokenizers")?.as_array()?;
    let [split, bytes] = steps.as_slice() else {
        return None;
    };
    let is = |value: &Value, name: &str, expected: &str| {
        value.get(name).and_then(Value::as_str) == Some(expected)
    };
    let is_plain = is(split, "type", "Split")
        && is(bytes, "type", "ByteLevel")
        && is(split, "behavior", "Isolated")
        && bytes.get("use_regex") == Some(&Value::Bool(false));
    is_plain
        .then(|| split.get("pattern")?.get("Regex")?.as_str())
        .flatten()
}
