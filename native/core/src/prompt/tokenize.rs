//! The tokenize stage: one loaded tokenizer with its chat templates, shared by all threads, token
//! ids exactly as the reference library gives them. `tokenizers` 1.0 does the work; 0.23 is loaded
//! beside it to compare both, and takes its place where they differ or where 1.0 cannot read the
//! file. Called by encode.rs and prefix_store.rs.

#![deny(clippy::indexing_slicing)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};
use tokenizers_reference::Tokenizer as ReferenceTokenizer;

use super::prefix_cuts::TextCutter;
use super::render::ChatRenderer;
use super::strftime::local_now;
use super::tokenizer_files::TokenizerFiles;
use super::tokenizer_outline::TokenizerOutline;

/// Token ids as the tokenizer writes them.
pub type Tokens = Vec<PipelineToken>;

pub fn ids_of(tokens: &Tokens) -> &[u32] {
    PipelineToken::cast_slice(tokens)
}

enum Engine {
    Fast(PipelineTokenizer),
    Reference(Box<ReferenceTokenizer>),
}

/// Ids put before and after a text with special tokens.
pub struct Frame {
    pub before: Vec<u32>,
    pub after: Vec<u32>,
}

pub struct LoadedTokenizer {
    engine: Engine,
    /// Null when the files bring no chat template.
    pub renderer: Option<ChatRenderer>,
    /// Null when texts may not be cut, by their kind or because the self-test failed.
    pub cutter: Option<TextCutter>,
    /// Null when what is put around a text depends on it.
    pub frame: Option<Frame>,
    /// Why the slow library is used; null when the fast one is.
    pub slow_because: Option<String>,
}

/// Random cuts tried before the cutting rule is trusted.
const SELF_TEST_CUTS: usize = 96;
/// Random texts both libraries must tokenise alike.
const SELF_TEST_TEXTS: usize = 48;
/// Pieces the self-tests put texts together from: what has broken rules before.
const SAMPLES: [&str; 22] = [
    "The quick brown fox",
    " jumps over",
    " it's we'll DON'T",
    "\n",
    "\n\n  ",
    "\r\n",
    " \n \t",
    "  indented code(x, y);\n",
    "12345 678",
    "中文字符，没有空格。",
    " 日本語テキスト",
    "\nПривет мир",
    " مرحبا بالعالم",
    " สวัสดี",
    "한국어 조합",
    "👩‍👩‍👧 🇩🇪",
    "e\u{301} \u{301}a a\u{30a}",
    "\u{a0}\u{2003}\u{200b}",
    "...!!! --- \"quoted\"",
    "\0\u{1}",
    " a b c\nd e\n\nf",
    "</s> <|x|>",
];

impl LoadedTokenizer {
    /// Loads a directory; says why, naming the file, when it cannot. Takes about a second.
    pub fn load(directory: &Path) -> Result<Self, String> {
        let files = TokenizerFiles::read(directory)?;
        let file = directory.join("tokenizer.json");
        let (fast, reference) = std::thread::scope(|scope| {
            let reference = scope.spawn(|| read_reference(&files.text));
            let fast = caught(|| read_fast(&files.outline));
            let lost = |_| Err("its loader panicked".to_owned());
            (fast, reference.join().unwrap_or_else(lost))
        });
        let texts = sample_texts(&files);
        let (engine, slow_because) = match (fast, reference) {
            (Ok(fast), Ok(reference)) => match caught(|| compare(&fast, &reference, &texts)) {
                Ok(()) => (Engine::Fast(fast), None),
                Err(problem) => {
                    let why = format!("{}: 1.0 is not used: {problem}", file.display());
                    (Engine::Reference(reference), Some(why))
                }
            },
            // Without the old library there is nothing to compare with.
            (Ok(fast), Err(_)) => (Engine::Fast(fast), None),
            (Err(problem), Ok(reference)) => {
                let why = format!("{}: 1.0 cannot read it: {problem}", file.display());
                (Engine::Reference(reference), Some(why))
            }
            (Err(_), Err(problem)) => return Err(format!("{}: {problem}", file.display())),
        };
        let mut loaded = Self {
            engine,
            renderer: None,
            cutter: None,
            frame: None,
            slow_because,
        };
        loaded.frame = match &files.frame {
            Some(frame) => Some(class_frame(&files, frame)),
            None => loaded.probed_frame(),
        };
        loaded.cutter =
            TextCutter::of(&files).filter(|cutter| loaded.cuts_are_exact(cutter, &texts));
        if let Some(templates) = &files.templates {
            let renderer = ChatRenderer::new(templates, &files.special_tokens, local_now);
            let named = |problem| format!("{}: {problem}", directory.display());
            loaded.renderer = Some(renderer.map_err(named)?);
        }
        Ok(loaded)
    }

    /// Appends the ids of a text without special tokens around it.
    pub fn encode_plain(&self, text: &str, tokens: &mut Tokens) -> Result<(), String> {
        self.encode_raw(text, false, tokens)
    }

    /// Appends the ids of a text.
    pub fn encode(&self, text: &str, special: bool, tokens: &mut Tokens) -> Result<(), String> {
        match &self.frame {
            Some(frame) if special => {
                tokens.extend(frame.before.iter().map(|id| PipelineToken::from(*id)));
                self.encode_raw(text, false, tokens)?;
                tokens.extend(frame.after.iter().map(|id| PipelineToken::from(*id)));
                Ok(())
            }
            _ => self.encode_raw(text, special, tokens),
        }
    }

