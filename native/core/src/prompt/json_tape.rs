//! What one strict pass over a JSON body leaves behind: a flat tape of nodes for the members that
//! are read, byte ranges of the others. Strings stay where they are until somebody wants their text.
//! Filled by json_reader.rs, used by parse.rs and messages.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::json_reader::{Limits, Reader};
use super::json_text;
use crate::layout::limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX};

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
    pub(super) next: u32,
    pub kind: Kind,
    pub(super) escaped: bool,
}

/// One `"name": value` pair of an object whose members are noted; offsets are bytes of the body.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name on the tape.
    pub(super) name: u32,
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

/// Which members of the top-level object are read, and which object's members are noted besides.
pub struct Plan {
    pub whole: &'static [&'static str],
    pub noted: &'static str,
}

/// The tape of one body. Kept and refilled: a thread reads one body after another.
#[derive(Default)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    /// Members of the top-level object; empty when the body is no object.
    pub members: Vec<Member>,
    /// Members of the object named by `Plan::noted`.
    pub noted: Vec<Member>,
}

/// Levels that a body is made deeper by: calls of tools have one more around their arguments.
const MADE_DEEPER_MAX: usize = 4;
/// Nodes a tape may keep room for between two bodies.
const NODES_KEPT: usize = 64 * 1024;

impl Tape {
    /// Reads a body by `plan`.
    pub fn read_body(&mut self, text: &str, plan: &Plan) -> Result<(), Trouble> {
        self.clear();
        Reader::new(text, Limits::of_values(JSON_VALUES_MAX), self).body(plan)?;
        if has_duplicates(text, self, &self.members) || has_duplicates(text, self, &self.noted) {
            return Err(Trouble::Limit);
        }
        Ok(())
    }

    /// Reads a body that was made of one read before, and may be a little more than that could be.
    pub(super) fn read_made(&mut self, text: &str, plan: &Plan) -> Result<(), Trouble> {
        self.clear();
        let limits = Limits {
            depth: JSON_DEPTH_MAX + MADE_DEEPER_MAX,
            keys: usize::MAX,
            values: usize::MAX,
        };
        Reader::new(text, limits, self).body(plan)
    }

    /// Reads any value, everything inside it included.
    pub fn read_value(&mut self, text: &str) -> Result<(), Trouble> {
        self.read_value_within(text, JSON_VALUES_MAX).map(|_| ())
    }

    /// The same of at most `values_max` values; how many of them are left.
    pub fn read_value_within(&mut self, text: &str, values_max: usize) -> Result<usize, Trouble> {
        self.clear();
        Reader::new(text, Limits::of_values(values_max), self).whole_value()
    }

    /// Forgets the body, and gives back the memory of one that was unusually large.
    pub fn clear(&mut self) {
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
        let bytes = text.as_bytes().get(node.start as usize..node.end as usize);
        bytes == Some(expected.as_bytes())
    }

    /// Whether a text begins with `expected`.
    pub fn begins(&self, text: &str, at: u32, expected: &str) -> bool {
        if self.node(at).escaped {
            return self.text(text, at).starts_with(expected);
        }
        self.raw(text, at).starts_with(expected)
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

/// Members that are compared in pairs; more are sorted.
const PAIRED_MAX: usize = 16;

fn has_duplicates(text: &str, tape: &Tape, members: &[Member]) -> bool {
    let escaped = |member: &Member| tape.node(member.name).escaped;
    if members.len() <= PAIRED_MAX && !members.iter().any(escaped) {
        let name = |member: &Member| raw(text, tape.node(member.name));
        let mut later = members.iter();
        while let Some(member) = later.next() {
            if later
                .as_slice()
                .iter()
                .any(|other| name(other) == name(member))
            {
                return true;
            }
        }
        return false;
    }
    let mut names: Vec<Cow<'_, str>> = members.iter().map(|m| tape.text(text, m.name)).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair.first() == pair.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "a large body takes minutes there")]
    fn an_emptied_tape_keeps_the_room_of_an_ordinary_body() {
        let items = JSON_VALUES_MAX - 1;
        let mut tape = Tape::default();
        let list = format!("[{}]", vec!["0"; items].join(","));
        assert_eq!(tape.read_value(&list), Ok(()));
        assert!(tape.nodes.capacity() > NODES_KEPT);
        tape.clear();
        assert!(tape.nodes.capacity() <= NODES_KEPT);
    }

    #[test]
    fn values_are_counted_whatever_they_are() {
        let mut tape = Tape::default();
        let text = r#"[0,"a",null,true,{"k":[]}]"#;
        assert_eq!(tape.read_value_within(text, 9), Ok(2));
        assert_eq!(tape.read_value_within(text, 6), Err(Trouble::Limit));
    }
}
