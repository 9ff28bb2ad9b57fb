//! Brings OpenAI messages and tools into the form vLLM gives its templates, because only then the
//! rendered text is the engine's. Called by render.rs. Sources: vLLM's renderers/chat_utils.py (content
//! parts, tool calls), renderers/hf.py (developers) and its request protocol (tools).

#![deny(clippy::indexing_slicing)]

use minijinja::Value;

use super::content_format::ContentFormat;
use super::json_tape::{Kind, Tape};
use super::values::{JsonMap, text_value, to_value};
use crate::layout::limits::JSON_VALUES_MAX;

/// A body and its tape.
#[derive(Clone, Copy)]
pub struct Source<'b> {
    pub text: &'b str,
    pub tape: &'b Tape,
}

/// Begins a text of Claude Code that differs from request to request; engines leave it out.
pub const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// How a template is given messages.
#[derive(Clone, Copy)]
pub struct MessageForm {
    pub format: ContentFormat,
    /// Calls of tools have their name before their arguments.
    pub calls_by_name: bool,
}

impl Source<'_> {
    pub(super) fn get(&self, object: u32, name: &str) -> Option<u32> {
        self.tape.get(self.text, object, name)
    }

    pub(super) fn kind(&self, at: u32) -> Kind {
        self.tape.node(at).kind
    }

    /// A member that is there and not null.
    pub(super) fn present(&self, object: u32, name: &str) -> Option<u32> {
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

pub fn normalize_messages(source: Source<'_>, messages: u32, form: MessageForm) -> Vec<Value> {
    let items = source.tape.items(messages);
    let mut left = JSON_VALUES_MAX;
    items
        .filter(|at| source.kind(*at) == Kind::Object)
        .map(|at| Value::from_object(normalize_message(source, at, form, &mut left)))
        .collect()
}

/// Tools as the engine's models dump them: the fields it knows in its order, three of them if null too.
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
    let mut inner = JsonMap::with_capacity(5);
    for name in ["name", "description", "parameters"] {
        inner.set(name, source.value_or_null(source.get(function, name)));
    }
    if let Some(strict) = source.present(function, "strict") {
        inner.set("strict", source.value(strict));
    }
    let deferred_tool = source.present(tool, "defer_loading");
    if let Some(deferred) = source.present(function, "defer_loading").or(deferred_tool) {
        inner.set("defer_loading", source.value(deferred));
    }
    let mut outer = JsonMap::with_capacity(3);
    let kind = source.get(tool, "type");
    outer.set(
        "type",
        kind.map_or(Value::from("function"), |at| source.value(at)),
    );
    outer.set("function", Value::from_object(inner));
    if let Some(deferred) = deferred_tool {
        outer.set("defer_loading", source.value(deferred));
    }
    Value::from_object(outer)
}

