//! The text of a prompt: as it is, or a chat rendered by its model's template. Called by encode.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::json_tape::Tape;
use super::json_text::utf16_length;
use super::media::MEDIA_MARK;
use super::messages::Source;
use super::models::TokenizerEntry;
use super::no_match::NoMatch;
use super::parse::{Chat, Prompt, Request};
use super::record::Outcome;
use super::refusal::Refusal;
use super::template::RenderFailure;
use crate::layout::error;
use crate::layout::limits::PROMPT_CHARACTERS_MAX;

/// The text that a chat's positions are of.
pub fn text_of<'a>(body: &'a [u8], request: &'a Request<'_>) -> &'a str {
    let made = request.made.as_deref();
    made.unwrap_or_else(|| std::str::from_utf8(body).unwrap_or_default())
}

pub fn has_media(prompt: &Prompt<'_>) -> bool {
    matches!(prompt, Prompt::Chat(chat) if chat.has_media)
}

/// Made of a request of another API, whose refusals and `/tokenize` are the engine's own.
pub fn is_converted(prompt: &Prompt<'_>) -> bool {
    matches!(prompt, Prompt::Chat(chat) if chat.conversion.is_some())
}

/// A prompt's text up to the first of its media, and the text behind that.
pub struct RenderedText<'b> {
    pub text: Cow<'b, str>,
    pub rest: String,
    /// Whether special tokens go around it.
    pub add_special_tokens: bool,
}

impl RenderedText<'_> {
    pub fn is_too_long(&self) -> bool {
        let (text, rest) = (&self.text, &self.rest);
        text.len() + rest.len() > PROMPT_CHARACTERS_MAX
            && utf16_length(text) + utf16_length(rest) > PROMPT_CHARACTERS_MAX
    }
}

/// The prompt's text; null, with the outcome saying why, when there is no template or it refuses the
/// chat.
pub fn prompt_text<'b>(
    text: &str,
    tape: &Tape,
    entry: &TokenizerEntry,
    prompt: &'b Prompt<'_>,
    outcome: &mut Outcome,
) -> Result<Option<RenderedText<'b>>, String> {
    match prompt {
        Prompt::Text {
            text,
            add_special_tokens,
        } => Ok(Some(RenderedText {
            text: Cow::Borrowed(text.as_ref()),
            rest: String::new(),
            add_special_tokens: *add_special_tokens,
        })),
        Prompt::Chat(chat) => match render(text, tape, entry, chat) {
            None => {
                outcome.no_match = Some(NoMatch::NoTokenizer);
                Ok(None)
            }
            Some(Ok(rendered)) => {
                let until_media = until_media(rendered, chat);
                if until_media.is_none() {
                    outcome.no_match = Some(NoMatch::ExtraKeys);
                }
                Ok(until_media)
            }
            Some(Err(RenderFailure::Refused(_))) if chat.conversion.is_some() => {
                outcome.no_match = Some(NoMatch::PromptNotRead);
                Ok(None)
            }
            Some(Err(RenderFailure::Refused(message))) => {
                outcome.refusal = Some(template_refusal(&message));
                Ok(None)
            }
            Some(Err(RenderFailure::Failed(problem))) => Err(problem),
        },
        Prompt::Tokens(_) | Prompt::Nothing(_) => Ok(None),
    }
}

/// Null when the template dropped the media.
fn until_media(mut rendered: String, chat: &Chat) -> Option<RenderedText<'static>> {
    let mut rest = String::new();
    if chat.has_media {
        let at = rendered.find(MEDIA_MARK)?;
        rest.push_str(rendered.get(at + MEDIA_MARK.len()..)?);
        rendered.truncate(at);
    }
    Some(RenderedText {
        text: Cow::Owned(rendered),
        rest,
        add_special_tokens: chat.add_special_tokens,
    })
}

/// Null when the model has no template.
pub fn render(
    text: &str,
    tape: &Tape,
    entry: &TokenizerEntry,
    chat: &Chat,
) -> Option<Result<String, RenderFailure>> {
    let renderer = entry.tokenizer.renderer.as_ref()?;
    Some(renderer.render_chat(Source { text, tape }, chat))
}

fn template_refusal(message: &str) -> Refusal {
    let detail = format!("messages: the model's chat template refused them: {message}");
    Refusal::new(error::TEMPLATE_FAILED, detail, Some("messages".to_owned()))
}
