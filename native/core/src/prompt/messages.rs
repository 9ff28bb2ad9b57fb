//! Brings OpenAI messages and tools into the form vLLM gives its templates, because only then the
//! rendered text is the engine's. Called by render.rs. Sources: vLLM's entrypoints/chat_utils.py
//! (content parts, tool calls) and its request protocol (tools).

#![deny(clippy::indexing_slicing)]

use minijinja::Value;

use super::content_format::ContentFormat;
use super::json_tape::{Kind, Tape};
use super::values::{JsonMap, text_value, to_map, to_value};
use crate::layout::limits::JSON_VALUES_MAX;

/// A body and its tape.
#[derive(Clone, Copy)]
pub struct Source<'b> {
    pub text: &'b str,
    pub tape: &'b Tape,
}

impl Source<'_> {
    fn get(&self, object: u32, name: &str) -> Option<u32> {
        self.tape.get(self.text, object, name)
    }

    fn kind(&self, at: u32) -> Kind {
        self.tape.node(at).kind
    }

    /// A member that is there and not null.
    fn present(&self, object: u32, name: &str) -> Option<u32> {
        self.get(object, name)
            .filter(|at| self.kind(*at) != Kind::Null)
    }

    pub fn value(&self, at: u32) -> Value {
        to_value(self.text, self.tape, at)
    }

    fn value_or_null(&self, at: Option<u32>) -> Value {
        at.map_or(Value::from(()), |at| self.value(at))
    }
}

pub fn normalize_messages(source: Source<'_>, messages: u32, format: ContentFormat) -> Vec<Value> {
    let items = source.tape.items(messages);
    let mut left = JSON_VALUES_MAX;
    items
        .filter(|at| source.kind(*at) == Kind::Object)
        .map(|at| Value::from_object(normalize_message(source, at, format, &mut left)))
        .collect()
}

/// Tools as the engine's models dump them: declared fields first, absent ones as null.
pub fn normalize_tools(source: Source<'_>, tools: u32) -> Value {
    let items = source.tape.items(tools);
    Value::from(
        items
            .map(|at| normalize_tool(source, at))
            .collect::<Vec<_>>(),
    )
}

fn normalize_tool(source: Source<'_>, tool: u32) -> Value {
    let function = source.get(tool, "function");
    let Some(function) = function.filter(|at| source.kind(*at) == Kind::Object) else {
        return source.value(tool);
    };
    let mut inner = JsonMap::with_capacity(4);
    for name in ["name", "description", "parameters"] {
        inner.set(name, source.value_or_null(source.get(function, name)));
    }
    for (key, value) in to_map(source.text, source.tape, function).entries() {
        inner.set_value(key.clone(), value.clone());
    }
    let mut outer = JsonMap::with_capacity(2);
    let kind = source.get(tool, "type");
    outer.set(
        "type",
        kind.map_or(Value::from("function"), |at| source.value(at)),
    );
    let inner = Value::from_object(inner);
    outer.set("function", inner.clone());
    for (key, value) in source.tape.entries(tool) {
        if !source.tape.is(source.text, key, "function") {
            let name = text_value(|out| source.tape.push_text(source.text, key, out));
            outer.set_value(name, source.value(value));
        }
    }
    Value::from_object(outer)
}

/// `left` is how many values the arguments of tool calls may still have.
fn normalize_message(
    source: Source<'_>,
    message: u32,
    format: ContentFormat,
    left: &mut usize,
) -> JsonMap {
    let mut result = JsonMap::with_capacity(4);
    let role_at = source.get(message, "role");
    let role = source.value_or_null(role_at);
    let is_role = |name: &str| role.as_str() == Some(name);
    let is_tool = is_role("tool");
    let content = content_of(source, message, format == ContentFormat::Text || is_tool);
    let is_assistant = is_role("assistant");
    let is_developer = is_role("developer");
    result.set("role", role);
    result.set("content", content);
    if is_assistant {
        add_assistant_fields(source, message, left, &mut result);
    }
    if is_tool && let Some(id) = source.get(message, "tool_call_id") {
        result.set("tool_call_id", source.value(id));
    }
    if let Some(name) = source.get(message, "name")
        && source.kind(name) == Kind::Text
    {
        result.set("name", source.value(name));
    }
    if is_developer {
        result.set("tools", source.value_or_null(source.get(message, "tools")));
    }
    result
}

