//! From request bodies to keys and matches: parse, render, tokenize, hash, match. Everything here
//! gives what `src/core/portable/prompt` gives, which is its executable specification.

mod anthropic;
mod body_fields;
mod completion;
mod content_format;
mod converted_chat;
pub mod encode;
pub mod encoder;
mod encoder_shared;
mod fallback;
mod fast_chat;
#[cfg(test)]
mod fast_chat_tests;
mod json_reader;
pub mod json_scan;
pub mod json_tape;
pub mod json_text;
mod literals;
pub mod media;
pub mod messages;
pub mod models;
pub mod no_match;
pub mod parse;
mod prefix_cuts;
pub mod prefix_store;
mod prompt_text;
mod python_print;
mod python_strings;
pub mod record;
pub mod refusal;
pub mod render;
mod responses;
pub mod strftime;
mod system_messages;
pub mod template;
mod template_probes;
pub mod tokenize;
mod tokenizer_files;
mod tokenizer_outline;
pub mod values;