    fn encode_raw(&self, text: &str, special: bool, tokens: &mut Tokens) -> Result<(), String> {
        match &self.engine {
            Engine::Fast(fast) => encode_fast(fast, text, special, tokens),
            Engine::Reference(reference) => {
                let ids = encode_reference(reference, text, special)?;
                tokens.extend(ids.into_iter().map(PipelineToken::from));
                Ok(())
            }
        }
    }

    fn ids(&self, text: &str, special: bool) -> Option<Vec<u32>> {
        let mut tokens = Tokens::new();
        self.encode_raw(text, special, &mut tokens).ok()?;
        Some(ids_of(&tokens).to_vec())
    }

    /// The frame seen around two texts; null when it is not the same around both.
    fn probed_frame(&self) -> Option<Frame> {
        let mut frame: Option<Frame> = None;
        for text in ["a", "b c"] {
            let plain = self.ids(text, false)?;
            let framed = self.ids(text, true)?;
            let extra = framed.len().checked_sub(plain.len())?;
            let start = match &frame {
                Some(known) => known.before.len(),
                None => (0..=extra).find(|at| framed.get(*at..at + plain.len()) == Some(&plain))?,
            };
            let found = Frame {
                before: framed.get(..start)?.to_vec(),
                after: framed.get(start + plain.len()..)?.to_vec(),
            };
            let same = |known: &Frame| known.before == found.before && known.after == found.after;
            if framed.get(start..start + plain.len()) != Some(&plain)
                || !frame.as_ref().is_none_or(same)
            {
                return None;
            }
            frame = Some(found);
        }
        frame
    }

    /// Compares the ids of whole texts with those of their parts at places the rule allows.
    fn cuts_are_exact(&self, cutter: &TextCutter, texts: &[String]) -> bool {
        let mut random = Random(7);
        (0..SELF_TEST_CUTS).all(|round| {
            let text = texts
                .get(round % texts.len().max(1))
                .map_or("", String::as_str);
            let from = random.below(100);
            let Some(cut) = cutter.next(text, 0, from).filter(|cut| *cut > 0) else {
                return true;
            };
            let (left, right) = text.split_at(cut);
            let parts = self.ids(left, false).zip(self.ids(right, false));
            let joined = parts.map(|(left, right)| [left, right].concat());
            joined.is_some() && joined == self.ids(text, false)
        })
    }
}

/// The frame a class of transformers adds, whatever tokenizer.json says.
fn class_frame(files: &TokenizerFiles, frame: &(Option<String>, Option<String>)) -> Frame {
    let ids = |text: &Option<String>| -> Vec<u32> {
        let id = text.as_deref().and_then(|text| files.token_id(text));
        id.into_iter().collect()
    };
    Frame {
        before: ids(&frame.0),
        after: ids(&frame.1),
    }
}

/// What a library says; its panic becomes an error, so that the other one can take over.
fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn read_fast(outline: &TokenizerOutline) -> Result<PipelineTokenizer, String> {
    let text = outline.canonical_text()?;
    tokenizers::from_json(&text).map_err(|error| error.to_string())
}

fn read_reference(text: &str) -> Result<Box<ReferenceTokenizer>, String> {
    let read = ReferenceTokenizer::from_bytes(text.as_bytes());
    let mut tokenizer = Box::new(read.map_err(|error| error.to_string())?);
    // Limits in the file are for training; engines encode whole prompts.
    tokenizer
        .with_truncation(None)
        .map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn encode_fast(
    tokenizer: &PipelineTokenizer,
    text: &str,
    special: bool,
    tokens: &mut Tokens,
) -> Result<(), String> {
    let options = EncodeOptions {
        add_special_tokens: special,
        encode_special_tokens: false,
        padding: Override::Off,
        truncation: Override::Off,
    };
    tokenizer
        .encode_into(text, &options, tokens)
        .map_err(|error| error.to_string())
}

fn encode_reference(
    tokenizer: &ReferenceTokenizer,
    text: &str,
    special: bool,
) -> Result<Vec<u32>, String> {
    let encoding = tokenizer
        .encode_fast(text, special)
        .map_err(|error| error.to_string())?;
    Ok(encoding.get_ids().to_vec())
}

/// Says which text both libraries do not tokenise alike.
fn compare(
    fast: &PipelineTokenizer,
    reference: &ReferenceTokenizer,
    texts: &[String],
) -> Result<(), String> {
    let differs = |text: &&String| {
        [false, true].into_iter().any(|special| {
            let mut tokens = Tokens::new();
            let read = encode_fast(fast, text, special, &mut tokens);
            read.is_err()
                || encode_reference(reference, text, special).ok().as_deref()
                    != Some(ids_of(&tokens))
        })
    };
    match texts.iter().find(differs) {
        None => Ok(()),
        Some(text) => Err(format!("it differs on {text:?}")),
    }
}

/// Texts put together at random, always the same ones, with the tokenizer's own tokens among them.
fn sample_texts(files: &TokenizerFiles) -> Vec<String> {
    let content = |token: &Value| {
        token
            .get("content")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let tokens: Vec<String> = files.added_tokens().filter_map(content).collect();
    let mut random = Random(1);
    (0..SELF_TEST_TEXTS)
        .map(|_| {
            let mut text = String::new();
            while text.len() < 200 {
                let piece = SAMPLES.get(random.below(SAMPLES.len())).copied();
                let token = tokens
                    .get(random.below(tokens.len().max(1)))
                    .map(String::as_str);
                let piece = if random.below(5) == 0 { token } else { piece };
                text.push_str(piece.unwrap_or_default());
            }
            text
        })
        .collect()
}

/// Numbers that only have to be spread, not unguessable.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}