fn add_assistant_fields(source: Source<'_>, message: u32, left: &mut usize, result: &mut JsonMap) {
    if let Some(calls) = source.get(message, "tool_calls")
        && source.kind(calls) == Kind::Array
        && source.tape.items(calls).next().is_some()
    {
        let calls = source.tape.items(calls);
        let calls: Vec<Value> = calls.map(|at| normalize_call(source, at, left)).collect();
        result.set("tool_calls", Value::from(calls));
    }
    let reasoning = source
        .present(message, "reasoning")
        .or_else(|| source.present(message, "reasoning_content"));
    if let Some(reasoning) = reasoning {
        let reasoning = source.value(reasoning);
        result.set("reasoning", reasoning.clone());
        result.set("reasoning_content", reasoning);
    }
}

/// Templates that print content get text parts joined by newlines; tool results always do.
fn content_of(source: Source<'_>, message: u32, joined: bool) -> Value {
    let content = source.present(message, "content");
    let is_text = content.is_some_and(|at| source.kind(at) == Kind::Text);
    if joined {
        return text_value(|out| match content {
            Some(content) if is_text => source.tape.push_text(source.text, content, out),
            Some(content) => push_joined(source, content, out),
            None => {}
        });
    }
    let mut parts = Vec::new();
    if let Some(content) = content {
        if is_text {
            parts.push(text_part(source.value(content)));
        } else {
            let texts = source
                .tape
                .items(content)
                .filter_map(|at| text_of(source, at));
            parts.extend(texts.map(|at| text_part(source.value(at))));
        }
    }
    Value::from(parts)
}

/// A message of role and text alone, as `normalize_messages` would make it.
pub fn plain_message(role: &str, text: Value, format: ContentFormat) -> Value {
    let mut message = JsonMap::with_capacity(2);
    message.set("role", Value::from(role));
    let content = match format {
        ContentFormat::Text => text,
        ContentFormat::Parts => Value::from(vec![text_part(text)]),
    };
    message.set("content", content);
    Value::from_object(message)
}

fn text_part(text: Value) -> Value {
    let mut part = JsonMap::with_capacity(2);
    part.set("type", Value::from("text"));
    part.set("text", text);
    Value::from_object(part)
}

fn push_joined(source: Source<'_>, content: u32, out: &mut String) {
    let texts = source
        .tape
        .items(content)
        .filter_map(|at| text_of(source, at));
    for (count, text) in texts.enumerate() {
        if count > 0 {
            out.push('\n');
        }
        source.tape.push_text(source.text, text, out);
    }
}

/// Where a part's text is; null for parts the engine skips.
fn text_of(source: Source<'_>, part: u32) -> Option<u32> {
    if source.kind(part) == Kind::Text {
        return Some(part);
    }
    let kind = source.get(part, "type");
    let named = ["refusal", "thinking"].into_iter().find(|name| {
        kind.is_some_and(|at| {
            source.kind(at) == Kind::Text && source.tape.is(source.text, at, name)
        })
    });
    source
        .get(part, named.unwrap_or("text"))
        .filter(|at| source.kind(*at) == Kind::Text)
}

/// Templates expect arguments as objects, clients send them as JSON text.
fn normalize_call(source: Source<'_>, call: u32, left: &mut usize) -> Value {
    let function = source.get(call, "function");
    let Some(function) = function.filter(|at| source.kind(*at) == Kind::Object) else {
        return source.value(call);
    };
    let mut inner = JsonMap::with_capacity(2);
    inner.set(
        "arguments",
        call_arguments(source, source.get(function, "arguments"), left),
    );
    inner.set("name", source.value_or_null(source.get(function, "name")));
    let mut outer = JsonMap::with_capacity(3);
    if let Some(id) = source.get(call, "id") {
        outer.set("id", source.value(id));
    }
    outer.set("function", Value::from_object(inner));
    if let Some(kind) = source.get(call, "type") {
        outer.set("type", source.value(kind));
    }
    Value::from_object(outer)
}

/// Text that is not JSON or has too many values, and anything else that is no object or array,
/// becomes an empty object.
fn call_arguments(source: Source<'_>, given: Option<u32>, left: &mut usize) -> Value {
    let empty = || Value::from_object(JsonMap::default());
    let Some(given) = given else {
        return empty();
    };
    match source.kind(given) {
        Kind::Array | Kind::Object => source.value(given),
        Kind::Text => {
            let text = source.tape.text(source.text, given);
            let mut tape = Tape::default();
            match tape.read_value_within(&text, *left) {
                Ok(still_left) => {
                    *left = still_left;
                    to_value(&text, &tape, 0)
                }
                Err(_) => empty(),
            }
        }
        _ => empty(),
    }
}
