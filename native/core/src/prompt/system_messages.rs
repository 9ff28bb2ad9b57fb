//! Where engines put what the system says: before all others, where a template wants it there or knows no
//! developers. Called by render.rs. Sources: vLLM 0.32's entrypoints/anthropic/serving.py, renderers/hf.py.

#![deny(clippy::indexing_slicing)]

use minijinja::Value;

use super::content_format::ContentFormat;
use super::messages::{BILLING_HEADER, Source, plain_message};
use super::values::JsonMap;

/// One system message before all others, of the texts of all, which are no lists of parts.
pub fn with_system_first(
    source: Source<'_>,
    messages: u32,
    normalized: Vec<Value>,
    format: ContentFormat,
) -> Vec<Value> {
    let mut whole = String::new();
    for message in source.tape.items(messages) {
        if source.is(source.get(message, "role"), "system")
            && let Some(content) = source.get(message, "content")
        {
            source.tape.push_text(source.text, content, &mut whole);
        }
    }
    if whole.is_empty() {
        return normalized;
    }
    let others = normalized.into_iter().filter(|message| {
        let role = role_of(message);
        role.as_deref() != Some("system")
    });
    std::iter::once(system_message(&whole, format))
        .chain(others)
        .collect()
}

/// A message of the system as `normalize_messages` would make it.
fn system_message(text: &str, format: ContentFormat) -> Value {
    let rest = if text.starts_with(BILLING_HEADER) {
        let rest = text.split_once('\n').map(|(_, rest)| rest);
        rest.filter(|rest| !rest.is_empty())
    } else {
        Some(text)
    };
    match rest {
        Some(rest) => plain_message("system", Value::from(rest), format),
        None => {
            let mut message = JsonMap::with_capacity(2);
            message.set("role", Value::from("system"));
            message.set(
                "content",
                match format {
                    ContentFormat::Text => Value::from(""),
                    ContentFormat::Parts => Value::from(Vec::<Value>::new()),
                },
            );
            Value::from_object(message)
        }
    }
}

/// For a template that knows no developers they are the system; with them, and only then, all of the
/// system is one message before the others.
pub fn without_developers(messages: Vec<Value>) -> Vec<Value> {
    let is_of = |message: &Value, name: &str| role_of(message).as_deref() == Some(name);
    if !messages.iter().any(|message| is_of(message, "developer")) {
        return messages;
    }
    let renamed: Vec<Value> = messages.into_iter().map(as_system).collect();
    let is_system = |message: &&Value| is_of(message, "system");
    if renamed.iter().rposition(|message| is_of(message, "system")) == Some(0) {
        return renamed;
    }
    let texts: Vec<String> = renamed
        .iter()
        .filter(is_system)
        .map(whole_text)
        .filter(|text| !text.is_empty())
        .collect();
    let mut merged = JsonMap::with_capacity(2);
    merged.set("role", Value::from("system"));
    merged.set("content", Value::from(texts.join("\n\n")));
    let others = renamed.iter().filter(|message| !is_system(message));
    std::iter::once(Value::from_object(merged))
        .chain(others.cloned())
        .collect()
}

fn role_of(message: &Value) -> Option<String> {
    let map = message.downcast_object_ref::<JsonMap>()?;
    map.get("role")?.as_str().map(str::to_owned)
}

/// A developer's message as one of the system; others as they are.
fn as_system(message: Value) -> Value {
    let Some(map) = message.downcast_object_ref::<JsonMap>() else {
        return message;
    };
    if map.get("role").and_then(Value::as_str) != Some("developer") {
        return message;
    }
    let mut renamed = JsonMap::with_capacity(2);
    for (key, value) in map.entries() {
        match key.as_str() {
            Some("role") => renamed.set("role", Value::from("system")),
            Some("tools") => {}
            _ => renamed.set_value(key.clone(), value.clone()),
        }
    }
    Value::from_object(renamed)
}

/// A message's content as text, its parts joined by newlines.
fn whole_text(message: &Value) -> String {
    let content = message
        .downcast_object_ref::<JsonMap>()
        .and_then(|map| map.get("content"));
    let Some(content) = content else {
        return String::new();
    };
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let texts = content.try_iter().into_iter().flatten().filter_map(|part| {
        let part = part.downcast_object_ref::<JsonMap>()?;
        part.get("text")?.as_str().map(str::to_owned)
    });
    texts.collect::<Vec<_>>().join("\n")
}
