//! The render stage: a model's own chat template, compiled once, turns messages into the prompt
//! text, byte for byte as transformers' apply_chat_template does. Called by encode.rs.

#![deny(clippy::indexing_slicing)]

use std::sync::OnceLock;

use minijinja::Value;

use super::content_format::{ContentFormat, content_format};
use super::fast_chat::FastChat;
use super::json_tape::Kind;
use super::json_text::without_lone_surrogates;
use super::literals::{Literals, literals};
use super::messages::{MessageForm, Source, normalize_messages, normalize_tools, plain_message};
use super::parse::Chat;
use super::python_print::text_of;
use super::python_strings::{Side, strip};
use super::strftime::LocalTime;
use super::system_messages::{with_system_first, without_developers};
use super::template::{CompiledTemplate, RenderFailure};
use super::template_probes::{thinking_off_effort, wants_system_first};
use super::values::{JsonMap, double, to_map};

/// A model's templates: `tool_use` is taken for requests with tools, where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSet {
    pub text: String,
    pub tool_use: Option<String>,
}

/// What apply_chat_template is given besides the template.
pub struct RenderInput {
    pub messages: Vec<Value>,
    pub tools: Option<Value>,
    pub documents: Option<Value>,
    pub add_generation_prompt: bool,
    pub continue_final_message: bool,
    pub variables: JsonMap,
    /// About how long the text will be.
    pub size_hint: usize,
}

impl RenderInput {
    fn of(messages: Vec<Value>) -> Self {
        Self {
            messages,
            tools: None,
            documents: None,
            add_generation_prompt: true,
            continue_final_message: false,
            variables: JsonMap::default(),
            size_hint: 1024,
        }
    }
}

struct Template {
    compiled: CompiledTemplate,
    format: ContentFormat,
    knows_developers: bool,
}

/// Renders the chats of one model.
pub struct ChatRenderer {
    main: Template,
    tool_use: Option<Template>,
    special_tokens: Vec<(String, Value)>,
    /// Null when every chat goes through the template.
    fast: Option<FastChat>,
    // Found out when first asked for.
    system_first: OnceLock<bool>,
    thinking_off: OnceLock<&'static str>,
}

impl ChatRenderer {
    /// Compiles; says why when a template cannot be parsed.
    pub fn new(
        templates: &TemplateSet,
        special_tokens: &[(String, String)],
        now: fn() -> LocalTime,
    ) -> Result<Self, String> {
        let mut looked_for = Literals::default();
        let mut compile = |source: &str| -> Result<Template, String> {
            let mut format = ContentFormat::Text;
            let compiled = CompiledTemplate::compile(source, now, |tree| {
                format = content_format(tree);
                looked_for.add(literals(tree));
            })?;
            Ok(Template {
                compiled,
                format,
                knows_developers: source.contains("\"developer\"")
                    || source.contains("'developer'"),
            })
        };
        let named = |(name, text): &(String, String)| (name.clone(), Value::from(text.as_str()));
        let mut renderer = Self {
            main: compile(&templates.text)?,
            tool_use: templates
                .tool_use
                .as_deref()
                .map(&mut compile)
                .transpose()?,
            special_tokens: special_tokens.iter().map(named).collect(),
            fast: None,
            system_first: OnceLock::new(),
            thinking_off: OnceLock::new(),
        };
        let sources = [Some(&templates.text), templates.tool_use.as_ref()];
        let source: String = sources.into_iter().flatten().map(String::as_str).collect();
        renderer.fast = FastChat::learn(&renderer, &source, looked_for);
        Ok(renderer)
    }

    /// Whether plain chats are put together without the template.
    pub fn is_fast(&self) -> bool {
        self.fast.is_some()
    }

    fn template(&self, has_tools: bool) -> &Template {
        match &self.tool_use {
            Some(template) if has_tools => template,
            _ => &self.main,
        }
    }

    /// Renders a client's chat.
    pub fn render_chat(&self, source: Source<'_>, chat: &Chat) -> Result<String, RenderFailure> {
        let fast = self
            .fast
            .as_ref()
            .and_then(|fast| fast.render(self, source, chat));
        match fast {
            Some(text) => Ok(without_lone_surrogates(text)),
            None => self.render_by_template(source, chat),
        }
    }

