//! What is done with one request: parse, render, tokenize, hash, match. Says exactly what the
//! portable core's `encode.ts` says. Nothing that happens inside loses a request: what fails
//! becomes `encoder-failed`, which routes by load. Called by encoder.rs on any thread.

#![deny(clippy::indexing_slicing)]

use std::time::Instant;

use super::json_tape::{Plan, Tape};
use super::models::{Model, Models, Tokenizing};
use super::no_match::NoMatch;
use super::parse::{Prompt, Request, parse_request};
use super::prefix_store::{Keyed, KeyingInput, micros};
use super::prompt_text::{has_media, is_converted, prompt_text, render, text_of};
use super::record::Outcome;
use super::refusal::Refusal;
use super::template::RenderFailure;
use super::tokenize::{Tokens, ids_of};
use crate::keys::namespace_seed;
use crate::layout::error;
use crate::layout::limits::PROMPT_TOKENS_MAX;
use crate::matching::{Matcher, PromptMatch};
use crate::prepare::Route;

/// What one thread encodes with; used for one request after another.
pub struct Workspace {
    pub tape: Tape,
    pub keyed: Keyed,
    pub matched: PromptMatch,
    pub matcher: Box<dyn Matcher>,
}

impl Workspace {
    /// Gives back memory that only an unusually large body needs.
    pub fn shrink(&mut self) {
        self.tape.clear();
        self.keyed.clear();
    }
}

/// What an engine said to a request that only it can tokenise.
#[derive(Clone, Copy)]
pub enum EngineAnswer<'a> {
    NotAsked,
    Ids { ids: &'a [u32], micros: u32 },
    Failed,
}

/// How far an encoding came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was matched; the outcome says why.
    Unmatched,
    /// The workspace holds the match.
    Matched,
    /// The engine of the model with this index must be asked for the token ids.
    AskEngine(u32),
    /// This takes too long for the calling thread; nothing is found out yet.
    HandOver,
}

pub struct Context<'a> {
    pub models: &'a Models,
    pub secret: u64,
    pub answer: EngineAnswer<'a>,
    /// Bytes of a body above which a slow tokenizer must not hold up the calling thread.
    pub slow_bytes_max: usize,
}

/// Encodes one body. An error is a fault of ours or of the model's files; the outcome holds what
/// was found out before.
pub fn encode_body(
    body: &[u8],
    route: Route,
    context: &Context<'_>,
    space: &mut Workspace,
    outcome: &mut Outcome,
) -> Result<Progress, String> {
    let started = Instant::now();
    space.keyed.clear();
    let parsed = parse_request(body, route, &mut space.tape);
    outcome.micros.parse = micros(started);
    let request = match parsed {
        Ok(request) => request,
        Err(refusal) => {
            outcome.refusal = Some(refusal);
            return Ok(Progress::Unmatched);
        }
    };
    let model = context.models.named(&request.model);
    outcome.model_index = model.map(|model| model.index);
    outcome.model_offset = request.model_offset;
    outcome.model_bytes = request.model_bytes;
    outcome.stream = request.stream;
    outcome.priority = request.priority;
    outcome.cuts = request.cuts.clone();
    outcome.media = request.media.keys(context.secret);
    let (model, block_size) = match encodable(&request, model) {
        Ok(found) => found,
        Err(reason) => return Ok(stop(outcome, reason)),
    };
    outcome.block_size = block_size;
    let seed = match request.cache_salt.as_ref() {
        "" => model.seed,
        salt => namespace_seed(context.secret, &model.pool, &model.adapter, salt),
    };
    let text = text_of(body, &request);
    if body.len() > context.slow_bytes_max && is_slow(model, &request.prompt) {
        return Ok(Progress::HandOver);
    }
    if tokenize_and_hash(text, &request, model, seed, context, space, outcome)? {
        return Ok(Progress::AskEngine(model.index));
    }
    Ok(match_prompt(&request.prompt, model, space, outcome))
}

/// The model and its block size, or why the prompt is not encoded.
fn encodable<'m>(
    request: &Request<'_>,
    model: Option<&'m Model>,
) -> Result<(&'m Model, usize), NoMatch> {
    if let Prompt::Nothing(reason) = request.prompt {
        return Err(reason);
    }
    let model = model.ok_or(NoMatch::NoTokenizer)?;
    if !model.matched {
        return Err(NoMatch::PolicyWithoutPrefixes);
    }
    if !matches!(request.prompt, Prompt::Tokens(_)) {
        if matches!(model.tokenizing, Tokenizing::Unknown) {
            return Err(NoMatch::NoTokenizer);
        }
        if !model.proven {
            return Err(NoMatch::TokenizerUnproven);
        }
    }
    let block_size = model.block_size.ok_or(NoMatch::BlockSizeUnknown)?;
    Ok((model, block_size))
}

