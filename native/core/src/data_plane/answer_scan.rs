//! Looks at the bytes of an answer as they pass: counts the data events of a stream and keeps the
//! last bytes, from which usage is read when the answer has ended. The rules are those of the
//! portable `answer-scan.ts`.

#![deny(clippy::indexing_slicing)]

use std::cell::RefCell;
use std::sync::LazyLock;

use memchr::{memchr, memmem};

use crate::prompt::json_tape::{Kind as JsonKind, Tape};

/// Usage the engine reported; −1 for what the answer did not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
}

pub const NO_USAGE: Usage = Usage {
    prompt_tokens: -1,
    completion_tokens: -1,
    cached_tokens: -1,
};

/// Usage follows the text of a JSON answer; 16 KiB hold it with room for trailing fields.
const JSON_TAIL_BYTES: usize = 16 * 1024;
/// The usage event of a stream is its last one, or the one before `[DONE]`. Kept short, because it
/// is memory of every open stream.
const EVENTS_TAIL_BYTES: usize = 8 * 1024;
/// Mentions of "usage" looked at, from the last one back.
const MENTIONS_MAX: usize = 4;
const DATA: &[u8] = b"data:";
const DONE: &[u8] = b"data: [DONE]";
const USAGE: &[u8] = b"\"usage\"";
static FIND_USAGE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(USAGE));
static FIND_DONE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(DONE));
/// Bytes kept while nothing was mentioned.
const CARRIED_BYTES: usize = 32;
/// Memory kept for them: most chunks fit.
const CARRIED_CAPACITY: usize = 1024;

thread_local! {
    static TAPE: RefCell<Tape> = RefCell::default();
}

/// What is scanned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Events,
    Json,
}

/// State of one answer's scan.
#[derive(Debug)]
pub struct AnswerScan {
    kind: Kind,
    /// At least the last `tail_max` bytes, at most a quarter more; of a stream in which nothing of
    /// interest has come yet, only the last few.
    tail: Vec<u8>,
    /// Usage, or the end, was mentioned: bytes are kept from there on.
    mentioned: bool,
    data_events: u64,
    /// Bytes of `data:` matched at the start of the current line; `None` further inside the line.
    matched: Option<u8>,
    line_empty: bool,
    event_counted: bool,
    /// Line ends at the end of what has come, 2 standing for more and for nothing at all.
    line_ends: u8,
}

impl AnswerScan {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            tail: Vec::new(),
            mentioned: false,
            data_events: 0,
            matched: Some(0),
            line_empty: true,
            event_counted: false,
            line_ends: 2,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if self.kind == Kind::Events {
            self.count_events(chunk);
        }
        self.keep(chunk);
    }

    /// Data events so far, `[DONE]` not counted.
    pub fn chunks(&self) -> u64 {
        let ended = self.kind == Kind::Events && memmem::rfind(self.last(), DONE).is_some();
        self.data_events - u64::from(ended && self.data_events > 0)
    }

    /// True when a stream's last event has been ended by an empty line.
    pub fn at_event_boundary(&self) -> bool {
        self.line_ends >= 2
    }

    /// Usage of an answer that has ended.
    pub fn usage(&self) -> Usage {
        let tail = self.last();
        let mut end = tail.len();
        for _ in 0..MENTIONS_MAX {
            let Some(at) = memmem::rfind(tail.get(..end).unwrap_or_default(), USAGE) else {
                break;
            };
            let rest = tail.get(at + USAGE.len()..).unwrap_or_default();
            if let Some(usage) = read_usage(rest) {
                return usage;
            }
            // A mention may share its first quote with the one before.
            end = at + USAGE.len() - 1;
        }
        NO_USAGE
    }

    fn tail_max(&self) -> usize {
        match self.kind {
            Kind::Events => EVENTS_TAIL_BYTES,
            Kind::Json => JSON_TAIL_BYTES,
        }
    }

    fn last(&self) -> &[u8] {
        let from = self.tail.len().saturating_sub(self.tail_max());
        self.tail.get(from..).unwrap_or_default()
    }

    fn keep(&mut self, chunk: &[u8]) {
        if self.kind == Kind::Events && !self.mentioned {
            self.keep_mention(chunk);
            return;
        }
        let max = self.tail_max();
        if chunk.len() >= max {
            self.tail.clear();
        } else if self.tail.len() + chunk.len() > max + max / 4 {
            let keep_from = (self.tail.len() + chunk.len()).saturating_sub(max);
            self.tail.drain(..keep_from.min(self.tail.len()));
            self.tail
                .reserve_exact((max + max / 4).saturating_sub(self.tail.len()));
        }
        let from = chunk.len().saturating_sub(max);
        self.tail
            .extend_from_slice(chunk.get(from..).unwrap_or_default());
    }

    /// Keeps bytes from the first mention on; until then just what one could be cut in.
    fn keep_mention(&mut self, chunk: &[u8]) {
        let before = self.tail.len();
        self.tail.extend_from_slice(chunk);
        let from = before.saturating_sub(DONE.len());
        let fresh = self.tail.get(from..).unwrap_or_default();
        let mention = [&*FIND_USAGE, &*FIND_DONE]
            .into_iter()
            .filter_map(|one| one.find(fresh))
            .min();
        self.mentioned = mention.is_some();
        let unused = match mention {
            Some(at) => from + at,
            None => self.tail.len().saturating_sub(CARRIED_BYTES),
        };
        self.tail.drain(..unused);
        self.tail.shrink_to(CARRIED_CAPACITY);
    }

    /// Counts the first `data:` line of every event; lines may be cut anywhere.
    fn count_events(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if byte == b'\n' {
                self.event_counted &= !self.line_empty;
                self.line_ends = (self.line_ends + 1).min(2);
                self.line_empty = true;
                self.matched = Some(0);
                at += 1;
                continue;
            }
            if byte != b'\r' {
                self.line_ends = 0;
            }
            let expected = self.matched.and_then(|matched| DATA.get(matched as usize));
            if let (Some(matched), true) = (self.matched, expected == Some(&byte)) {
                self.line_empty = false;
                at += 1;
                if matched as usize + 1 < DATA.len() {
                    self.matched = Some(matched + 1);
                    continue;
                }
                self.data_events += u64::from(!self.event_counted);
                self.event_counted = true;
                self.matched = None;
                continue;
            }
            self.matched = None;
            // Looked at one by one: a line that goes on after it is not empty.
            if byte == b'\r' {
                at += 1;
                continue;
            }
            self.line_empty = false;
            match chunk.get(at..).and_then(|rest| memchr(b'\n', rest)) {
                Some(found) => at += found,
                None => return,
            }
        }
    }
}