    /// Renders plain turns; contents are given as texts, whatever form the template wants.
    pub(super) fn render_texts(
        &self,
        source: Source<'_>,
        tools: Option<u32>,
        turns: &[(&str, Value)],
    ) -> Result<String, RenderFailure> {
        let format = self.template(tools.is_some()).format;
        let message = |(role, text): &(&str, Value)| plain_message(role, text.clone(), format);
        self.render(RenderInput {
            tools: tools.map(|tools| normalize_tools(source, tools)),
            ..RenderInput::of(turns.iter().map(message).collect())
        })
    }

    /// Renders a client's chat by the template, whatever it is.
    pub fn render_by_template(
        &self,
        source: Source<'_>,
        chat: &Chat,
    ) -> Result<String, RenderFailure> {
        let template = self.template(chat.tools.is_some());
        let asks = chat.conversion.as_ref();
        let effort = if asks.is_some_and(|asks| asks.thinking_off) {
            Some(Value::from(self.thinking_off()))
        } else {
            chat.reasoning_effort.map(|at| effort_value(source, at))
        };
        let form = MessageForm {
            format: template.format,
            calls_by_name: asks.is_some_and(|asks| asks.calls_by_name),
            marks_media: chat.has_media,
        };
        let mut messages = normalize_messages(source, chat.messages, form);
        if asks.is_some_and(|asks| asks.merges_system) && self.wants_system_first() {
            messages = with_system_first(source, chat.messages, messages, template.format);
        }
        if !template.knows_developers {
            messages = without_developers(messages);
        }
        let mut variables = JsonMap::with_capacity(12);
        if let Some(effort) = &effort {
            // An effort switches thinking on or off where the template knows that variable.
            variables.set(
                "enable_thinking",
                Value::from(effort.as_str() != Some("none")),
            );
        }
        if let Some(arguments) = chat.template_arguments {
            for (name, value) in to_map(source.text, source.tape, arguments).entries() {
                variables.set_value(name.clone(), value.clone());
            }
        }
        if let Some(effort) = effort {
            variables.set("reasoning_effort", effort);
        }
        self.render(RenderInput {
            messages,
            tools: chat.tools.map(|tools| normalize_tools(source, tools)),
            documents: chat.documents.map(|at| source.value(at)),
            add_generation_prompt: chat.add_generation_prompt,
            continue_final_message: chat.continue_final_message,
            variables,
            size_hint: source.text.len() + source.text.len() / 8,
        })
        .map(without_lone_surrogates)
        .map_err(|failure| match failure {
            RenderFailure::Refused(reason) => {
                RenderFailure::Refused(without_lone_surrogates(reason))
            }
            failed => failed,
        })
    }

    fn wants_system_first(&self) -> bool {
        *self.system_first.get_or_init(|| {
            let tools = [None, Some(Value::from(Vec::<Value>::new()))];
            tools.into_iter().any(|tools| {
                wants_system_first(|messages| {
                    let input = RenderInput {
                        tools: tools.clone(),
                        add_generation_prompt: false,
                        ..RenderInput::of(messages)
                    };
                    self.render(input).ok()
                })
            })
        })
    }

    fn thinking_off(&self) -> &'static str {
        self.thinking_off.get_or_init(|| {
            thinking_off_effort(|effort| {
                let message = plain_message("user", Value::from("Hi"), self.main.format);
                let mut variables = JsonMap::with_capacity(2);
                variables.set("enable_thinking", Value::from(effort != "none"));
                variables.set("reasoning_effort", Value::from(effort));
                let input = RenderInput {
                    variables,
                    ..RenderInput::of(vec![message])
                };
                self.render(input).ok()
            })
        })
    }

    /// apply_chat_template: messages are given to the template as they are.
    pub fn render(&self, input: RenderInput) -> Result<String, RenderFailure> {
        let template = self.template(input.tools.is_some());
        let final_text = final_text(&input.messages);
        let mut messages = input.messages;
        if input.continue_final_message {
            tag_final(&mut messages)?;
        }
        let mut variables = JsonMap::with_capacity(16);
        variables.set("messages", Value::from(messages));
        variables.set("tools", input.tools.unwrap_or(Value::from(())));
        variables.set(
            "add_generation_prompt",
            Value::from(input.add_generation_prompt),
        );
        let given = input.variables.get("documents").cloned();
        let documents = input.documents.or(given);
        variables.set("documents", documents.unwrap_or(Value::from(())));
        let set: [&str; 4] = ["messages", "tools", "add_generation_prompt", "documents"];
        for (name, value) in &self.special_tokens {
            variables.set(name, value.clone());
        }
        for (name, value) in input.variables.entries() {
            if name.as_str().is_some_and(|name| !set.contains(&name)) {
                variables.set_value(name.clone(), value.clone());
            }
        }
        let text = template.compiled.render(variables, input.size_hint)?;
        if !input.continue_final_message {
            return Ok(text);
        }
        cut_at_tag(text, &final_text, template.compiled.source)
    }
}

