//! The chat that an engine makes of an Anthropic Messages request. Called by parse.rs. Source: vLLM
//! 0.32's conversion (entrypoints/anthropic/serving.py, protocol.py).

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::converted_chat::{Conversion, ConvertedChat, Message, chat_body, function_tool, quoted};
use super::json_tape::Kind;
use super::messages::{BILLING_HEADER, Source};

const BODY: u32 = 0;
const THINKING: [&str; 3] = ["enabled", "adaptive", "disabled"];
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Null for what engines refuse, and for changes of tools within the messages.
pub fn chat_of_messages(source: Source<'_>) -> Option<ConvertedChat> {
    let mut messages = Vec::new();
    let system = system_text(source)?;
    if !system.is_empty() {
        messages.push(Message::of("system", quoted(&system)));
    }
    for message in source
        .tape
        .items(source.required(BODY, "messages", Kind::Array)?)
    {
        add_message(source, message, &mut messages)?;
    }
    let thinking = match source.optional(BODY, "thinking", Kind::Object)? {
        Some(thinking) => Some(one_of(source, source.get(thinking, "type"), &THINKING)?),
        None => None,
    };
    let effort = match source.optional(BODY, "output_config", Kind::Object)? {
        Some(config) => source.present(config, "effort"),
        None => None,
    };
    let mut members = String::new();
    if let Some(tools) = source.optional(BODY, "tools", Kind::Array)? {
        let tools = source.tape.items(tools).map(|tool| tool_of(source, tool));
        members += &format!(
            r#","tools":[{}]"#,
            tools.collect::<Option<Vec<_>>>()?.join(",")
        );
    }
    members += r#","chat_template_kwargs":"#;
    members += source.json_or_null(BODY, "chat_template_kwargs");
    if let Some(effort) = effort {
        members += &format!(
            r#","reasoning_effort":"{}""#,
            one_of(source, Some(effort), &EFFORTS)?
        );
    }
    Some(ConvertedChat {
        body: chat_body(source.text.len(), &messages, &members),
        conversion: Conversion {
            merges_system: true,
            thinking_off: thinking == Some("disabled"),
            calls_by_name: false,
        },
    })
}

fn one_of(source: Source<'_>, at: Option<u32>, known: &[&'static str]) -> Option<&'static str> {
    known.iter().find(|name| source.is(at, name)).copied()
}