/// `left` is how many values the arguments of tool calls may still have.
fn normalize_message(
    source: Source<'_>,
    message: u32,
    form: MessageForm,
    left: &mut usize,
) -> JsonMap {
    let mut result = JsonMap::with_capacity(4);
    let role_at = source.get(message, "role");
    let role = source.value_or_null(role_at);
    let is_role = |name: &str| role.as_str() == Some(name);
    let is_tool = is_role("tool");
    let content = match form.format {
        ContentFormat::Text => joined(source, message, is_role("system"), false),
        ContentFormat::Parts if is_tool => joined(source, message, false, true),
        ContentFormat::Parts => parts(source, message, is_role("system")),
    };
    let is_assistant = is_role("assistant");
    let is_developer = is_role("developer");
    result.set("role", role);
    result.set("content", content);
    if is_assistant {
        add_assistant_fields(source, message, form, left, &mut result);
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

fn add_assistant_fields(
    source: Source<'_>,
    message: u32,
    form: MessageForm,
    left: &mut usize,
    result: &mut JsonMap,
) {
    if let Some(calls) = source.get(message, "tool_calls")
        && source.kind(calls) == Kind::Array
        && source.tape.items(calls).next().is_some()
    {
        let calls = source.tape.items(calls);
        let calls = calls.map(|at| normalize_call(source, at, form, left));
        result.set("tool_calls", Value::from(calls.collect::<Vec<_>>()));
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

/// Text parts joined by newlines, for templates that print content and for results of tools; whether
/// empty ones are among them depends on the template.
fn joined(source: Source<'_>, message: u32, is_system: bool, with_empty: bool) -> Value {
    text_value(|out| {
        let mut count = 0;
        each_text(source, message, is_system, |text| {
            let start = out.len();
            if count > 0 {
                out.push('\n');
            }
            let begin = out.len();
            text.push(source, out);
            if out.len() == begin && !with_empty {
                out.truncate(start);
                return;
            }
            count += 1;
        });
    })
}

fn parts(source: Source<'_>, message: u32, is_system: bool) -> Value {
    let mut parts = Vec::new();
    each_text(source, message, is_system, |text| {
        parts.push(text_part(text_value(|out| text.push(source, out))));
    });
    Value::from(parts)
}

/// A text of a message, or what follows its first line.
#[derive(Clone, Copy)]
struct PartText {
    at: u32,
    after_line: bool,
}

impl PartText {
    fn push(self, source: Source<'_>, out: &mut String) {
        if !self.after_line {
            source.tape.push_text(source.text, self.at, out);
            return;
        }
        let text = source.tape.text(source.text, self.at);
        out.push_str(text.split_once('\n').map_or("", |(_, rest)| rest));
    }
}

/// Texts of the system lose the line that begins as BILLING_HEADER; those that were no more are gone.
fn each_text(source: Source<'_>, message: u32, is_system: bool, mut with: impl FnMut(PartText)) {
    let mut tell = |at: u32| {
        let after_line = is_system && source.tape.begins(source.text, at, BILLING_HEADER);
        if after_line {
            let text = source.tape.text(source.text, at);
            if text
                .split_once('\n')
                .is_none_or(|(_, rest)| rest.is_empty())
            {
                return;
            }
        }
        with(PartText { at, after_line });
    };
    let Some(content) = source.present(message, "content") else {
        return;
    };
    if source.kind(content) == Kind::Text {
        return tell(content);
    }
    source
        .tape
        .items(content)
        .filter_map(|at| text_of(source, at))
        .for_each(tell);
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

pub(super) fn text_part(text: Value) -> Value {
    let mut part = JsonMap::with_capacity(2);
    part.set("type", Value::from("text"));
    part.set("text", text);
    Value::from_object(part)
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
fn normalize_call(source: Source<'_>, call: u32, form: MessageForm, left: &mut usize) -> Value {
    let function = source.get(call, "function");
    let Some(function) = function.filter(|at| source.kind(*at) == Kind::Object) else {
        return source.value(call);
    };
    let mut inner = JsonMap::with_capacity(2);
    let name = source.value_or_null(source.get(function, "name"));
    if form.calls_by_name {
        inner.set("name", name.clone());
    }
    inner.set(
        "arguments",
        call_arguments(source, source.get(function, "arguments"), left),
    );
    inner.set("name", name);
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

/// Text that is not JSON or has too many values, and what is no object, becomes an empty object.
fn call_arguments(source: Source<'_>, given: Option<u32>, left: &mut usize) -> Value {
    let empty = || Value::from_object(JsonMap::default());
    let Some(given) = given else {
        return empty();
    };
    match source.kind(given) {
        Kind::Object => source.value(given),
        Kind::Text => {
            let text = source.tape.text(source.text, given);
            let mut tape = Tape::default();
            match tape.read_value_within(&text, *left) {
                Ok(still_left) => {
                    *left = still_left;
                    match tape.node(0).kind {
                        Kind::Object => to_value(&text, &tape, 0),
                        _ => empty(),
                    }
                }
                Err(_) => empty(),
            }
        }
        _ => empty(),
    }
}