fn is_slow(model: &Model, prompt: &Prompt<'_>) -> bool {
    match &model.tokenizing {
        Tokenizing::Files(Some(entry)) => {
            entry.tokenizer.slow_because.is_some() && !matches!(prompt, Prompt::Tokens(_))
        }
        _ => false,
    }
}

/// Fills keys and token count, or a reason why there are none; true when the engine must be asked.
fn tokenize_and_hash(
    text: &str,
    request: &Request<'_>,
    model: &Model,
    seed: u64,
    context: &Context<'_>,
    space: &mut Workspace,
    outcome: &mut Outcome,
) -> Result<bool, String> {
    if let Prompt::Tokens(ids) = &request.prompt {
        hash_ids(ids, seed, space, outcome);
        return Ok(false);
    }
    let entry = match &model.tokenizing {
        Tokenizing::Engine if is_converted(&request.prompt) => {
            outcome.no_match = Some(NoMatch::PromptNotRead);
            return Ok(false);
        }
        Tokenizing::Engine if has_media(&request.prompt) => {
            outcome.no_match = Some(NoMatch::ExtraKeys);
            return Ok(false);
        }
        Tokenizing::Engine => return engine_ids(seed, context.answer, space, outcome),
        Tokenizing::Files(Some(entry)) => entry,
        Tokenizing::Files(None) | Tokenizing::Unknown => {
            outcome.no_match = Some(NoMatch::NoTokenizer);
            return Ok(false);
        }
    };
    let started = Instant::now();
    let rendered = prompt_text(text, &space.tape, entry, &request.prompt, outcome)?;
    outcome.micros.render = micros(started);
    let Some(rendered) = rendered else {
        return Ok(false);
    };
    if rendered.is_too_long() {
        outcome.no_match = Some(NoMatch::OverLimit);
        return Ok(false);
    }
    let input = KeyingInput {
        text: &rendered.text,
        add_special_tokens: rendered.add_special_tokens,
        seed,
        block_size: outcome.block_size,
    };
    entry.store.key(&entry.tokenizer, input, &mut space.keyed)?;
    outcome.prompt_tokens = space.keyed.prompt_tokens;
    if !rendered.rest.is_empty() {
        let mut tokens = Tokens::new();
        entry.tokenizer.encode(&rendered.rest, false, &mut tokens)?;
        outcome.prompt_tokens += ids_of(&tokens).len();
    }
    outcome.micros.tokenize = space.keyed.tokenize_micros;
    outcome.micros.hash = space.keyed.hash_micros;
    Ok(false)
}

fn engine_ids(
    seed: u64,
    answer: EngineAnswer<'_>,
    space: &mut Workspace,
    outcome: &mut Outcome,
) -> Result<bool, String> {
    match answer {
        EngineAnswer::NotAsked => Ok(true),
        EngineAnswer::Ids { ids, micros } => {
            outcome.micros.tokenize = micros;
            hash_ids(ids, seed, space, outcome);
            Ok(false)
        }
        // JavaScript, which asked, has told why.
        EngineAnswer::Failed => {
            outcome.no_match = Some(NoMatch::EncoderFailed);
            Ok(false)
        }
    }
}

fn hash_ids(ids: &[u32], seed: u64, space: &mut Workspace, outcome: &mut Outcome) {
    outcome.prompt_tokens = ids.len();
    if ids.len() <= PROMPT_TOKENS_MAX {
        space.keyed.key_ids(ids, seed, outcome.block_size);
        outcome.micros.hash = space.keyed.hash_micros;
    }
}

fn match_prompt(
    prompt: &Prompt<'_>,
    model: &Model,
    space: &mut Workspace,
    outcome: &mut Outcome,
) -> Progress {
    if has_media(prompt) && space.keyed.keys.is_empty() && outcome.no_match.is_none() {
        outcome.no_match = Some(NoMatch::ExtraKeys);
    }
    if outcome.refusal.is_none() {
        outcome.refusal = over_context(prompt, outcome.prompt_tokens, model.max_model_len);
    }
    if outcome.refusal.is_some() || outcome.no_match.is_some() {
        return Progress::Unmatched;
    }
    outcome.total_blocks = outcome.prompt_tokens / outcome.block_size;
    if outcome.prompt_tokens > PROMPT_TOKENS_MAX {
        return stop(outcome, NoMatch::OverLimit);
    }
    // An engine always computes at least the last token, so it never reuses a block that ends there.
    let block_limit = outcome.prompt_tokens.saturating_sub(1) / outcome.block_size;
    if block_limit == 0 {
        return stop(outcome, NoMatch::BelowOneBlock);
    }
    let started = Instant::now();
    let keys = &space.keyed.keys;
    let limit = block_limit.min(keys.len());
    outcome.index_epoch = space.matcher.match_keys(keys, limit, &mut space.matched);
    outcome.micros.matching = micros(started);
    Progress::Matched
}