/// Reads the object after `"usage"`; `None` when it is none, cut, or quoted text.
fn read_usage(rest: &[u8]) -> Option<Usage> {
    let rest = rest
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    let end = object_end(rest)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    TAPE.with_borrow_mut(|tape| {
        tape.read_value(text).ok()?;
        Some(if tape.get(text, 0, "output_tokens").is_none() {
            usage_of_chat(tape, text)
        } else {
            usage_of_input(tape, text)
        })
    })
}

fn usage_of_chat(tape: &Tape, text: &str) -> Usage {
    Usage {
        prompt_tokens: count_of(tape, text, "prompt_tokens"),
        completion_tokens: count_of(tape, text, "completion_tokens"),
        cached_tokens: cached_of(tape, text, "prompt_tokens_details"),
    }
}

/// Of the Responses and the Messages API. In the latter `input_tokens` are those that were neither
/// read from the cache nor, where that is told, written to it.
fn usage_of_input(tape: &Tape, text: &str) -> Usage {
    let input = count_of(tape, text, "input_tokens");
    let read = count_of(tape, text, "cache_read_input_tokens");
    let written = count_of(tape, text, "cache_creation_input_tokens");
    let whole = input
        .saturating_add(read.max(0))
        .saturating_add(written.max(0));
    Usage {
        prompt_tokens: if input < 0 { -1 } else { whole },
        completion_tokens: count_of(tape, text, "output_tokens"),
        cached_tokens: read.max(cached_of(tape, text, "input_tokens_details")),
    }
}

fn count_of(tape: &Tape, text: &str, name: &str) -> i64 {
    let value = tape.get(text, 0, name);
    value.and_then(|at| count(tape, text, at)).unwrap_or(-1)
}

fn cached_of(tape: &Tape, text: &str, details: &str) -> i64 {
    let value = tape
        .get(text, 0, details)
        .and_then(|details| tape.get(text, details, "cached_tokens"));
    value.and_then(|at| count(tape, text, at)).unwrap_or(-1)
}

