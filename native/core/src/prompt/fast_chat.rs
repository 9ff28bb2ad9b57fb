//! Most chats are a system prompt and plain turns, and most templates print them as a head, the
//! texts with something constant between them, and a tail. Where that is so it is learned from the
//! template itself, for each system prompt and set of tools once, and such chats are then put
//! together straight from the body's bytes at a tenth of the cost. Learned is only what chats made
//! for it, rendered both ways, have confirmed; whatever is out of the ordinary goes to the template.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::json_tape::{Kind, Tape};
use super::json_text::without_lone_surrogates;
use super::literals::Literals;
use super::messages::{BILLING_HEADER, Source};
use super::parse::{Chat, Prompt, parse_request};
use super::prefix_cuts::TokenFinder;
use super::python_strings::{Side, strip};
use super::render::ChatRenderer;
use super::template::RenderFailure;
use crate::prepare::Route;

/// Bytes of all frames kept; one is a system prompt and tools with what the template makes of them.
const FRAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of the longest system prompt with tools whose frame is kept.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Messages from which on learning a frame costs less than running the template once.
const LEARNED_AT_ONCE: usize = 8;
/// System prompts remembered as seen once, so that those of one request only are not learned.
const SEEN_MAX: usize = 4096;
/// Texts that no template looks for, and that trimming leaves alone.
const PROBES: [&str; 3] = ["Zq1kProbe", "Zq2kProbe", "Zq3kProbe"];

/// What is around the texts of a chat.
struct Frame {
    /// Tools and system prompt as the client wrote them.
    key: Box<str>,
    head: String,
    user_to_assistant: String,
    assistant_to_user: String,
    tail: String,
}

/// Which chats are put together without the template.
#[derive(Clone, Copy)]
struct Rule {
    ends: Ends,
    with_tools: bool,
}

/// What becomes of whitespace at the ends of texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Kept,
    /// Trimmed, as Python does it.
    Stripped,
    /// Something else: only texts that have none are put together.
    Bare,
}

pub struct FastChat {
    rule: Rule,
    /// What the template looks for in texts.
    contained: TokenFinder,
    compared: Vec<String>,
    /// Turns from which on a frame is learned when it is first asked for.
    learned_at_once: usize,
    frames: Mutex<Frames>,
}

#[derive(Default)]
struct Frames {
    known: HashMap<u64, Arc<Frame>>,
    bytes: usize,
    seen: HashSet<u64>,
}

impl Frames {
    /// Whether a frame was asked for before.
    fn was_seen(&mut self, hash: u64) -> bool {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        !self.seen.insert(hash)
    }

    fn insert(&mut self, hash: u64, frame: Arc<Frame>) {
        let bytes = frame.key.len() + frame.head.len();
        if self.bytes + bytes > FRAMES_BYTES_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.known.insert(hash, frame);
    }
}

/// A plain chat on the tape: user and assistant in turn, the user last.
struct Turns {
    system: Option<u32>,
    /// Position of the first turn among the messages.
    first: usize,
    count: usize,
}

impl FastChat {
    /// Learns a template; null when its chats are not put together in that way.
    pub fn learn(renderer: &ChatRenderer, source: &str, literals: Literals) -> Option<Self> {
        // What depends on the time cannot be kept.
        if source.contains("strftime_now") {
            return None;
        }
        // One that cannot be run, or not to its end, is not tried hundreds of times.
        let nothing = Source {
            text: "",
            tape: &Tape::default(),
        };
        let plain = renderer.render_texts(nothing, None, &[("user", Value::from("a"))]);
        if matches!(plain, Err(RenderFailure::Failed(_))) {
            return None;
        }
        let mut contained = TokenFinder::default();
        for text in &literals.contained {
            contained.add(text.as_bytes(), true);
        }
        let mut fast = Self {
            rule: Rule {
                ends: Ends::Kept,
                with_tools: true,
            },
            contained,
            compared: literals.compared,
            learned_at_once: 0,
            frames: Mutex::default(),
        };
        let rules = [true, false].into_iter().flat_map(|with_tools| {
            [Ends::Kept, Ends::Stripped, Ends::Bare].map(|ends| Rule { ends, with_tools })
        });
        for rule in rules {
            fast.rule = rule;
            if fast.is_confirmed(renderer) {
                fast.learned_at_once = LEARNED_AT_ONCE;
                return Some(fast);
            }
        }
        None
    }

