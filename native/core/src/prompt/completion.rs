//! The prompt of a request without template: a text, token ids, or several of either. Its bytes have been
//! checked to be JSON; token ids are read straight into numbers, because a tape of a million
//! numbers would take many times their bytes. Called by parse.rs.

#![deny(clippy::indexing_slicing)]

use super::body_fields::{Body, invalid, kind_name};
use super::json_tape::{Kind, Tape};
use super::json_text::{Reading, well_formed};
use super::no_match::NoMatch;
use super::parse::Prompt;
use super::refusal::Refusal;

/// Fields of SGLang's /generate that change the prompt in ways only the engine can know: media,
/// adapters, namespaces, a session's earlier turns.
const SGLANG_ENGINE_ONLY: [&str; 8] = [
    "input_embeds",
    "image_data",
    "video_data",
    "audio_data",
    "lora_path",
    "extra_key",
    "session_params",
    "session_id",
];
const TOKEN_ID_MAX: f64 = 2_147_483_647.0;

pub(super) fn read_completion<'b>(body: &Body<'b, '_>) -> Result<Prompt<'b>, Refusal> {
    let add_special_tokens = body.boolean("add_special_tokens", true)?;
    if body.needs_engine() {
        return Ok(Prompt::Nothing(NoMatch::ExtraKeys));
    }
    text_or_tokens(body, "prompt", add_special_tokens)
}

/// vLLM's /inference/v1/generate; `features` are of a prompt with media.
pub(super) fn read_token_ids<'b>(body: &Body<'b, '_>) -> Result<Prompt<'b>, Refusal> {
    let at = body.array("token_ids", body.member("token_ids"))?;
    let ids = token_ids(body.tape.raw(body.text, at), "token_ids")?;
    if body.has("features") {
        return Ok(Prompt::Nothing(NoMatch::ExtraKeys));
    }
    Ok(Prompt::Tokens(ids))
}

/// SGLang's /generate: ids beat the text, which it tokenises with special tokens.
pub(super) fn read_generate<'b>(body: &Body<'b, '_>) -> Result<Prompt<'b>, Refusal> {
    if SGLANG_ENGINE_ONLY.iter().any(|name| body.has(name)) {
        return Ok(Prompt::Nothing(NoMatch::ExtraKeys));
    }
    match ["input_ids", "text"].iter().find(|name| body.has(name)) {
        Some(name) => text_or_tokens(body, name, true),
        // Another engine's /generate.
        None => Ok(Prompt::Nothing(NoMatch::PromptNotRead)),
    }
}

fn text_or_tokens<'b>(
    body: &Body<'b, '_>,
    name: &str,
    add_special_tokens: bool,
) -> Result<Prompt<'b>, Refusal> {
    let prompt = body.member(name);
    let kind = prompt.map(|at| body.tape.node(at).kind);
    let at = prompt.unwrap_or_default();
    if kind == Some(Kind::Text) {
        let text = well_formed(body.tape.text(body.text, at));
        return Ok(Prompt::Text {
            text,
            add_special_tokens,
        });
    }
    let mut items = Items::of(body.tape.raw(body.text, at));
    let first = (kind == Some(Kind::Array)).then(|| items.next()).flatten();
    let Some(first) = first else {
        let problem = "must be a string, an array of strings, or one or more arrays of token ids";
        return Err(invalid(name, problem));
    };
    if kind_at(first) == Kind::Number {
        return Ok(Prompt::Tokens(token_ids(
            body.tape.raw(body.text, at),
            name,
        )?));
    }
    let mut count = 0;
    for item in std::iter::once(first).chain(items) {
        let kind = kind_at(item);
        if kind != Kind::Text && kind != Kind::Array {
            let kind = kind_name(kind, item);
            let problem = format!("must be a string or an array of token ids, got {kind}");
            return Err(invalid(&format!("{name}[{count}]"), &problem));
        }
        count += 1;
    }
    if count > 1 {
        return Ok(Prompt::Nothing(NoMatch::SeveralPrompts));
    }
    if kind_at(first) == Kind::Array {
        return Ok(Prompt::Tokens(token_ids(first, &format!("{name}[0]"))?));
    }
    let mut tape = Tape::default();
    // It was read once, so it can be read again.
    let _ = tape.read_value(first);
    Ok(Prompt::Text {
        text: well_formed(tape.text(first, 0)),
        add_special_tokens,
    })
}

fn token_ids(array: &str, name: &str) -> Result<Vec<u32>, Refusal> {
    let mut ids = Vec::with_capacity(array.len() / 6);
    for item in Items::of(array) {
        match token_id(item) {
            Some(id) => ids.push(id),
            None => {
                let kind = kind_name(kind_at(item), item);
                let problem = format!("must be a token id, got {kind}");
                return Err(invalid(&format!("{name}[{}]", ids.len()), &problem));
            }
        }
    }
    if ids.is_empty() {
        return Err(invalid(name, "must hold at least one token id"));
    }
    Ok(ids)
}

fn token_id(item: &str) -> Option<u32> {
    if item.len() <= 9 && item.bytes().all(|byte| byte.is_ascii_digit()) {
        return item.parse().ok();
    }
    if kind_at(item) != Kind::Number {
        return None;
    }
    let number: f64 = item.parse().ok()?;
    (number.trunc() == number && (0.0..=TOKEN_ID_MAX).contains(&number)).then_some(number as u32)
}

fn kind_at(item: &str) -> Kind {
    match item.bytes().next() {
        Some(b'"') => Kind::Text,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(b't') => Kind::True,
        Some(b'f') => Kind::False,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// The items of an array that is known to be JSON, as they are written.
struct Items<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Items<'b> {
    fn of(array: &'b str) -> Self {
        Self { text: array, at: 1 }
    }
}

impl<'b> Iterator for Items<'b> {
    type Item = &'b str;

    fn next(&mut self) -> Option<&'b str> {
        let bytes = self.text.as_bytes();
        while matches!(
            bytes.get(self.at),
            Some(b' ' | b'\n' | b'\r' | b'\t' | b',')
        ) {
            self.at += 1;
        }
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    let mut reading = Reading::new(bytes, self.at);
                    self.at = reading.string()?.0;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' if depth == 0 => break,
                b']' | b'}' => depth -= 1,
                b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        (self.at > start)
            .then(|| self.text.get(start..self.at))
            .flatten()
    }
}
