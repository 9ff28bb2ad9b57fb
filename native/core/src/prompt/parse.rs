//! From body bytes to a checked request: what is refused, what is stripped, what the prompt is made
//! of. Only what routing and the prompt depend on is checked; sampling parameters are the engine's
//! business. Says exactly what the portable core's `parse.ts` says. Called for every request.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::anthropic::chat_of_messages;
use super::body_fields::{Body, invalid};
use super::completion::{read_completion, read_generate, read_token_ids};
use super::converted_chat::{Conversion, ConvertedChat};
use super::json_scan::{not_plain_utf8, push_cuts, refusal_of};
use super::json_tape::{Kind, Plan, Tape};
use super::json_text::{forget_lone_surrogates, utf16_length, well_formed};
use super::media::ChatMedia;
use super::messages::Source;
use super::no_match::NoMatch;
use super::refusal::Refusal;
use super::responses::chat_of_responses;
use crate::layout::error;
use crate::prepare::Route;

/// What the template is given; positions on the tape, messages as the client wrote them.
#[derive(Clone, Copy, Debug)]
pub struct Chat {
    pub messages: u32,
    pub tools: Option<u32>,
    pub documents: Option<u32>,
    pub reasoning_effort: Option<u32>,
    pub add_generation_prompt: bool,
    pub continue_final_message: bool,
    pub add_special_tokens: bool,
    pub template_arguments: Option<u32>,
    /// Only the text before the first of its media is matched: what they become only engines know.
    pub has_media: bool,
    /// Of a chat that was made of another API's request; null for a client's own.
    pub conversion: Option<Conversion>,
}

#[derive(Debug)]
pub enum Prompt<'b> {
    Chat(Chat),
    Text {
        text: Cow<'b, str>,
        add_special_tokens: bool,
    },
    Tokens(Vec<u32>),
    /// Nothing to match, and why.
    Nothing(NoMatch),
}

#[derive(Debug)]
pub struct Request<'b> {
    /// `model`, empty when the body has none.
    pub model: Cow<'b, str>,
    /// Bytes of the model's name as JSON string inside the body; 0 long when absent.
    pub model_offset: u32,
    pub model_bytes: u32,
    pub stream: bool,
    pub priority: i32,
    pub cache_salt: Cow<'b, str>,
    /// Ranges (offset, length) to cut from the body before it is sent on.
    pub cuts: Vec<(u32, u32)>,
    pub prompt: Prompt<'b>,
    /// Images, audio and video of a chat.
    pub media: ChatMedia<'b>,
    /// The body that the tape is of, where the chat was made of another API's request.
    pub made: Option<String>,
}

/// cache_salt of vLLM: 1…1024 characters.
const CACHE_SALT_LENGTH_MAX: usize = 1024;
/// Longer than any repository path; names are read again by the main thread.
const MODEL_NAME_LENGTH_MAX: usize = 1024;
const XARGS: &str = "vllm_xargs";
/// They let a client replace the prompt or point an engine at a foreign KV source.
const STRIPPED: [&str; 5] = [
    "kv_transfer_params",
    "ec_transfer_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
];
/// Re-announces stored blocks, which breaks reference counts.
const STRIPPED_XARGS: [&str; 1] = ["kv_cache_report_mode"];

/// Members that prompts are made of, of which every value is read and counted. Elsewhere `input` may
/// be a list of texts or token ids to embed.
pub(super) fn plan_of(route: Route) -> &'static Plan {
    macro_rules! plan {
        ($($more:literal),*) => {
            &Plan {
                whole: &[
                    "messages",
                    "tools",
                    "documents",
                    "chat_template_kwargs",
                    "reasoning_effort",
                    $($more),*
                ],
                noted: XARGS,
            }
        };
    }
    match route {
        Route::Messages => plan!("system", "thinking", "output_config"),
        Route::Responses => plan!("input", "reasoning"),
        _ => plan!(),
    }
}

