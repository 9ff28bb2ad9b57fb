//! The chat that an engine makes of an OpenAI Responses request. Called by parse.rs. Source: vLLM
//! 0.32's conversion (entrypoints/openai/responses/utils.py, protocol.py; tool_parsers/utils.py).

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::converted_chat::{Conversion, ConvertedChat, Message, chat_body, function_tool, quoted};
use super::json_tape::Kind;
use super::messages::Source;

const BODY: u32 = 0;
/// What only the engine knows, or refuses.
const ENGINE_ONLY: [&str; 5] = [
    "previous_response_id",
    "previous_input_messages",
    "prompt",
    "mm_processor_kwargs",
    "media_io_kwargs",
];
const ROLES: [&str; 4] = ["user", "system", "developer", "assistant"];
const CUSTOM_TOOL_PARAMETERS: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The freeform text payload for this tool."}},"required":["input"],"additionalProperties":false}"#;

/// Null for what engines refuse, and for what only they know.
pub fn chat_of_responses(source: Source<'_>) -> Option<ConvertedChat> {
    if ENGINE_ONLY
        .iter()
        .any(|name| source.present(BODY, name).is_some())
    {
        return None;
    }
    let mut messages = Vec::new();
    let input = source.get(BODY, "input")?;
    let mut continues = false;
    if source.kind(input) == Kind::Text {
        messages.push(Message::of("user", source.json(input)));
    } else {
        for item in source.tape.items(source.of_kind(Some(input), Kind::Array)?) {
            add_item(source, item, &mut messages)?;
        }
        let last = source.tape.items(input).last();
        continues = last.is_some_and(|last| is_unfinished(source, last));
    }
    let instructions = source.spelled(BODY, "instructions")?;
    if !instructions.is_empty() {
        messages.insert(0, Message::of("system", quoted(instructions)));
    }
    let given = source.optional(BODY, "tools", Kind::Array)?;
    let given = given.filter(|given| source.tape.items(*given).next().is_some());
    let mut tools = String::from("null");
    if let Some(given) = given {
        let mut shown = Vec::new();
        for tool in source.tape.items(given) {
            add_tools(source, tool, &mut shown)?;
        }
        tools = format!("[{}]", shown.join(","));
    }
    let effort = match source.optional(BODY, "reasoning", Kind::Object)? {
        Some(reasoning) => source.optional(reasoning, "effort", Kind::Text)?,
        None => None,
    };
    let members = format!(
        r#","tools":{tools},"chat_template_kwargs":{},"reasoning_effort":{},"add_generation_prompt":{},"continue_final_message":{continues}"#,
        source.json_or_null(BODY, "chat_template_kwargs"),
        effort.map_or("null", |effort| source.json(effort)),
        !continues,
    );
    Some(ConvertedChat {
        body: chat_body(source.text.len(), &messages, &members),
        conversion: Conversion {
            merges_system: false,
            thinking_off: false,
            calls_by_name: true,
        },
    })
}

/// An answer, or thoughts, that the engine goes on with.
fn is_unfinished(source: Source<'_>, last: u32) -> bool {
    let kind = source.get(last, "type");
    let status = source.get(last, "status");
    (kind.is_none() || source.is(kind, "message") || source.is(kind, "reasoning"))
        && (source.is(status, "in_progress") || source.is(status, "incomplete"))
}

/// Functions, those of namespaces too, and custom tools as functions of one text; others are not shown.
fn add_tools(source: Source<'_>, tool: u32, tools: &mut Vec<String>) -> Option<()> {
    source.of_kind(Some(tool), Kind::Object)?;
    let kind = source.get(tool, "type");
    if source.is(kind, "function") {
        tools.push(function_of(source, tool, "")?);
    } else if source.is(kind, "custom") {
        if let Some(format) = source.optional(tool, "format", Kind::Object)?
            && source.is(source.get(format, "type"), "grammar")
        {
            // Engines refuse it.
            return None;
        }
        let name = source
            .tape
            .raw(source.text, source.required(tool, "name", Kind::Text)?);
        let description = source.json_or_null(tool, "description");
        tools.push(format!(
            r#"{{"type":"function","function":{{"name":"{name}","description":{description},"parameters":{CUSTOM_TOOL_PARAMETERS}}}}}"#
        ));
    } else if source.is(kind, "namespace") {
        let prefix = source
            .tape
            .raw(source.text, source.required(tool, "name", Kind::Text)?);
        let prefix = format!("{prefix}__");
        for inner in source
            .tape
            .items(source.required(tool, "tools", Kind::Array)?)
        {
            source.of_kind(Some(inner), Kind::Object)?;
            if source.is(source.get(inner, "type"), "function") {
                tools.push(function_of(source, inner, &prefix)?);
            }
        }
    }
    Some(())
}

fn function_of(source: Source<'_>, tool: u32, prefix: &str) -> Option<String> {
    let parameters = source.optional(tool, "parameters", Kind::Object)?;
    let parameters = parameters.map_or("null", |at| source.json(at));
    let name = source
        .tape
        .raw(source.text, source.required(tool, "name", Kind::Text)?);
    Some(function_tool(
        source,
        tool,
        &format!("{prefix}{name}"),
        parameters,
    ))
}

