//! The images, audio and video of a chat, each named by what the client sent of it. The router
//! never fetches or decodes them: equal text means an equal item, as it does for an engine's
//! encoder cache (vLLM's `uuid`, else the URL or the data). Called by parse.rs and encode.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::json_tape::{Kind, Tape};
use super::json_text::well_formed;
use crate::layout::limits::MEDIA_KEYS_MAX;

/// What of a chat is no text.
#[derive(Debug, Default)]
pub struct ChatMedia<'b> {
    /// The text that names each item, in order, with repetitions.
    pub contents: Vec<Cow<'b, str>>,
    /// Items whose content is in none of the known places.
    pub unnamed: usize,
    /// Whether the engine makes its block keys from more than the text's token ids.
    pub in_keys: bool,
}

/// Keys of a chat's items.
#[derive(Debug, Default)]
pub struct MediaKeys {
    /// XXH3-64 of the contents, without repetition, at most MEDIA_KEYS_MAX.
    pub keys: Vec<u64>,
    /// Items that have no key here: unnamed ones, and those beyond the limit.
    pub left_out: usize,
}

/// Stands where the first of them was; no client's text has it but to have less of it matched.
pub const MEDIA_MARK: &str = "Wp7f3aFirstMedia";

const TEXT_PARTS: [&str; 5] = ["text", "input_text", "output_text", "refusal", "thinking"];
/// Where a part of each type has its content: a text, or an object with `url` or `data`.
const CONTENT_FIELDS: [(&str, &str); 7] = [
    ("image_url", "image_url"),
    ("input_image", "image_url"),
    ("image_embeds", "image_embeds"),
    ("audio_url", "audio_url"),
    ("input_audio", "input_audio"),
    ("audio_embeds", "audio_embeds"),
    ("video_url", "video_url"),
];

impl<'b> ChatMedia<'b> {
    /// Gathers the media of a message that has been checked. Costs nothing where all is text.
    pub fn read(&mut self, text: &'b str, tape: &Tape, message: u32) {
        let content = tape.get(text, message, "content");
        let Some(content) = content.filter(|at| tape.node(*at).kind == Kind::Array) else {
            return;
        };
        for part in tape.items(content) {
            match kind_of_part(text, tape, part) {
                PartKind::Text => continue,
                PartKind::MarkedText => {
                    self.in_keys = true;
                    continue;
                }
                PartKind::Media => self.in_keys = true,
            }
            let kind = tape.get(text, part, "type");
            let is_kind = |name: &str| is_text_of(text, tape, kind, name);
            let uuid = tape.get(text, part, "uuid");
            let field = CONTENT_FIELDS.iter().find(|(name, _)| is_kind(name));
            let named = field.and_then(|(_, field)| content_of(text, tape, part, uuid, field));
            match named {
                Some(content) => self.contents.push(content),
                None => self.unnamed += 1,
            }
        }
    }

    /// The same, of nobody's text.
    pub fn into_owned(self) -> ChatMedia<'static> {
        let contents = self.contents.into_iter();
        ChatMedia {
            contents: contents.map(|text| Cow::Owned(text.into_owned())).collect(),
            unnamed: self.unnamed,
            in_keys: self.in_keys,
        }
    }

    /// Hashes the contents; `secret` seeds them, so that keys tell nobody what was sent.
    pub fn keys(&self, secret: u64) -> MediaKeys {
        let mut keys = Vec::new();
        let mut left_out = self.unnamed;
        for content in &self.contents {
            let key = xxh3_64_with_seed(content.as_bytes(), secret);
            if keys.contains(&key) {
                continue;
            }
            if keys.len() < MEDIA_KEYS_MAX {
                keys.push(key);
            } else {
                left_out += 1;
            }
        }
        MediaKeys { keys, left_out }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Text,
    MarkedText,
    Media,
}

fn kind_of_part(text: &str, tape: &Tape, part: u32) -> PartKind {
    if tape.node(part).kind == Kind::Text {
        return PartKind::Text;
    }
    let kind = tape.get(text, part, "type");
    if !TEXT_PARTS
        .iter()
        .any(|name| is_text_of(text, tape, kind, name))
    {
        return PartKind::Media;
    }
    match tape.get(text, part, "uuid") {
        Some(uuid) if tape.node(uuid).kind != Kind::Null => PartKind::MarkedText,
        _ => PartKind::Text,
    }
}

/// Whether a part of a message is no plain text.
pub fn is_media(text: &str, tape: &Tape, part: u32) -> bool {
    kind_of_part(text, tape, part) != PartKind::Text
}

fn is_text_of(text: &str, tape: &Tape, at: Option<u32>, expected: &str) -> bool {
    at.is_some_and(|at| tape.node(at).kind == Kind::Text && tape.is(text, at, expected))
}

fn content_of<'b>(
    text: &'b str,
    tape: &Tape,
    part: u32,
    uuid: Option<u32>,
    field: &str,
) -> Option<Cow<'b, str>> {
    let content = tape.get(text, part, field);
    let inside = |name| content.and_then(|content| tape.get(text, content, name));
    let places = [uuid, content, inside("url"), inside("data")];
    let mut texts = places
        .into_iter()
        .flatten()
        .filter(|at| tape.node(*at).kind == Kind::Text)
        .map(|at| tape.text(text, at));
    texts.find(|text| !text.is_empty()).map(well_formed)
}