    /// The prompt of a plain chat; null for every other.
    pub fn render(&self, slow: &ChatRenderer, source: Source<'_>, chat: &Chat) -> Option<String> {
        let is_plain = chat.add_generation_prompt
            && !chat.continue_final_message
            && chat.documents.is_none()
            && chat.reasoning_effort.is_none()
            && chat.template_arguments.is_none()
            && !chat.conversion.is_some_and(|asks| asks.thinking_off)
            && (self.rule.with_tools || chat.tools.is_none());
        let turns = plain_turns(source, chat.messages).filter(|_| is_plain)?;
        let frame = self.frame(slow, source, chat, &turns)?;
        let mut out = String::with_capacity(source.text.len() + frame.head.len());
        out.push_str(&frame.head);
        for (at, message) in source
            .tape
            .items(chat.messages)
            .skip(turns.first)
            .enumerate()
        {
            if at > 0 {
                out.push_str(if at % 2 == 1 {
                    &frame.user_to_assistant
                } else {
                    &frame.assistant_to_user
                });
            }
            let start = out.len();
            let content = source.tape.get(source.text, message, "content")?;
            source.tape.push_text(source.text, content, &mut out);
            if self.rule.ends == Ends::Stripped {
                strip_from(&mut out, start);
            }
            if !self.is_ordinary(out.get(start..)?) {
                return None;
            }
        }
        out.push_str(&frame.tail);
        Some(out)
    }

    /// Whether no branch of the template is made for a text.
    fn is_ordinary(&self, text: &str) -> bool {
        let bare = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace() && !c.is_control());
        let mut ends = text.chars();
        let is_bare = bare(ends.next()) && bare(text.chars().next_back());
        !text.is_empty()
            && (is_bare || self.rule.ends != Ends::Bare)
            && !self.contained.is_in(text.as_bytes())
            && !self.compared.iter().any(|other| other == text)
    }

    fn frame(
        &self,
        slow: &ChatRenderer,
        source: Source<'_>,
        chat: &Chat,
        turns: &Turns,
    ) -> Option<Arc<Frame>> {
        let system = turns.system;
        let raw = |at: Option<u32>| at.map_or("", |at| source.tape.raw(source.text, at));
        let (tools, prompt) = (raw(chat.tools), raw(system));
        if tools.len() + prompt.len() > FRAME_BYTES_MAX {
            return None;
        }
        let kind = if system.is_some() { "s" } else { "n" };
        let hash = xxh3_64(tools.as_bytes()) ^ xxh3_64(prompt.as_bytes()).rotate_left(1);
        let is_key = |key: &str| {
            let rest = key
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix(tools));
            rest == Some(prompt)
        };
        let mut frames = lock(&self.frames);
        let known = frames.known.get(&hash).filter(|known| is_key(&known.key));
        if let Some(known) = known {
            return Some(Arc::clone(known));
        }
        if turns.count < self.learned_at_once && !frames.was_seen(hash) {
            return None;
        }
        drop(frames);
        let key = [kind, tools, prompt].concat().into_boxed_str();
        let frame = Arc::new(learn_frame(slow, source, chat, system, key)?);
        lock(&self.frames).insert(hash, Arc::clone(&frame));
        Some(frame)
    }

    /// Renders chats both ways; every one that is put together must come out equal.
    fn is_confirmed(&self, slow: &ChatRenderer) -> bool {
        *lock(&self.frames) = Frames::default();
        let mut confirmed = 0;
        for round in 0..TEST_CHATS {
            let body = test_chat(round);
            let mut tape = Tape::default();
            let request = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape);
            let Ok(Prompt::Chat(chat)) = request.map(|request| request.prompt) else {
                return false;
            };
            let source = Source {
                text: &body,
                tape: &tape,
            };
            let Some(fast) = self.render(slow, source, &chat) else {
                continue;
            };
            if !matches!(slow.render_by_template(source, &chat), Ok(text) if text == fast) {
                return false;
            }
            confirmed += 1;
        }
        confirmed >= TEST_CHATS / 8
    }
}

/// Trims what was appended from `start` on.
fn strip_from(out: &mut String, start: usize) {
    let text = out.get(start..).unwrap_or_default();
    let before = text.len() - strip(text, None, Side::Left).len();
    let after = text.len() - strip(text, None, Side::Right).len();
    if before == text.len() {
        return out.truncate(start);
    }
    out.truncate(out.len() - after);
    if before > 0 {
        out.drain(start..start + before);
    }
}

