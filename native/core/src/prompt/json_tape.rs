//! One strict pass over the bytes of a JSON body: a flat tape of nodes for the members that are
//! read, byte ranges of the others. Accepts what JSON.parse accepts, within JSON_DEPTH_MAX and
//! JSON_KEYS_MAX; strings stay where they are until somebody wants their text. Called by parse.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::json_text::{self, Reading};
use crate::layout::limits::{JSON_DEPTH_MAX, JSON_KEYS_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    False,
    True,
    Number,
    Text,
    Array,
    Object,
}

/// A value or an object's key. Bytes are those of the text without its quotes, else of the value.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub start: u32,
    pub end: u32,
    /// Position after this node and everything inside it.
    next: u32,
    pub kind: Kind,
    escaped: bool,
}

/// One `"name": value` pair of an object whose members are noted; offsets are bytes of the body.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name on the tape.
    name: u32,
    /// First byte of the name's quote.
    pub start: u32,
    pub value_start: u32,
    /// One past the value's last byte.
    pub end: u32,
}

/// Why a body was not read. Limits are told by `json_scan`, which knows their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Syntax { at: usize, expected: &'static str },
    Limit,
}

/// How much of a value goes on the tape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Nothing,
    Itself,
    Everything,
}

/// Which members of the top-level object are read, and which object's members are noted besides.
pub struct Plan {
    pub whole: &'static [&'static str],
    pub noted: &'static str,
}

/// The tape of one body. Kept and refilled: a thread reads one body after another.
#[derive(Default)]
pub struct Tape {
    nodes: Vec<Node>,
    /// Members of the top-level object; empty when the body is no object.
    pub members: Vec<Member>,
    /// Members of the object named by `Plan::noted`.
    pub noted: Vec<Member>,
}

/// Nodes a tape may keep room for between two bodies.
const NODES_KEPT: usize = 64 * 1024;

impl Tape {
    /// Reads a body by `plan`.
    pub fn read_body(&mut self, text: &str, plan: &Plan) -> Result<(), Trouble> {
        self.clear();
        let mut reader = Reader::new(text, self);
        reader.body(plan)?;
        if has_duplicates(text, self, &self.members) || has_duplicates(text, self, &self.noted) {
            return Err(Trouble::Limit);
        }
        Ok(())
    }

    /// Reads any value, everything inside it included.
    pub fn read_value(&mut self, text: &str) -> Result<(), Trouble> {
        self.clear();
        let mut reader = Reader::new(text, self);
        reader.space();
        reader.value(Put::Everything)?;
        reader.finish()
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.nodes.shrink_to(NODES_KEPT);
        self.members.clear();
        self.noted.clear();
    }

    /// The node at a position of the tape; null for one that does not exist.
    pub fn node(&self, at: u32) -> Node {
        const NOTHING: Node = Node {
            start: 0,
            end: 0,
            next: u32::MAX,
            kind: Kind::Null,
            escaped: false,
        };
        self.nodes.get(at as usize).copied().unwrap_or(NOTHING)
    }

    /// Positions of an array's items.
    pub fn items(&self, array: u32) -> impl Iterator<Item = u32> + '_ {
        let end = self.node(array).next;
        let mut at = array + 1;
        std::iter::from_fn(move || {
            let item = at;
            (item < end).then(|| {
                at = self.node(item).next;
                item
            })
        })
    }

    /// Positions of an object's keys and values.
    pub fn entries(&self, object: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let end = self.node(object).next;
        let mut at = object + 1;
        std::iter::from_fn(move || {
            let key = at;
            (key < end).then(|| {
                at = self.node(key + 1).next;
                (key, key + 1)
            })
        })
    }

    /// The value under `name`, the last one when it appears twice; null when `object` is none.
    pub fn get(&self, text: &str, object: u32, name: &str) -> Option<u32> {
        if self.node(object).kind != Kind::Object {
            return None;
        }
        let same = |&(key, _): &(u32, u32)| self.is(text, key, name);
        self.entries(object).filter(same).last().map(|(_, v)| v)
    }

    /// Top-level member by name.
    pub fn member(&self, text: &str, name: &str) -> Option<(Member, u32)> {
        let found = self.members.iter().find(|m| self.is(text, m.name, name));
        found.map(|member| (*member, member.name + 1))
    }

    /// Whether a text is `expected`.
    pub fn is(&self, text: &str, at: u32, expected: &str) -> bool {
        let node = self.node(at);
        if node.escaped {
            return self.text(text, at) == expected;
        }
        raw(text, node) == expected
    }

    pub fn name_is(&self, text: &str, member: &Member, expected: &str) -> bool {
        self.is(text, member.name, expected)
    }

    /// A node's text, escapes resolved.
    pub fn text<'b>(&self, text: &'b str, at: u32) -> Cow<'b, str> {
        let node = self.node(at);
        let raw = raw(text, node);
        if !node.escaped {
            return Cow::Borrowed(raw);
        }
        let mut out = String::with_capacity(raw.len());
        json_text::unescape(raw, &mut out);
        Cow::Owned(out)
    }

    /// Appends a node's text.
    pub fn push_text(&self, text: &str, at: u32, out: &mut String) {
        let node = self.node(at);
        let raw = raw(text, node);
        if node.escaped {
            json_text::unescape(raw, out);
        } else {
            out.push_str(raw);
        }
    }

    /// A node's own bytes, a text's without the quotes and as they are written.
    pub fn raw<'b>(&self, text: &'b str, at: u32) -> &'b str {
        raw(text, self.node(at))
    }
}

fn raw(text: &str, node: Node) -> &str {
    text.get(node.start as usize..node.end as usize)
        .unwrap_or_default()
}

/// Few members are compared in pairs, many by sorting.
fn has_duplicates(text: &str, tape: &Tape, members: &[Member]) -> bool {
    let mut names: Vec<Cow<'_, str>> = members.iter().map(|m| tape.text(text, m.name)).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair.first() == pair.last())
}

struct Reader<'b, 't> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    keys: usize,
    tape: &'t mut Tape,
}

impl<'b, 't> Reader<'b, 't> {
    fn new(text: &'b str, tape: &'t mut Tape) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            keys: 0,
            tape,
        }
    }

    fn body(&mut self, plan: &Plan) -> Result<(), Trouble> {
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
                self.noted(object)?;
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
    fn noted(&mut self, _parent: u32) -> Result<(), Trouble> {
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

    /// Reads one value; recursion ends at JSON_DEPTH_MAX.
    fn value(&mut self, put: Put) -> Result<(), Trouble> {
        let start = self.at;
        let leaf = put != Put::Nothing;
        match self.byte() {
            b'"' => {
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
            None => self.depth -= 1,
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(Trouble::Limit);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, node: u32) {
        self.depth -= 1;
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
        self.keys += 1;
        if self.keys > JSON_KEYS_MAX {
            return Err(Trouble::Limit);
        }
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
