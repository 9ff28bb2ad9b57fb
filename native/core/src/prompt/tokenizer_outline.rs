//! tokenizer.json without its bulk: vocabulary and merges, all but some kilobytes of it, stay text.
//! Making a value of each of their half a million strings would take longer than everything else
//! that is done here. Called by tokenizer_files.rs and tokenize.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub struct TokenizerOutline {
    /// The file; `model` lacks `vocab` and `merges` where those are what they should be.
    pub json: Value,
    /// An object, or an array of a model that is no BPE.
    vocab: Option<Box<RawValue>>,
    /// An array.
    merges: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "present")]
    model: Option<Box<RawValue>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default, deserialize_with = "present")]
    vocab: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    merges: Option<Box<RawValue>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A member that is there, null included: whether it is tells kinds of models apart.
fn present<'d, D: Deserializer<'d>>(source: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(source).map(Some)
}

impl TokenizerOutline {
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        let File { model, mut rest } = serde_json::from_str(text)?;
        let mut outline = Self {
            json: Value::Null,
            vocab: None,
            merges: None,
        };
        if let Some(model) = model {
            let described = if model.get().starts_with('{') {
                Value::Object(outline.take_bulk(model.get())?)
            } else {
                serde_json::from_str(model.get())?
            };
            rest.insert("model".to_owned(), described);
        }
        outline.json = Value::Object(rest);
        Ok(outline)
    }

    fn take_bulk(&mut self, model: &str) -> Result<Map<String, Value>, serde_json::Error> {
        let Model {
            vocab,
            merges,
            mut rest,
        } = serde_json::from_str(model)?;
        for (name, value, kept, opening) in [
            ("vocab", vocab, &mut self.vocab, &['{', '['][..]),
            ("merges", merges, &mut self.merges, &['['][..]),
        ] {
            let Some(value) = value else { continue };
            if value.get().starts_with(opening) {
                *kept = Some(value);
            } else {
                rest.insert(name.to_owned(), serde_json::from_str(value.get())?);
            }
        }
        Ok(rest)
    }

    /// Id of a token of the vocabulary by its text.
    pub fn vocabulary_id(&self, text: &str) -> Option<u32> {
        let vocab = self.vocab.as_ref()?;
        let ids: HashMap<Cow<'_, str>, u32> = serde_json::from_str(vocab.get()).ok()?;
        ids.get(text).copied()
    }

    /// The file as `tokenizers` 1.0 reads it; says why when there is no such form.
    pub fn canonical_text(&self) -> Result<String, String> {
        let mut json = self.json.clone();
        if let Some(model) = json.get_mut("model").and_then(Value::as_object_mut) {
            // The shape tells kinds of models apart.
            if let Some(vocab) = &self.vocab {
                let is_list = vocab.get().starts_with('[');
                let empty = if is_list {
                    Value::Array(Vec::new())
                } else {
                    Value::Object(Map::new())
                };
                model.insert("vocab".to_owned(), empty);
            }
            if self.merges.is_some() {
                model.insert("merges".to_owned(), Value::Array(Vec::new()));
            }
        }
        tokenizers::canonicalize_value(&mut json).map_err(|error| error.to_string())?;
        self.with_bulk(json)
    }

    /// A canonical outline with vocabulary and merges put in.
    fn with_bulk(&self, mut json: Value) -> Result<String, String> {
        let root = json.as_object_mut().ok_or("it is no object")?;
        let mut model = root.remove("model").ok_or("it has no model")?;
        let members = model.as_object_mut().ok_or("its model is no object")?;
        let merges = self.merges.as_deref().map(merge_pairs).transpose()?;
        let vocab = self.vocab.as_deref().map(RawValue::get);
        let mut bulk = Vec::new();
        for (name, text) in [("vocab", vocab), ("merges", merges.as_deref())] {
            let Some(text) = text else { continue };
            members.remove(name);
            bulk.extend(["\"", name, "\":", text, ","]);
        }
        let (root, model) = (json.to_string(), model.to_string());
        let (Some(root), Some(model)) = (root.strip_prefix('{'), model.strip_prefix('{')) else {
            return Err("its outline is no object".to_owned());
        };
        // Canonical outlines have members: a version, and a model's type.
        Ok(["{\"model\":{", &bulk.concat(), model, ",", root].concat())
    }
}