fn add_item<'b>(source: Source<'b>, item: u32, messages: &mut Vec<Message<'b>>) -> Option<()> {
    source.of_kind(Some(item), Kind::Object)?;
    let kind = source.present(item, "type");
    let is = |name| source.is(kind, name);
    let text = |name| {
        Some(
            source
                .tape
                .raw(source.text, source.required(item, name, Kind::Text)?),
        )
    };
    if kind.is_none() || is("message") {
        add_message(source, item, messages)?;
    } else if is("function_call") {
        let namespace = source.spelled(item, "namespace")?;
        let separator = if namespace.is_empty() { "" } else { "__" };
        let name = format!("{namespace}{separator}{}", text("name")?);
        let arguments = quoted(text("arguments")?);
        next_answer(messages, |_| true)?.add_call(text("call_id")?, &name, &arguments);
    } else if is("custom_tool_call") {
        let arguments = format!(r#"{{"input":"{}"}}"#, source.spelled(item, "input")?);
        next_answer(messages, |_| true)?.add_call(text("call_id")?, text("name")?, &arguments);
    } else if is("function_call_output") || is("custom_tool_call_output") {
        let output = source.get(item, "output");
        let is_text = source.of_kind(output, Kind::Text);
        let content = is_text.or_else(|| source.of_kind(output, Kind::Array))?;
        messages.push(Message {
            tool_call_id: Some(Cow::Owned(quoted(text("call_id")?))),
            ..Message::of("tool", source.json(content))
        });
    } else if is("reasoning") {
        let thoughts = Cow::Borrowed(thoughts_of(source, item)?);
        let into = next_answer(messages, |last| last.reasoning.is_none())?;
        into.reasoning = Some(thoughts);
    } else {
        return None;
    }
    Some(())
}

fn add_message<'b>(source: Source<'b>, item: u32, messages: &mut Vec<Message<'b>>) -> Option<()> {
    let role = source.get(item, "role");
    let role = ROLES.iter().find(|name| source.is(role, name)).copied()?;
    let content = source.get(item, "content")?;
    let is_text = source.kind(content) == Kind::Text;
    // Of an answer in several parts the engine takes the first.
    let first = if is_text {
        Some(content)
    } else {
        source
            .tape
            .items(source.of_kind(Some(content), Kind::Array)?)
            .next()
    };
    let Some(first) = first.filter(|_| role == "assistant") else {
        messages.push(Message::of(role, source.json(content)));
        return Some(());
    };
    let text = if is_text {
        first
    } else {
        source.of_kind(Some(first), Kind::Object)?;
        source.required(first, "text", Kind::Text)?
    };
    let into = next_answer(messages, |last| last.content.is_none())?;
    into.content = Some(Cow::Borrowed(source.json(text)));
    Some(())
}

/// As JSON.
fn thoughts_of(source: Source<'_>, item: u32) -> Option<&str> {
    if !source.spelled(item, "encrypted_content")?.is_empty() {
        return None;
    }
    let content = source.optional(item, "content", Kind::Array)?;
    let first = content.and_then(|content| source.tape.items(content).next());
    let first = match first {
        Some(first) => Some(first),
        None => source
            .tape
            .items(source.required(item, "summary", Kind::Array)?)
            .next(),
    };
    let Some(first) = first else {
        return Some(r#""""#);
    };
    source.of_kind(Some(first), Kind::Object)?;
    Some(source.json(source.required(first, "text", Kind::Text)?))
}

/// The parts of one answer are items of their own; they are one message until one comes twice.
fn next_answer<'b, 'm>(
    messages: &'m mut Vec<Message<'b>>,
    has_room: impl Fn(&Message<'b>) -> bool,
) -> Option<&'m mut Message<'b>> {
    let fits = |last: &Message<'b>| last.role == "assistant" && has_room(last);
    if !messages.last().is_some_and(fits) {
        messages.push(Message::of_role("assistant"));
    }
    messages.last_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::Route;
    use crate::prompt::json_tape::Tape;
    use crate::prompt::parse::plan_of;

    fn chat(body: &str) -> Option<String> {
        let mut tape = Tape::default();
        tape.read_body(body, plan_of(Route::Responses)).unwrap();
        let source = Source {
            text: body,
            tape: &tape,
        };
        chat_of_responses(source).map(|chat| chat.body)
    }

    #[test]
    fn items_of_one_answer_become_one_message() {
        let body = r#"{"instructions":"i","input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[],"content":[{"text":"why"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}","namespace":"n"},{"type":"custom_tool_call","call_id":"d","name":"p","input":"\n"},{"type":"function_call_output","call_id":"c","output":"o"}]}"#;
        let expected = r#"{"messages":[{"role":"system","content":"i"},{"role":"user","content":"a"},{"role":"assistant","reasoning":"why","tool_calls":[{"id":"c","type":"function","function":{"name":"n__f","arguments":"{}"}},{"id":"d","type":"function","function":{"name":"p","arguments":{"input":"\n"}}}]},{"role":"tool","content":"o","tool_call_id":"c"}],"tools":null,"chat_template_kwargs":null,"reasoning_effort":null,"add_generation_prompt":true,"continue_final_message":false}"#;
        assert_eq!(chat(body).as_deref(), Some(expected));
        for refused in [
            r#"{"input":"x","previous_response_id":"r"}"#,
            r#"{"input":[{"type":"item_reference","id":"x"}]}"#,
            r#"{"input":"x","tools":[{"type":"custom","name":"p","format":{"type":"grammar"}}]}"#,
            r#"{"input":[1]}"#,
        ] {
            assert_eq!(chat(refused), None, "{refused}");
        }
    }
}
