//! What the conversions of other chat APIs have in common. Engines serve those APIs by making a chat of
//! each request; a prompt is read by making the same one, as the body of a chat whose texts are copied
//! the way the client spelled them. Used by anthropic.rs and responses.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::fmt::Write;

use super::json_tape::Kind;
use super::messages::Source;

/// What a converted chat asks of the template besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// System messages go before all others where the template wants them there.
    pub merges_system: bool,
    /// Thinking is switched off, by the effort that does so with the template.
    pub thinking_off: bool,
    /// Calls of tools have their name before their arguments, not behind them.
    pub calls_by_name: bool,
}

/// A chat-completions body with the members that decide its prompt.
pub struct ConvertedChat {
    pub body: String,
    pub conversion: Conversion,
}

/// Reading what must be as it is; null where engines refuse it, or make something of it that is not
/// known here.
impl<'b> Source<'b> {
    pub fn of_kind(self, at: Option<u32>, kind: Kind) -> Option<u32> {
        at.filter(|at| self.kind(*at) == kind)
    }

    pub fn required(self, object: u32, name: &str, kind: Kind) -> Option<u32> {
        self.of_kind(self.get(object, name), kind)
    }

    /// The inner null is for a member that is absent or null.
    pub fn optional(self, object: u32, name: &str, kind: Kind) -> Option<Option<u32>> {
        match self.present(object, name) {
            None => Some(None),
            Some(at) if self.kind(at) == kind => Some(Some(at)),
            Some(_) => None,
        }
    }

    /// A text as it is spelled, without its quotes; empty where it is absent or null.
    pub fn spelled(self, object: u32, name: &str) -> Option<&'b str> {
        let at = self.optional(object, name, Kind::Text)?;
        Some(at.map_or("", |at| self.tape.raw(self.text, at)))
    }

    /// A value as JSON.
    pub fn json(self, at: u32) -> &'b str {
        let node = self.tape.node(at);
        let quote = u32::from(node.kind == Kind::Text);
        let bytes = (node.start - quote) as usize..(node.end + quote) as usize;
        self.text.get(bytes).unwrap_or_default()
    }

    pub fn json_or_null(self, object: u32, name: &str) -> &'b str {
        self.get(object, name).map_or("null", |at| self.json(at))
    }

    pub fn is(self, at: Option<u32>, expected: &str) -> bool {
        at.is_some_and(|at| self.kind(at) == Kind::Text && self.tape.is(self.text, at, expected))
    }
}

/// A text as JSON, of spellings.
pub fn quoted(spelled: &str) -> String {
    format!("\"{spelled}\"")
}

/// A message being put together; its parts are JSON.
#[derive(Default)]
pub struct Message<'b> {
    pub role: &'static str,
    pub content: Option<Cow<'b, str>>,
    pub reasoning: Option<Cow<'b, str>>,
    /// Calls of tools, with commas between them.
    pub calls: String,
    pub tool_call_id: Option<Cow<'b, str>>,
}

impl<'b> Message<'b> {
    pub fn of_role(role: &'static str) -> Self {
        Self {
            role,
            ..Self::default()
        }
    }

    pub fn of(role: &'static str, content: impl Into<Cow<'b, str>>) -> Self {
        Self {
            content: Some(content.into()),
            ..Self::of_role(role)
        }
    }

    /// `arguments` is JSON, `name` and `id` are spelled.
    pub fn add_call(&mut self, id: &str, name: &str, arguments: &str) {
        if !self.calls.is_empty() {
            self.calls.push(',');
        }
        let call = format_args!(
            r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":{arguments}}}}}"#
        );
        // Writing to a text does not fail.
        let _ = self.calls.write_fmt(call);
    }

    fn push(&self, out: &mut String) {
        let member = |name: &str, value: &str, out: &mut String| {
            let _ = write!(out, r#","{name}":{value}"#);
        };
        let _ = write!(out, r#"{{"role":"{}""#, self.role);
        if let Some(content) = &self.content {
            member("content", content, out);
        }
        if let Some(reasoning) = &self.reasoning {
            member("reasoning", reasoning, out);
        }
        if !self.calls.is_empty() {
            member("tool_calls", &format!("[{}]", self.calls), out);
        }
        if let Some(id) = &self.tool_call_id {
            member("tool_call_id", id, out);
        }
        out.push('}');
    }
}

/// The body of a chat; `members` are further ones, each with a comma before it.
pub fn chat_body(size: usize, messages: &[Message<'_>], members: &str) -> String {
    let mut out = String::with_capacity(size + size / 8);
    out.push_str(r#"{"messages":["#);
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        message.push(&mut out);
    }
    out.push(']');
    out.push_str(members);
    out.push('}');
    out
}

/// A tool of a chat; what engines dump of it is said where it is rendered. `name` is spelled,
/// `parameters` JSON.
pub fn function_tool(source: Source<'_>, tool: u32, name: &str, parameters: &str) -> String {
    let [description, strict, deferred] =
        ["description", "strict", "defer_loading"].map(|name| source.json_or_null(tool, name));
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","description":{description},"parameters":{parameters},"strict":{strict},"defer_loading":{deferred}}}}}"#
    )
}