/// The spelling of a number in this member is not kept.
fn effort_value(source: Source<'_>, at: u32) -> Value {
    match source.tape.node(at).kind {
        Kind::Number => double(source.tape.raw(source.text, at)),
        _ => source.value(at),
    }
}

/// transformers marks the end of the final message, renders, and cuts there.
const TAG: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

fn tag_final(messages: &mut [Value]) -> Result<(), RenderFailure> {
    let Some(last) = messages.last_mut() else {
        return Ok(());
    };
    let Some(map) = last.downcast_object_ref::<JsonMap>() else {
        return Ok(());
    };
    let content = map.get("content").cloned().unwrap_or_default();
    let tagged = match content.as_str() {
        Some(text) => Value::from(format!("{text}{TAG}")),
        None => tag_parts(&content).ok_or_else(|| {
            let problem = "continue_final_message: the final message has no text to continue";
            RenderFailure::Refused(problem.to_owned())
        })?,
    };
    *last = with_entry(map, "content", tagged);
    Ok(())
}

fn tag_parts(content: &Value) -> Option<Value> {
    let mut parts: Vec<Value> = parts_of(content)?;
    let at = parts.iter().rposition(|part| text_in(part).is_some())?;
    let part = parts.get_mut(at)?;
    let text = text_of(&text_in(part)?);
    let map = part.downcast_object_ref::<JsonMap>()?;
    *part = with_entry(map, "text", Value::from(format!("{text}{TAG}")));
    Some(Value::from(parts))
}

fn parts_of(content: &Value) -> Option<Vec<Value>> {
    let is_list = content.kind() == minijinja::value::ValueKind::Seq;
    is_list.then(|| content.try_iter().into_iter().flatten().collect())
}

fn text_in(part: &Value) -> Option<Value> {
    part.downcast_object_ref::<JsonMap>()?.get("text").cloned()
}

fn with_entry(map: &JsonMap, name: &str, value: Value) -> Value {
    let mut copy = JsonMap::with_capacity(map.entries().len());
    for (key, value) in map.entries() {
        copy.set_value(key.clone(), value.clone());
    }
    copy.set(name, value);
    Value::from_object(copy)
}

fn final_text(messages: &[Value]) -> String {
    let last = messages
        .last()
        .and_then(|last| last.downcast_object_ref::<JsonMap>());
    let Some(content) = last.and_then(|last| last.get("content")) else {
        return String::new();
    };
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = parts_of(content).unwrap_or_default();
    let text = parts.iter().rev().find_map(text_in);
    text.map(|text| text_of(&text)).unwrap_or_default()
}

fn cut_at_tag(text: String, last: &str, source: &str) -> Result<String, RenderFailure> {
    let at = text.rfind(TAG.trim());
    let drops = !source.contains("content") || !text.contains(strip(last, None, Side::Both));
    let Some(at) = at.filter(|_| !drops) else {
        let problem = "continue_final_message: the template drops the final message";
        return Err(RenderFailure::Refused(problem.to_owned()));
    };
    let (head, tail) = text.split_at(at);
    // A template that trims the message also trims the tag's trailing space.
    let head = if tail.starts_with(TAG) {
        head
    } else {
        strip(head, None, Side::Right)
    };
    Ok(head.to_owned())
}