/// What the template puts around texts after this system prompt and these tools; null when it is
/// not the same around one and around three.
fn learn_frame(
    slow: &ChatRenderer,
    source: Source<'_>,
    chat: &Chat,
    system: Option<u32>,
    key: Box<str>,
) -> Option<Frame> {
    let system = system.map(|at| source.value(at));
    let render = |texts: &[&str]| -> Option<String> {
        let messages: Vec<(&str, Value)> = system
            .iter()
            .map(|text| ("system", text.clone()))
            .chain(texts.iter().enumerate().map(|(at, text)| {
                let role = if at % 2 == 0 { "user" } else { "assistant" };
                (role, Value::from(*text))
            }))
            .collect();
        // Kept for bodies of which this text is not read again, so nothing else would replace these.
        let text = slow.render_texts(source, chat.tools, &messages);
        text.ok().map(without_lone_surrogates)
    };
    let [first, second, third] = PROBES;
    let one = render(&[first])?;
    let three = render(&[first, second, third])?;
    let (head, rest) = three.split_once(first)?;
    let (user_to_assistant, rest) = rest.split_once(second)?;
    let (assistant_to_user, tail) = rest.split_once(third)?;
    (one == [head, first, tail].concat()).then(|| Frame {
        key,
        head: head.to_owned(),
        user_to_assistant: user_to_assistant.to_owned(),
        assistant_to_user: assistant_to_user.to_owned(),
        tail: tail.to_owned(),
    })
}

/// Null when the messages are not plain turns of role and text alone.
fn plain_turns(source: Source<'_>, messages: u32) -> Option<Turns> {
    let mut system = None;
    let mut count = 0;
    for (at, message) in source.tape.items(messages).enumerate() {
        if source.tape.entries(message).count() != 2 {
            return None;
        }
        let role = source.tape.get(source.text, message, "role")?;
        let content = source.tape.get(source.text, message, "content")?;
        if source.tape.node(content).kind != Kind::Text {
            return None;
        }
        let is = |name| source.tape.is(source.text, role, name);
        if at == 0 && is("system") {
            if source.tape.begins(source.text, content, BILLING_HEADER) {
                return None;
            }
            system = Some(content);
            continue;
        }
        if !is(if count % 2 == 0 { "user" } else { "assistant" }) {
            return None;
        }
        count += 1;
    }
    (count % 2 == 1).then_some(Turns {
        system,
        first: usize::from(system.is_some()),
        count,
    })
}

/// Chats that what was learned is tried on.
const TEST_CHATS: usize = 96;
const TEST_TEXTS: [&str; 16] = [
    "Hello!",
    "What's 12345 + 67890?",
    "several\\nlines\\n\\n of text",
    "  spaces around ",
    "\\nnewlines around\\n\\n",
    "\\ttabs\\t",
    "你好，世界。 こんにちは",
    "Привет <b>мир</b> &amp; \\\"quoted\\\" \\\\ back",
    "def f(x):\\n    return x[1:]  # {{ not }} {% a %} template",
    "{\\\"json\\\": [1, 2.0, null]}",
    "👩‍👩‍👧 emoji",
    "user",
    "assistant: system",
    "0",
    "None",
    "a rather long text. a rather long text. a rather long text. a rather long text.",
];
const TEST_TOOLS: &str = r#","tools":[{"type":"function","function":{"name":"f","description":"é <x>","parameters":{"type":"object","properties":{"a":{"type":"number","default":1.0}}}}},{"type":"function","function":{"name":"g"}}]"#;

/// The body of a test chat: with and without system prompt and tools, one to nine turns.
fn test_chat(round: usize) -> String {
    let text = |at: usize| {
        let spread = (round * 31 + at * 17 + at * at * 7 + round * round) % TEST_TEXTS.len();
        TEST_TEXTS.get(spread).copied().unwrap_or_default()
    };
    let mut messages = Vec::new();
    if round % 2 == 1 {
        messages.push(format!(r#"{{"role":"system","content":"{}"}}"#, text(99)));
    }
    for at in 0..=(round / 4 % 5) * 2 {
        let role = if at % 2 == 0 { "user" } else { "assistant" };
        messages.push(format!(r#"{{"role":"{role}","content":"{}"}}"#, text(at)));
    }
    let tools = if round % 4 >= 2 { TEST_TOOLS } else { "" };
    format!(
        r#"{{"model":"m","messages":[{}]{tools}}}"#,
        messages.join(",")
    )
}

/// Frames are whole whenever the lock is free.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