fn over_context(prompt: &Prompt<'_>, tokens: usize, limit: Option<u64>) -> Option<Refusal> {
    let limit = limit.filter(|limit| tokens as u64 > *limit && !is_converted(prompt))?;
    let param = match prompt {
        Prompt::Chat(_) => "messages",
        _ => "prompt",
    };
    let detail = format!(
        "This model's maximum context length is {limit} tokens. However, your request has \
         {tokens} input tokens. Please reduce the length of the {param}."
    );
    let param = Some(param.to_owned());
    Some(Refusal::new(error::CONTEXT_LENGTH_EXCEEDED, detail, param))
}

fn stop(outcome: &mut Outcome, reason: NoMatch) -> Progress {
    outcome.no_match = Some(reason);
    Progress::Unmatched
}

/// Token ids of a body for one model, proven or not; null when its engine must be asked.
pub fn token_ids(model: &Model, route: Route, body: &[u8]) -> Result<Option<Vec<u32>>, String> {
    let mut tape = Tape::default();
    let request = parse_request(body, route, &mut tape).map_err(|refusal| refusal.detail)?;
    match request.prompt {
        Prompt::Nothing(reason) => {
            let names = crate::layout::NO_MATCH_REASONS;
            let name = names.get(reason as usize).copied().unwrap_or_default();
            return Err(format!("nothing to tokenize: {name}"));
        }
        Prompt::Tokens(ids) => return Ok(Some(ids)),
        Prompt::Chat(chat) if chat.has_media => {
            return Err("nothing to tokenize: extra-keys".to_owned());
        }
        Prompt::Text { .. } | Prompt::Chat(_) => {}
    }
    let entry = match &model.tokenizing {
        Tokenizing::Engine if is_converted(&request.prompt) => {
            return Err("nothing to tokenize: prompt-not-read".to_owned());
        }
        Tokenizing::Engine => return Ok(None),
        Tokenizing::Files(Some(entry)) => entry,
        Tokenizing::Files(None) | Tokenizing::Unknown => {
            return Err(format!("no tokenizer was found for {}", model.id));
        }
    };
    let mut tokens = Tokens::new();
    match &request.prompt {
        Prompt::Text {
            text,
            add_special_tokens,
        } => entry
            .tokenizer
            .encode(text, *add_special_tokens, &mut tokens)?,
        Prompt::Chat(chat) => {
            let text = text_of(body, &request);
            let rendered = render(text, &tape, entry, chat)
                .ok_or_else(|| format!("{} has no chat template", model.id))?;
            let rendered = rendered.map_err(|failure| match failure {
                RenderFailure::Refused(message) | RenderFailure::Failed(message) => message,
            })?;
            entry
                .tokenizer
                .encode(&rendered, chat.add_special_tokens, &mut tokens)?;
        }
        Prompt::Tokens(_) | Prompt::Nothing(_) => {}
    }
    Ok(Some(ids_of(&tokens).to_vec()))
}

/// Body members that decide the prompt; an engine's /tokenize ignores or refuses the others. `text` is
/// the prompt of SGLang's /generate, which the asking side calls `prompt`.
const PROMPT_MEMBERS: [&str; 9] = [
    "model",
    "prompt",
    "text",
    "messages",
    "tools",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "chat_template_kwargs",
];

/// The part of a body that an engine is asked about; null for what is no body.
pub fn engine_body(body: &[u8]) -> Option<String> {
    const PLAN: Plan = Plan {
        whole: &[],
        noted: "",
    };
    let text = std::str::from_utf8(body).ok()?;
    let mut tape = Tape::default();
    tape.read_body(text, &PLAN).ok()?;
    let members = PROMPT_MEMBERS.iter().filter_map(|name| {
        let (member, _) = tape.member(text, name)?;
        let value = text.get(member.value_start as usize..member.end as usize)?;
        Some(format!("\"{name}\":{value}"))
    });
    Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}