/// Merges as pairs of tokens; lines of merges.txt are split where canonicalisation splits them.
fn merge_pairs(merges: &RawValue) -> Result<String, String> {
    let entries: Vec<&RawValue> = serde_json::from_str(merges.get()).map_err(|e| e.to_string())?;
    let mut pairs = String::with_capacity(merges.get().len() + 4 * entries.len());
    for entry in entries {
        let text = entry.get();
        let pair = if text.starts_with('[') {
            Cow::Borrowed(text)
        } else {
            match pair_of_line(text)? {
                Some(pair) => Cow::Owned(pair),
                None => continue,
            }
        };
        pairs.push(if pairs.is_empty() { '[' } else { ',' });
        pairs.push_str(&pair);
    }
    pairs.push_str(if pairs.is_empty() { "[]" } else { "]" });
    Ok(pairs)
}

/// `"a b"` as `["a","b"]`; null for the line that tells a version.
fn pair_of_line(line: &str) -> Result<Option<String>, String> {
    if line.starts_with("\"#version") {
        return Ok(None);
    }
    let bad = || format!("{line} is no merge of two tokens");
    // An escape could stand for the space that divides the tokens.
    let plain = if line.contains("\\u0020") {
        let text: String = serde_json::from_str(line).map_err(|_| bad())?;
        Cow::Owned(Value::String(text).to_string())
    } else {
        Cow::Borrowed(line)
    };
    let (left, right) = plain.split_once(' ').ok_or_else(bad)?;
    if !line.starts_with('"') || right.contains(' ') {
        return Err(bad());
    }
    Ok(Some(["[", left, "\",\"", right, "]"].concat()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// What the library's own canonicalisation makes of a file.
    fn canonical(text: &str) -> Result<Value, String> {
        let mut json: Value = serde_json::from_str(text).unwrap();
        tokenizers::canonicalize_value(&mut json).map_err(|error| error.to_string())?;
        Ok(json)
    }

    fn file(model: &str) -> String {
        format!(
            r#"{{"version":"1.0","added_tokens":[{{"id":9,"content":"<x>"}}],"normalizer":null,
            "pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}},
            "model":{model},"decoder":{{"type":"ByteLevel"}}}}"#
        )
    }

    #[test]
    fn the_canonical_text_is_what_the_library_makes_of_the_whole() {
        let merges = [
            r##"["#version: 0.2","a b","\\ \"","ab \u00e9"]"##,
            r#"[["a","b"],["a b","c"]]"#,
            r#"["a\u0020b"]"#,
            "[]",
            "null",
        ];
        for merges in merges {
            for kind in [r#""type":"BPE","#, ""] {
                let vocab = r#"{"a":0,"b":1,"ab":2,"\u00e9":3}"#;
                let text = file(&format!(r#"{{{kind}"vocab":{vocab},"merges":{merges}}}"#));
                let outline = TokenizerOutline::read(&text).unwrap();
                assert!(outline.json["model"].get("vocab").is_none());
                let ours: Value = serde_json::from_str(&outline.canonical_text().unwrap()).unwrap();
                assert_eq!(ours, canonical(&text).unwrap(), "{text}");
                assert_eq!(outline.vocabulary_id("é"), Some(3));
                assert_eq!(outline.vocabulary_id("<x>"), None);
            }
        }
    }

    #[test]
    fn what_the_library_refuses_is_refused() {
        for model in [
            r#"{"type":"BPE","vocab":{},"merges":["a b c"]}"#,
            r#"{"type":"BPE","vocab":{},"merges":["ab"]}"#,
            r#"{"type":"BPE","vocab":{},"merges":[7]}"#,
            r#"{"type":"BPE","vocab":{},"merges":{}}"#,
            "7",
        ] {
            let text = file(model);
            assert!(canonical(&text).is_err(), "{text}");
            let outline = TokenizerOutline::read(&text).unwrap();
            assert!(outline.canonical_text().is_err(), "{text}");
        }
        assert!(TokenizerOutline::read("[]").is_err());
        assert!(TokenizerOutline::read(r#"{"model":{"vocab":{}"#).is_err());
    }
}
