//! From body bytes to a checked request: what is refused, what is stripped, what the prompt is made
//! of. Only what routing and the prompt depend on is checked; sampling parameters are the engine's
//! business. Says exactly what the portable core's `parse.ts` says. Called for every request.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::completion::{read_completion, read_generate, read_token_ids};
use super::json_scan::{RENDERED, not_plain_utf8, push_cuts, refusal_of};
use super::json_tape::{Kind, Plan, Tape};
use super::json_text::{forget_lone_surrogates, javascript_number, utf16_length, well_formed};
use super::media::ChatMedia;
use super::no_match::NoMatch;
use super::refusal::Refusal;
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
}

/// cache_salt of vLLM: 1…1024 characters.
const CACHE_SALT_LENGTH_MAX: usize = 1024;
/// Longer than any repository path; names are read again by the main thread.
const MODEL_NAME_LENGTH_MAX: usize = 1024;
const PRIORITY_MAX: f64 = 2_147_483_647.0;
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
/// Fields that change the prompt in ways only the engine can know.
const ENGINE_ONLY: [&str; 4] = [
    "prompt_embeds",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "truncate_prompt_tokens",
];
const PLAN: Plan = Plan {
    whole: &RENDERED,
    noted: XARGS,
};

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
    if let Err(trouble) = tape.read_body(text, &PLAN) {
        return Err(refusal_of(text, trouble));
    }
    Body { text, tape }.read(route)
}

/// Why the prompts of a route whose bodies need not be JSON are not matched.
fn unread(route: Route) -> Option<NoMatch> {
    match route {
        Route::Passthrough => Some(NoMatch::NotAPrompt),
        Route::UnreadPrompt => Some(NoMatch::PromptNotRead),
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
    }
}

fn begins_as_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| **byte > 0x20) == Some(&b'{')
}

/// The members of a body that is JSON.
pub(super) struct Body<'b, 't> {
    pub text: &'b str,
    pub tape: &'t Tape,
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
                Route::ChatCompletions => self.chat(&mut media)?,
                Route::Completions => read_completion(self)?,
                Route::VllmGenerate => read_token_ids(self)?,
                Route::SglangGenerate => read_generate(self)?,
                Route::Passthrough => Prompt::Nothing(NoMatch::NotAPrompt),
                Route::UnreadPrompt => Prompt::Nothing(NoMatch::PromptNotRead),
            },
            media,
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

    fn chat(&self, media: &mut ChatMedia<'b>) -> Result<Prompt<'b>, Refusal> {
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
        if self.needs_engine() || media.in_keys {
            return Ok(Prompt::Nothing(NoMatch::ExtraKeys));
        }
        Ok(Prompt::Chat(Chat {
            messages,
            tools: tools.filter(|tools| self.tape.items(*tools).next().is_some()),
            documents: self.present("documents"),
            reasoning_effort: self.present("reasoning_effort"),
            add_generation_prompt,
            continue_final_message,
            add_special_tokens: self.boolean("add_special_tokens", false)?,
            template_arguments,
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

    pub fn needs_engine(&self) -> bool {
        ENGINE_ONLY.iter().any(|name| self.has(name))
    }

    pub fn array(&self, name: &str, value: Option<u32>) -> Result<u32, Refusal> {
        let array = value.filter(|at| self.kind(*at) == Kind::Array);
        array.ok_or_else(|| {
            let problem = format!("must be an array, got {}", self.kind_of(value));
            invalid(name, &problem)
        })
    }

    fn kind(&self, at: u32) -> Kind {
        self.tape.node(at).kind
    }

    pub fn member(&self, name: &str) -> Option<u32> {
        self.tape.member(self.text, name).map(|(_, value)| value)
    }

    /// A member that is there and not null.
    fn present(&self, name: &str) -> Option<u32> {
        self.member(name).filter(|at| self.kind(*at) != Kind::Null)
    }

    pub fn has(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    fn string(&self, name: &str) -> Result<Option<Cow<'b, str>>, Refusal> {
        let Some(value) = self.present(name) else {
            return Ok(None);
        };
        if self.kind(value) != Kind::Text {
            let problem = format!("must be a string, got {}", self.kind_of(Some(value)));
            return Err(invalid(name, &problem));
        }
        Ok(Some(self.tape.text(self.text, value)))
    }

    pub fn boolean(&self, name: &str, fallback: bool) -> Result<bool, Refusal> {
        match self.present(name).map(|at| (at, self.kind(at))) {
            None => Ok(fallback),
            Some((_, Kind::True)) => Ok(true),
            Some((_, Kind::False)) => Ok(false),
            Some((at, _)) => {
                let problem = format!("must be true or false, got {}", self.kind_of(Some(at)));
                Err(invalid(name, &problem))
            }
        }
    }

    fn priority(&self) -> Result<i32, Refusal> {
        let Some(value) = self.present("priority") else {
            return Ok(0);
        };
        let number = match self.kind(value) {
            Kind::Number => self.tape.raw(self.text, value).parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if number.trunc() == number && number.abs() <= PRIORITY_MAX {
            return Ok(number as i32);
        }
        let kind = self.kind_of(Some(value));
        let problem = format!("must be an integer of at most 32 bits, got {kind}");
        Err(invalid("priority", &problem))
    }

    /// What a value is, in words of the client's language.
    fn kind_of(&self, value: Option<u32>) -> Cow<'static, str> {
        let Some(at) = value else {
            return Cow::Borrowed("nothing");
        };
        kind_name(self.kind(at), self.tape.raw(self.text, at))
    }
}

pub(super) fn kind_name(kind: Kind, raw: &str) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        Kind::Null => "null",
        Kind::False | Kind::True => "a boolean",
        Kind::Text => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
        Kind::Number => {
            let number = javascript_number(raw.parse().unwrap_or(f64::NAN));
            return Cow::Owned(format!("the number {number}"));
        }
    })
}

pub(super) fn invalid(param: &str, problem: &str) -> Refusal {
    let detail = format!("{param}: {problem}");
    Refusal::new(error::INVALID_BODY, detail, Some(param.to_owned()))
}