fn tool_of(source: Source<'_>, tool: u32) -> Option<String> {
    let schema = source.required(tool, "input_schema", Kind::Object)?;
    let name = source.required(tool, "name", Kind::Text)?;
    let parameters = source.json(schema);
    let parameters = match source.get(schema, "type") {
        Some(_) => Cow::Borrowed(parameters),
        None => {
            let comma = if source.tape.entries(schema).next().is_some() {
                ","
            } else {
                ""
            };
            let open = parameters.strip_suffix('}')?;
            Cow::Owned(format!(r#"{open}{comma}"type":"object"}}"#))
        }
    };
    let name = source.tape.raw(source.text, name);
    Some(function_tool(source, tool, name, &parameters))
}

/// Of the request's own system prompt, which as one text is taken whole.
fn system_text(source: Source<'_>) -> Option<Cow<'_, str>> {
    let Some(system) = source.present(BODY, "system") else {
        return Some(Cow::Borrowed(""));
    };
    if source.kind(system) == Kind::Text {
        return Some(Cow::Borrowed(source.tape.raw(source.text, system)));
    }
    text_of_blocks(source, source.of_kind(Some(system), Kind::Array)?).map(Cow::Owned)
}

fn text_of_blocks(source: Source<'_>, blocks: u32) -> Option<String> {
    let mut out = String::new();
    for block in source.tape.items(blocks) {
        source.of_kind(Some(block), Kind::Object)?;
        let kind = source.get(block, "type");
        // They change the tools.
        if source.is(kind, "tool_addition") || source.is(kind, "tool_removal") {
            return None;
        }
        if !source.is(kind, "text") {
            continue;
        }
        if let Some(text) = source.optional(block, "text", Kind::Text)?
            && !source.tape.begins(source.text, text, BILLING_HEADER)
        {
            out.push_str(source.tape.raw(source.text, text));
        }
    }
    Some(out)
}

fn add_message<'b>(
    source: Source<'b>,
    message: u32,
    messages: &mut Vec<Message<'b>>,
) -> Option<()> {
    source.of_kind(Some(message), Kind::Object)?;
    let role = source.get(message, "role");
    let content = source.get(message, "content")?;
    let is_text = source.kind(content) == Kind::Text;
    if !is_text {
        source.of_kind(Some(content), Kind::Array)?;
    }
    if source.is(role, "system") {
        let text = if is_text {
            Cow::Borrowed(source.tape.raw(source.text, content))
        } else {
            Cow::Owned(text_of_blocks(source, content)?)
        };
        let is_billing = is_text && source.tape.begins(source.text, content, BILLING_HEADER);
        if !text.is_empty() && !is_billing {
            messages.push(Message::of("system", quoted(&text)));
        }
        return Some(());
    }
    let role = one_of(source, role, &["user", "assistant"])?;
    if is_text {
        messages.push(Message::of(role, source.json(content)));
        return Some(());
    }
    let mut parts = Parts::default();
    for block in source.tape.items(content) {
        add_block(source, block, role, &mut parts, messages)?;
    }
    let message = parts.message(role);
    if role == "assistant" || message.content.is_some() {
        messages.push(message);
    }
    Some(())
}

/// What the blocks of one message become.
#[derive(Default)]
struct Parts<'b> {
    reasoning: Option<String>,
    calls: Message<'b>,
    /// Parts of a chat as JSON.
    parts: Vec<String>,
    /// The last text among them, as JSON.
    text: Option<&'b str>,
}

impl<'b> Parts<'b> {
    fn message(self, role: &'static str) -> Message<'b> {
        let content = match (self.text, self.parts.len()) {
            (_, 0) => None,
            (Some(text), 1) => Some(Cow::Borrowed(text)),
            _ => Some(Cow::Owned(format!("[{}]", self.parts.join(",")))),
        };
        Message {
            role,
            content,
            reasoning: self.reasoning.map(|text| Cow::Owned(quoted(&text))),
            ..self.calls
        }
    }
}

/// Results of tools become messages of their own, before that of the text beside them.
fn add_block<'b>(
    source: Source<'b>,
    block: u32,
    role: &str,
    to: &mut Parts<'b>,
    messages: &mut Vec<Message<'b>>,
) -> Option<()> {
    source.of_kind(Some(block), Kind::Object)?;
    let kind = source.get(block, "type");
    let is = |name| source.is(kind, name);
    if is("text") {
        if let Some(text) = source.optional(block, "text", Kind::Text)?
            && !source.tape.raw(source.text, text).is_empty()
        {
            let json = source.json(text);
            to.parts.push(format!(r#"{{"type":"text","text":{json}}}"#));
            to.text = Some(json);
        }
    } else if is("image") {
        if let Some(image) = source.optional(block, "source", Kind::Object)?
            && source.tape.entries(image).next().is_some()
        {
            to.parts.push(image_part(&image_url(source, image)?));
        }
    } else if is("thinking") {
        if let Some(thinking) = source.optional(block, "thinking", Kind::Text)? {
            let thoughts = to.reasoning.get_or_insert_default();
            thoughts.push_str(source.tape.raw(source.text, thinking));
        }
    } else if is("tool_use") {
        let id = source.required(block, "id", Kind::Text)?;
        let id = source.tape.raw(source.text, id);
        // The engine makes one up.
        if id.is_empty() {
            return None;
        }
        let input = source.optional(block, "input", Kind::Object)?;
        let arguments = input.map_or("{}", |input| source.json(input));
        to.calls
            .add_call(id, source.spelled(block, "name")?, arguments);
    } else if is("tool_result") {
        if role != "user" {
            return None;
        }
        add_tool_result(source, block, messages)?;
    } else if !is("redacted_thinking") && !is("tool_reference") {
        return None;
    }
    Some(())
}

fn add_tool_result<'b>(
    source: Source<'b>,
    block: u32,
    messages: &mut Vec<Message<'b>>,
) -> Option<()> {
    let mut images = Vec::new();
    let text = match source.present(block, "content") {
        None => Cow::Borrowed(r#""""#),
        Some(content) if source.kind(content) == Kind::Text => Cow::Borrowed(source.json(content)),
        Some(content) => {
            let items = source.of_kind(Some(content), Kind::Array)?;
            Cow::Owned(quoted(&text_of_result(source, items, &mut images)?))
        }
    };
    messages.push(Message {
        tool_call_id: Some(Cow::Owned(quoted(source.spelled(block, "tool_use_id")?))),
        ..Message::of("tool", text)
    });
    if !images.is_empty() {
        messages.push(Message::of("user", format!("[{}]", images.join(","))));
    }
    Some(())
}

/// Its texts as they are spelled, joined by newlines.
fn text_of_result(source: Source<'_>, items: u32, images: &mut Vec<String>) -> Option<String> {
    let mut texts = Vec::new();
    for item in source.tape.items(items) {
        source.of_kind(Some(item), Kind::Object)?;
        let kind = source.get(item, "type");
        if source.is(kind, "text") {
            texts.push(field(source, item, "text", "")?);
        } else if source.is(kind, "image") {
            let image = source.optional(item, "source", Kind::Object)?;
            let url = match image {
                Some(image) => image_url(source, image)?,
                None => data_url("image/jpeg", ""),
            };
            if !url.is_empty() {
                images.push(image_part(&url));
            }
        } else if source.is(kind, "tool_reference") {
            // Templates that know them declare the tools anew.
            return None;
        }
    }
    Some(texts.join("\\n"))
}

/// A text as it is spelled; null is none.
fn field<'b>(source: Source<'b>, object: u32, name: &str, absent: &'b str) -> Option<&'b str> {
    match source.get(object, name) {
        None => Some(absent),
        at => Some(
            source
                .tape
                .raw(source.text, source.of_kind(at, Kind::Text)?),
        ),
    }
}

fn image_url(source: Source<'_>, image: u32) -> Option<String> {
    if source.is(source.get(image, "type"), "url") {
        return field(source, image, "url", "").map(str::to_owned);
    }
    let media = field(source, image, "media_type", "image/jpeg")?;
    Some(data_url(media, field(source, image, "data", "")?))
}

fn data_url(media: &str, data: &str) -> String {
    format!("data:{media};base64,{data}")
}

/// As a part of a chat, so that the same image has the same name in all APIs.
fn image_part(url: &str) -> String {
    format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::Route;
    use crate::prompt::json_tape::Tape;
    use crate::prompt::parse::plan_of;

    fn chat(body: &str) -> Option<String> {
        let mut tape = Tape::default();
        tape.read_body(body, plan_of(Route::Messages)).unwrap();
        let source = Source {
            text: body,
            tape: &tape,
        };
        chat_of_messages(source).map(|chat| chat.body)
    }

    #[test]
    fn blocks_become_messages_of_a_chat() {
        let body = r#"{"system":[{"type":"text","text":"a\n"},{"type":"text","text":"x-anthropic-billing-header: 1"},{"type":"text","text":"b"}],"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"why"},{"type":"tool_use","id":"t","name":"f","input":{"n":1.0}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"},{"type":"text","text":"s"}]},{"type":"text","text":"q"}]}],"tools":[{"name":"f","input_schema":{ }}]}"#;
        let expected = r#"{"messages":[{"role":"system","content":"a\nb"},{"role":"assistant","reasoning":"why","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":{"n":1.0}}}]},{"role":"tool","content":"r\ns","tool_call_id":"t"},{"role":"user","content":"q"}],"tools":[{"type":"function","function":{"name":"f","description":null,"parameters":{ "type":"object"},"strict":null,"defer_loading":null}}],"chat_template_kwargs":null}"#;
        assert_eq!(chat(body).as_deref(), Some(expected));
        for refused in [
            r#"{"messages":[{"role":"tool","content":"x"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":5}]}]}"#,
            r#"{"messages":[],"tools":[{"name":"f"}]}"#,
            r#"{"messages":[],"thinking":{"type":"off"}}"#,
        ] {
            assert_eq!(chat(refused), None, "{refused}");
        }
    }
}