/// Checks one body. The tape holds what the request's positions mean until it is used again.
pub fn parse_request<'b>(
    bytes: &'b [u8],
    route: Route,
    tape: &mut Tape,
) -> Result<Request<'b>, Refusal> {
    forget_lone_surrogates();
    if let Some(reason) = unread(route)
        && !begins_as_object(bytes)
    {
        return Ok(nothing(reason));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(not_plain_utf8(bytes));
    };
    let plan = plan_of(route);
    if let Err(trouble) = tape.read_body(text, plan) {
        return Err(refusal_of(text, plan, trouble));
    }
    let request = Body { text, tape }.read(route)?;
    let source = Source { text, tape };
    let converted = match route {
        Route::Messages => chat_of_messages(source),
        Route::Responses => chat_of_responses(source),
        _ => return Ok(request),
    };
    Ok(match converted {
        Some(converted) => with_chat(request, converted, tape),
        None => request,
    })
}

/// The request with the chat that was made of it; what is wrong with it is for the engine to say.
fn with_chat<'b>(request: Request<'b>, converted: ConvertedChat, tape: &mut Tape) -> Request<'b> {
    let ConvertedChat { body, conversion } = converted;
    if tape
        .read_made(&body, plan_of(Route::ChatCompletions))
        .is_err()
    {
        return request;
    }
    let mut media = ChatMedia::default();
    let text = body.as_str();
    let Ok(prompt) = (Body { text, tape }).chat(&mut media, Some(conversion)) else {
        return request;
    };
    let media = media.into_owned();
    let prompt = match prompt {
        Prompt::Chat(chat) => Prompt::Chat(chat),
        _ => Prompt::Nothing(NoMatch::ExtraKeys),
    };
    Request {
        prompt,
        media,
        made: Some(body),
        ..request
    }
}

/// Why the prompts of a route whose bodies need not be JSON are not matched.
fn unread(route: Route) -> Option<NoMatch> {
    match route {
        Route::Passthrough => Some(NoMatch::NotAPrompt),
        Route::Messages | Route::Responses => Some(NoMatch::PromptNotRead),
        _ => None,
    }
}

fn nothing(reason: NoMatch) -> Request<'static> {
    Request {
        model: Cow::Borrowed(""),
        model_offset: 0,
        model_bytes: 0,
        stream: false,
        priority: 0,
        cache_salt: Cow::Borrowed(""),
        cuts: Vec::new(),
        prompt: Prompt::Nothing(reason),
        media: ChatMedia::default(),
        made: None,
    }
}

fn begins_as_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| **byte > 0x20) == Some(&b'{')
}