/// Length of the object `text` begins with.
fn object_end(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.iter().enumerate() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{') => depth += 1,
            (false, b'}') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A whole number that JavaScript holds exactly.
fn count(tape: &Tape, text: &str, at: u32) -> Option<i64> {
    const SAFE_MAX: f64 = 9_007_199_254_740_991.0;
    if tape.node(at).kind != JsonKind::Number {
        return None;
    }
    let number: f64 = tape.raw(text, at).parse().ok()?;
    ((0.0..=SAFE_MAX).contains(&number) && number.fract() == 0.0).then_some(number as i64)
}

#[cfg(test)]
mod stream_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what is to be long: under miri every byte takes thousands of times as long.
    const LONG: usize = if cfg!(miri) { 300 } else { 20_000 };

    fn scan(kind: Kind, text: &str, cut: usize) -> AnswerScan {
        let mut scan = AnswerScan::new(kind);
        for piece in text.as_bytes().chunks(cut) {
            scan.push(piece);
        }
        scan
    }

    #[test]
    fn events_and_usage_are_found_however_the_stream_is_cut() {
        let text = ": ping\n\ndata: {\"a\":\"data: x\\n\"}\n\ndata: {\"b\":\"\\\"usage\\\": {\"}\r\n\r\n\
            event: x\ndata: 1\ndata: 2\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":70,\
            \"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\n\
            data: [DONE]\n\n";
        for cut in 1..text.len() {
            let scan = scan(Kind::Events, text, cut);
            assert_eq!(scan.chunks(), 4, "cut {cut}");
            assert!(scan.at_event_boundary());
            let expected = Usage {
                prompt_tokens: 70,
                completion_tokens: 3,
                cached_tokens: 64,
            };
            assert_eq!(scan.usage(), expected);
        }
    }

    #[test]
    fn a_line_that_begins_with_a_return_and_goes_on_is_not_empty() {
        let text = "data: 1\n\rx\ndata: 2\n\r\r\ndata: 3\n\n";
        for cut in 1..=text.len() {
            assert_eq!(scan(Kind::Events, text, cut).chunks(), 2, "cut {cut}");
        }
    }

    #[test]
    fn returns_however_many_end_no_event() {
        for text in ["data: 1", "data: 1\n", "data: 1\n\n"] {
            let long = format!("{text}{}", "\r".repeat(LONG));
            for cut in [1, 7, 4096, long.len()] {
                let is_over = scan(Kind::Events, &long, cut).at_event_boundary();
                assert_eq!(is_over, text.ends_with("\n\n"), "{text:?}, cut {cut}");
            }
        }
    }

    #[test]
    fn usage_that_is_none_is_not_made_up() {
        for text in [
            "{}",
            r#"{"usage":null}"#,
            r#"{"usage":{"prompt_tokens":1"#,
            r#"{"text":"\"usage\":{"}"#,
        ] {
            assert_eq!(scan(Kind::Json, text, 7).usage(), NO_USAGE, "{text}");
        }
        let odd = scan(
            Kind::Json,
            r#"{"usage":{"prompt_tokens":1.5,"completion_tokens":-1}}"#,
            9,
        );
        assert_eq!(odd.usage(), NO_USAGE);
    }

    #[test]
    fn usage_of_other_apis_is_read_as_that_of_chats() {
        let cases = [
            (
                r#"{"input_tokens":70,"output_tokens":3,"input_tokens_details":{"cached_tokens":64}}"#,
                [70, 3, 64],
            ),
            (
                r#"{"input_tokens":6,"output_tokens":3,"cache_read_input_tokens":60,"cache_creation_input_tokens":4}"#,
                [70, 3, 60],
            ),
            (r#"{"input_tokens":70,"output_tokens":3}"#, [70, 3, -1]),
            (r#"{"output_tokens":2}"#, [-1, 2, -1]),
            (
                r#"{"input_tokens":"x","output_tokens":2,"cache_read_input_tokens":null}"#,
                [-1, 2, -1],
            ),
        ];
        for (usage, [prompt_tokens, completion_tokens, cached_tokens]) in cases {
            let expected = Usage {
                prompt_tokens,
                completion_tokens,
                cached_tokens,
            };
            let json = format!(r#"{{"id":"x","usage":{usage}}}"#);
            assert_eq!(scan(Kind::Json, &json, 7).usage(), expected);
            let stream = format!(
                "event: a\ndata: {{\"usage\":{{\"input_tokens\":1}}}}\n\nevent: b\n\
                 data: {{\"type\":\"b\",\"usage\":{usage}}}\n\nevent: c\ndata: {{}}\n\n"
            );
            assert_eq!(scan(Kind::Events, &stream, 5).usage(), expected);
        }
    }

    #[test]
    fn the_tail_stays_bounded_and_holds_the_end() {
        let mut scan = AnswerScan::new(Kind::Events);
        for _ in 0..LONG / 20 {
            scan.push(&[b'x'; 1000]);
        }
        assert!(scan.tail.len() <= CARRIED_BYTES);
        for (mention, behind) in [(5, 20_000), (6, 6_000)] {
            scan.push(format!("\"usage\":{{\"prompt_tokens\":{mention}}}").as_bytes());
            scan.push(&vec![b'x'; behind]);
        }
        assert!(scan.tail.len() <= EVENTS_TAIL_BYTES + EVENTS_TAIL_BYTES / 4);
        assert_eq!(scan.usage().prompt_tokens, 6);
        assert!(!scan.at_event_boundary());
    }
}
