//! Brings OpenAI messages and tools into the form vLLM gives its templates, because only then the
//! rendered text is the engine's. Called by render.rs. Sources: vLLM's renderers/chat_utils.py (content
//! parts, tool calls), renderers/hf.py (developers) and its request protocol (tools).

#![deny(clippy::indexing_slicing)]

use minijinja::Value;

use super::content_format::ContentFormat;
use super::json_tape::{Kind, Tape};
use super::media::{MEDIA_MARK, is_media};
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
    /// The first of the media is marked.
    pub marks_media: bool,
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
    let mut marks = form.marks_media;
    items
        .filter(|at| source.kind(*at) == Kind::Object)
        .map(|at| {
            let medium = marks.then(|| first_medium(source, at)).flatten();
            marks &= medium.is_none();
            Value::from_object(normalize_message(source, at, form, medium, &mut left))
        })
        .collect()
}

fn first_medium(source: Source<'_>, message: u32) -> Option<u32> {
    let content = source.required(message, "content", Kind::Array)?;
    let mut items = source.tape.items(content);
    items.find(|part| is_media(source.text, source.tape, *part))
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
    medium: Option<u32>,
    left: &mut usize,
) -> JsonMap {
    let mut result = JsonMap::with_capacity(4);
    let role_at = source.get(message, "role");
    let role = source.value_or_null(role_at);
    let is_role = |name: &str| role.as_str() == Some(name);
    let is_tool = is_role("tool");
    let texts = Texts {
        source,
        message,
        is_system: is_role("system"),
        medium,
        is_marked_first: false,
    };
    let content = match form.format {
        ContentFormat::Text => joined(texts.marked_first(), false),
        ContentFormat::Parts if is_tool => joined(texts, true),
        ContentFormat::Parts => parts(texts),
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
fn joined(texts: Texts<'_>, with_empty: bool) -> Value {
    text_value(|out| {
        let mut count = 0;
        texts.each(|text| {
            let start = out.len();
            if count > 0 {
                out.push('\n');
            }
            let begin = out.len();
            texts.push(text, out);
            if out.len() == begin && !with_empty {
                out.truncate(start);
                return;
            }
            count += 1;
        });
    })
}

fn parts(texts: Texts<'_>) -> Value {
    let mut parts = Vec::new();
    texts.each(|text| parts.push(text_part(text_value(|out| texts.push(text, out)))));
    Value::from(parts)
}

/// The texts of a message, with a mark where the first of a chat's media is.
#[derive(Clone, Copy)]
struct Texts<'b> {
    source: Source<'b>,
    message: u32,
    is_system: bool,
    medium: Option<u32>,
    is_marked_first: bool,
}

#[derive(Clone, Copy)]
enum PartText {
    Whole(u32),
    /// What follows its first line.
    AfterLine(u32),
    Mark,
}

impl Texts<'_> {
    /// Templates that print content are given the media of a message before its texts.
    fn marked_first(self) -> Self {
        Self {
            is_marked_first: true,
            ..self
        }
    }

    /// Texts of the system lose the line that begins as BILLING_HEADER; those that were no more are
    /// gone.
    fn each(self, mut with: impl FnMut(PartText)) {
        let source = self.source;
        if self.is_marked_first && self.medium.is_some() {
            with(PartText::Mark);
        }
        let Some(content) = source.present(self.message, "content") else {
            return;
        };
        if source.kind(content) == Kind::Text {
            self.of_text(content).into_iter().for_each(with);
            return;
        }
        for item in source.tape.items(content) {
            if Some(item) == self.medium {
                if !self.is_marked_first {
                    with(PartText::Mark);
                }
            } else if let Some(text) = text_of(source, item).and_then(|at| self.of_text(at)) {
                with(text);
            }
        }
    }

    fn of_text(self, at: u32) -> Option<PartText> {
        let Source { text, tape } = self.source;
        if !self.is_system || !tape.begins(text, at, BILLING_HEADER) {
            return Some(PartText::Whole(at));
        }
        let text = tape.text(text, at);
        let (_, rest) = text.split_once('\n')?;
        (!rest.is_empty()).then_some(PartText::AfterLine(at))
    }

    fn push(self, text: PartText, out: &mut String) {
        let Source { text: body, tape } = self.source;
        match text {
            PartText::Whole(at) => tape.push_text(body, at, out),
            PartText::AfterLine(at) => {
                let text = tape.text(body, at);
                out.push_str(text.split_once('\n').map_or("", |(_, rest)| rest));
            }
            PartText::Mark => out.push_str(MEDIA_MARK),
        }
    }
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