impl<'b> Body<'b, '_> {
    fn read(&self, route: Route) -> Result<Request<'b>, Refusal> {
        if self.tape.node(0).kind != Kind::Object {
            let detail = "the body must be a JSON object".to_owned();
            return Err(Refusal::new(error::INVALID_BODY, detail, None));
        }
        self.refuse_templates()?;
        let cache_salt = self.string("cache_salt")?;
        if let Some(salt) = &cache_salt
            && (salt.is_empty() || utf16_length(salt) > CACHE_SALT_LENGTH_MAX)
        {
            let problem = format!("must be a string of 1 to {CACHE_SALT_LENGTH_MAX} characters");
            return Err(invalid("cache_salt", &problem));
        }
        let model = self.string("model")?.unwrap_or_default();
        if utf16_length(&model) > MODEL_NAME_LENGTH_MAX {
            let problem = format!("must be at most {MODEL_NAME_LENGTH_MAX} characters");
            return Err(invalid("model", &problem));
        }
        let member = self
            .tape
            .member(self.text, "model")
            .map(|(member, _)| member);
        let stream = self.boolean("stream", false)?;
        let priority = self.priority()?;
        let mut media = ChatMedia::default();
        Ok(Request {
            model,
            model_offset: member.map_or(0, |member| member.value_start),
            model_bytes: member.map_or(0, |member| member.end - member.value_start),
            stream,
            priority,
            cache_salt: well_formed(cache_salt.unwrap_or_default()),
            cuts: self.cuts(),
            prompt: match route {
                Route::ChatCompletions => self.chat(&mut media, None)?,
                Route::Completions => read_completion(self)?,
                Route::VllmGenerate => read_token_ids(self)?,
                Route::SglangGenerate => read_generate(self)?,
                Route::Passthrough => Prompt::Nothing(NoMatch::NotAPrompt),
                Route::Messages | Route::Responses => Prompt::Nothing(NoMatch::PromptNotRead),
            },
            media,
            made: None,
        })
    }

    fn cuts(&self) -> Vec<(u32, u32)> {
        let mut cuts = Vec::new();
        let among = |names: &'static [&str]| {
            move |member: &_| {
                names
                    .iter()
                    .any(|name| self.tape.name_is(self.text, member, name))
            }
        };
        push_cuts(&self.tape.members, among(&STRIPPED), &mut cuts);
        push_cuts(&self.tape.noted, among(&STRIPPED_XARGS), &mut cuts);
        cuts.sort_unstable();
        cuts
    }

    /// A template of the client's own would let it run code in the engine and break every
    /// prediction.
    fn refuse_templates(&self) -> Result<(), Refusal> {
        let arguments = self.member("chat_template_kwargs");
        let inside = arguments
            .and_then(|at| self.tape.get(self.text, at, "chat_template"))
            .is_some_and(|at| self.kind(at) != Kind::Null);
        if !inside && !self.has("chat_template") {
            return Ok(());
        }
        let param = if inside {
            "chat_template_kwargs.chat_template"
        } else {
            "chat_template"
        };
        let detail =
            format!("{param}: requests may not bring their own chat template; remove the field");
        Err(Refusal::new(
            error::TEMPLATE_NOT_ALLOWED,
            detail,
            Some(param.to_owned()),
        ))
    }

    fn chat(
        &self,
        media: &mut ChatMedia<'b>,
        conversion: Option<Conversion>,
    ) -> Result<Prompt<'b>, Refusal> {
        let messages = self.array("messages", self.member("messages"))?;
        if self.tape.items(messages).next().is_none() {
            return Err(invalid("messages", "must hold at least one message"));
        }
        for (at, message) in self.tape.items(messages).enumerate() {
            self.check_message(at, message)?;
        }
        let tools = self.present("tools");
        if tools.is_some() {
            self.array("tools", tools)?;
        }
        let template_arguments = self.present("chat_template_kwargs");
        if let Some(arguments) = template_arguments
            && self.kind(arguments) != Kind::Object
        {
            let problem = format!("must be an object, got {}", self.kind_of(Some(arguments)));
            return Err(invalid("chat_template_kwargs", &problem));
        }
        let add_generation_prompt = self.boolean("add_generation_prompt", true)?;
        let continue_final_message = self.boolean("continue_final_message", false)?;
        if add_generation_prompt && continue_final_message {
            let problem = "cannot be used together with add_generation_prompt";
            return Err(invalid("continue_final_message", problem));
        }
        for message in self.tape.items(messages) {
            media.read(self.text, self.tape, message);
        }
        if self.needs_engine() {
            return Ok(Prompt::Nothing(NoMatch::ExtraKeys));
        }
        Ok(Prompt::Chat(Chat {
            messages,
            // An empty list is none in a chat; that of another API's request is given to the template.
            tools: tools
                .filter(|tools| conversion.is_some() || self.tape.items(*tools).next().is_some()),
            documents: self.present("documents"),
            reasoning_effort: self.present("reasoning_effort"),
            add_generation_prompt,
            continue_final_message,
            add_special_tokens: self.boolean("add_special_tokens", false)?,
            template_arguments,
            has_media: media.in_keys,
            conversion,
        }))
    }

    fn check_message(&self, at: usize, message: u32) -> Result<(), Refusal> {
        if self.kind(message) != Kind::Object {
            let problem = format!("must be an object, got {}", self.kind_of(Some(message)));
            return Err(invalid(&format!("messages[{at}]"), &problem));
        }
        let role = self.tape.get(self.text, message, "role");
        if role.map(|role| self.kind(role)) != Some(Kind::Text) {
            let problem = format!("must be a string, got {}", self.kind_of(role));
            return Err(invalid(&format!("messages[{at}].role"), &problem));
        }
        let content = self.tape.get(self.text, message, "content");
        match content.map(|content| self.kind(content)) {
            None | Some(Kind::Null | Kind::Text | Kind::Array) => Ok(()),
            Some(_) => {
                let kind = self.kind_of(content);
                let problem = format!("must be a string or an array of parts, got {kind}");
                Err(invalid(&format!("messages[{at}].content"), &problem))
            }
        }
    }
}
