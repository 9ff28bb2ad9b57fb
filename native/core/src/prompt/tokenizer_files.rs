//! Reads what a tokenizer's directory says besides the vocabulary: chat templates, special tokens,
//! and the tokens put around a text. Called by tokenize.rs when a tokenizer is loaded. Files follow
//! the Hugging Face layout: tokenizer.json, tokenizer_config.json, chat_template.jinja.

#![deny(clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::render::TemplateSet;
use super::tokenizer_outline::TokenizerOutline;

pub struct TokenizerFiles {
    /// tokenizer.json as text, and what it says.
    pub text: String,
    pub outline: TokenizerOutline,
    pub templates: Option<TemplateSet>,
    /// bos_token, eos_token, … as templates see them.
    pub special_tokens: Vec<(String, String)>,
    /// Texts of the tokens that the tokenizer's class puts around a text with special tokens,
    /// whatever tokenizer.json says; null when the class leaves it to tokenizer.json.
    pub frame: Option<(Option<String>, Option<String>)>,
}

const SPECIAL_NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// Classes of transformers that replace the post-processor by add_bos_token and add_eos_token.
const FRAMING_CLASSES: [&str; 7] = [
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "CodeLlamaTokenizer",
    "CodeLlamaTokenizerFast",
    "GemmaTokenizer",
    "GemmaTokenizerFast",
    "CohereTokenizerFast",
];

impl TokenizerFiles {
    /// Says why, naming the file, when one is missing or unreadable.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let file = directory.join("tokenizer.json");
        let text = read_text(&file)?;
        let read = TokenizerOutline::read(&text);
        let outline = read.map_err(|error| format!("{}: {error}", file.display()))?;
        let config_file = directory.join("tokenizer_config.json");
        let config = if config_file.exists() {
            read_json(&config_file)?
        } else {
            Value::Object(serde_json::Map::new())
        };
        let named = |name: &&str| {
            let token = token_text(config.get(*name))?;
            Some(((*name).to_owned(), token))
        };
        Ok(Self {
            text,
            outline,
            templates: read_templates(directory, &config)?,
            special_tokens: SPECIAL_NAMES.iter().filter_map(named).collect(),
            frame: read_frame(&config),
        })
    }

    /// The objects in `added_tokens`.
    pub fn added_tokens(&self) -> impl Iterator<Item = &Value> {
        let list = self
            .outline
            .json
            .get("added_tokens")
            .and_then(Value::as_array);
        list.into_iter().flatten().filter(|token| token.is_object())
    }

    /// Id of a token by its text, added tokens first.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let is_named = |token: &&Value| token.get("content").and_then(Value::as_str) == Some(text);
        let added = self.added_tokens().find(is_named);
        match added {
            Some(token) => u32::try_from(token.get("id")?.as_u64()?).ok(),
            None => self.outline.vocabulary_id(text),
        }
    }
}

/// A template file beside the configuration wins, as in transformers.
fn read_templates(directory: &Path, config: &Value) -> Result<Option<TemplateSet>, String> {
    let file = directory.join("chat_template.jinja");
    if file.exists() {
        return Ok(Some(TemplateSet {
            text: read_text(&file)?,
            tool_use: None,
        }));
    }
    let given = config.get("chat_template");
    if let Some(text) = given.and_then(Value::as_str) {
        return Ok(Some(TemplateSet {
            text: text.to_owned(),
            tool_use: None,
        }));
    }
    let named = |name: &str| {
        let list = given.and_then(Value::as_array)?;
        let is_named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(name);
        let entry = list.iter().rfind(is_named)?;
        entry
            .get("template")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    Ok(named("default").map(|text| TemplateSet {
        text,
        tool_use: named("tool_use"),
    }))
}

fn read_frame(config: &Value) -> Option<(Option<String>, Option<String>)> {
    let class = config.get("tokenizer_class")?.as_str()?;
    if !FRAMING_CLASSES.contains(&class) {
        return None;
    }
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    let token = |name: &str| token_text(config.get(name));
    let before = (flag("add_bos_token") != Some(false)).then(|| token("bos_token"));
    let after = (flag("add_eos_token") == Some(true)).then(|| token("eos_token"));
    Some((before.flatten(), after.flatten()))
}

/// A token is written as its text, or as an object that holds it.
fn token_text(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("content")?.as_str());
    text.map(str::to_owned)
}

fn read_json(file: &Path) -> Result<Value, String> {
    let text = read_text(file)?;
    let name = file.display();
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    if !value.is_object() {
        return Err(format!("{name} does not hold a JSON object"));
    }
    Ok(value)
}

fn read_text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
