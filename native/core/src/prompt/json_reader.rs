//! One strict pass over the bytes of JSON text. Accepts what JSON.parse accepts, within limits. Called
//! by json_tape.rs.

#![deny(clippy::indexing_slicing)]

use super::json_tape::{Kind, Member, Node, Plan, Tape, Trouble};
use super::json_text::Reading;
use crate::layout::limits::{JSON_DEPTH_MAX, JSON_KEYS_MAX};

/// How much of a value goes on the tape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Nothing,
    Itself,
    Everything,
}

/// What a text may have. Numbers that do not go on the tape are no values.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub depth: usize,
    pub keys: usize,
    pub values: usize,
}

impl Limits {
    /// Of text that came from outside, with so many values.
    pub fn of_values(values: usize) -> Self {
        Self {
            depth: JSON_DEPTH_MAX,
            keys: JSON_KEYS_MAX,
            values,
        }
    }
}

/// Reads one text onto a tape.
pub(super) struct Reader<'b, 't> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    /// Levels, keys and values that may still come.
    left: Limits,
    tape: &'t mut Tape,
}

impl<'b, 't> Reader<'b, 't> {
    pub fn new(text: &'b str, limits: Limits, tape: &'t mut Tape) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            left: limits,
            tape,
        }
    }

    /// Reads any value, everything inside it included; the values that might still have come.
    pub fn whole_value(&mut self) -> Result<usize, Trouble> {
        self.space();
        self.value(Put::Everything)?;
        self.finish()?;
        Ok(self.left.values)
    }

    /// Reads a body by `plan`.
    pub fn body(&mut self, plan: &Plan) -> Result<(), Trouble> {
        self.space();
        if self.byte() != b'{' {
            self.value(Put::Itself)?;
            return self.finish();
        }
        let object = self.push(Kind::Object, self.at, 0);
        self.open()?;
        let mut more = self.first(b'}');
        while more {
            let start = self.at;
            let name = self.key(Put::Everything)?;
            let value_start = self.at;
            let key = self.tape.text(self.text, name);
            if key == plan.noted && self.byte() == b'{' {
                self.noted()?;
            } else if plan.whole.contains(&key.as_ref()) {
                self.value(Put::Everything)?;
            } else {
                self.value(Put::Itself)?;
            }
            self.tape.members.push(Member {
                name,
                start: start as u32,
                value_start: value_start as u32,
                end: self.at as u32,
            });
            more = self.more(b'}')?;
        }
        self.close(object);
        self.finish()
    }

    /// An object of which every member is noted, but no value kept.
    fn noted(&mut self) -> Result<(), Trouble> {
        let object = self.push(Kind::Object, self.at, 0);
        self.open()?;
        let mut more = self.first(b'}');
        while more {
            let start = self.at;
            let name = self.key(Put::Everything)?;
            let value_start = self.at;
            self.value(Put::Itself)?;
            self.tape.noted.push(Member {
                name,
                start: start as u32,
                value_start: value_start as u32,
                end: self.at as u32,
            });
            more = self.more(b'}')?;
        }
        self.close(object);
        Ok(())
    }

    /// Reads one value; recursion ends at the limit of depth.
    fn value(&mut self, put: Put) -> Result<(), Trouble> {
        let start = self.at;
        let leaf = put != Put::Nothing;
        match self.byte() {
            b'"' => {
                self.count()?;
                let escaped = self.string()?;
                if leaf {
                    self.push_range(Kind::Text, start + 1, self.at - 1, escaped);
                }
            }
            b'{' => return self.object(put),
            b'[' => return self.array(put),
            b't' => self.literal("true", Kind::True, leaf)?,
            b'f' => self.literal("false", Kind::False, leaf)?,
            b'n' => self.literal("null", Kind::Null, leaf)?,
            _ => {
                if put == Put::Everything {
                    self.count()?;
                }
                let mut reading = Reading::new(self.bytes, start);
                self.at = reading.number().ok_or(Trouble::Syntax {
                    at: reading.at,
                    expected: "a value",
                })?;
                if leaf {
                    self.push_range(Kind::Number, start, self.at, false);
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, put: Put) -> Result<(), Trouble> {
        let inside = self.begin(put, Kind::Object);
        self.open()?;
        let mut more = self.first(b'}');
        while more {
            self.key(inside.1)?;
            self.value(inside.1)?;
            more = self.more(b'}')?;
        }
        self.end(inside.0);
        Ok(())
    }

    fn array(&mut self, put: Put) -> Result<(), Trouble> {
        let inside = self.begin(put, Kind::Array);
        self.open()?;
        let mut more = self.first(b']');
        while more {
            self.value(inside.1)?;
            more = self.more(b']')?;
        }
        self.end(inside.0);
        Ok(())
    }

    /// The container's own node, if it gets one, and what its contents get.
    fn begin(&mut self, put: Put, kind: Kind) -> (Option<u32>, Put) {
        let at = self.at;
        match put {
            Put::Nothing => (None, Put::Nothing),
            Put::Itself => (Some(self.push(kind, at, 0)), Put::Nothing),
            Put::Everything => (Some(self.push(kind, at, 0)), Put::Everything),
        }
    }

    fn end(&mut self, node: Option<u32>) {
        match node {
            Some(node) => self.close(node),
            None => self.left.depth += 1,
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        self.left.depth = self.left.depth.checked_sub(1).ok_or(Trouble::Limit)?;
        self.count()?;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn count(&mut self) -> Result<(), Trouble> {
        self.left.values = self.left.values.checked_sub(1).ok_or(Trouble::Limit)?;
        Ok(())
    }

    fn close(&mut self, node: u32) {
        self.left.depth += 1;
        let next = self.tape.nodes.len() as u32;
        if let Some(node) = self.tape.nodes.get_mut(node as usize) {
            node.next = next;
            node.end = self.at as u32;
        }
    }

    /// Whether a container has a first item; steps over `close` when it has none.
    fn first(&mut self, close: u8) -> bool {
        self.space();
        let empty = self.byte() == close;
        self.at += usize::from(empty);
        !empty
    }

    /// After an item: whether another one follows.
    fn more(&mut self, close: u8) -> Result<bool, Trouble> {
        self.space();
        let byte = self.byte();
        if byte == b',' {
            self.at += 1;
            self.space();
            return Ok(true);
        }
        if byte != close {
            let expected = if close == b'}' {
                "',' or '}'"
            } else {
                "',' or ']'"
            };
            return Err(self.wrong(expected));
        }
        self.at += 1;
        Ok(false)
    }

    /// A key and its colon; the node it got, when it got one.
    fn key(&mut self, put: Put) -> Result<u32, Trouble> {
        let start = self.at;
        if self.byte() != b'"' {
            return Err(self.wrong("a name in double quotes"));
        }
        let escaped = self.string()?;
        self.left.keys = self.left.keys.checked_sub(1).ok_or(Trouble::Limit)?;
        let node = match put {
            Put::Everything => self.push_range(Kind::Text, start + 1, self.at - 1, escaped),
            Put::Itself | Put::Nothing => 0,
        };
        self.space();
        if self.byte() != b':' {
            return Err(self.wrong("':'"));
        }
        self.at += 1;
        self.space();
        Ok(node)
    }

    /// Steps over a string; whether it has escapes.
    fn string(&mut self) -> Result<bool, Trouble> {
        let mut reading = Reading::new(self.bytes, self.at);
        match reading.string() {
            Some((end, escaped)) => {
                self.at = end;
                Ok(escaped)
            }
            None => Err(Trouble::Syntax {
                at: reading.at,
                expected: "a whole string",
            }),
        }
    }

    fn literal(&mut self, word: &str, kind: Kind, put: bool) -> Result<(), Trouble> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.wrong("a value"));
        }
        self.count()?;
        let start = self.at;
        self.at += word.len();
        if put {
            self.push_range(kind, start, self.at, false);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.wrong("nothing more"));
        }
        Ok(())
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// The byte being looked at, 0 at the end: a byte that is wrong everywhere.
    #[inline]
    fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn wrong(&self, expected: &'static str) -> Trouble {
        Trouble::Syntax {
            at: self.at,
            expected,
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) -> u32 {
        self.push_range(kind, start, end, false)
    }

    fn push_range(&mut self, kind: Kind, start: usize, end: usize, escaped: bool) -> u32 {
        let at = self.tape.nodes.len() as u32;
        self.tape.nodes.push(Node {
            start: start as u32,
            end: end as u32,
            next: at + 1,
            kind,
            escaped,
        });
        at
    }
}
