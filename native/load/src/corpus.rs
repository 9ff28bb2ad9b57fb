//! Bodies of chat completions by number: unseen ones, ones from a small pool that comes round, and
//! ones that share four fifths with a body of that pool. `corpus` prints what a load will send, so
//! that the benchmark can publish the KV events an engine would have published for it.

use std::fmt::Write;
use std::io::{BufWriter, Write as _};

use crate::arguments::Arguments;
use crate::random::Random;
use crate::text::Vocabulary;

/// How one body relates to those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Variety {
    /// Every body is new.
    Unseen,
    /// Bodies of the pool in turn.
    Seen,
    /// Four fifths of the messages are those of a body of the pool, the rest is new.
    Shared,
}

/// Where the numbers of bodies that belong to no pool begin.
const FRESH: u64 = 1 << 32;
const SHARED_FIFTHS: usize = 4;

pub struct Corpus {
    vocabulary: Vocabulary,
    variety: Variety,
    seed: u64,
    pool: u64,
    /// Number of the next body; rounds of one run begin at different ones.
    next: u64,
    messages: usize,
    message_bytes: usize,
    head: String,
    tail: String,
    /// Bodies of the pool written so far: writing one costs more than a cheap proxy's request.
    written: Vec<String>,
}

pub const OPTIONS: &[&str] = &[
    "model",
    "body-bytes",
    "messages",
    "tools",
    "variety",
    "seed",
    "pool",
    "first",
    "tokens",
    "stream",
    "count",
];

impl Corpus {
    pub fn new(arguments: &Arguments) -> Result<Self, String> {
        let variety = match arguments.text("variety", "unseen") {
            "unseen" => Variety::Unseen,
            "seen" => Variety::Seen,
            "shared" => Variety::Shared,
            other => return Err(format!("--variety {other}: unseen, seen or shared")),
        };
        let vocabulary = Vocabulary::new();
        let seed = arguments.number("seed", 1, 0, u64::MAX)?;
        let messages = arguments.number("messages", 2, 1, 1000)? as usize;
        let bytes = arguments.number("body-bytes", 1024, 256, 8 << 20)? as usize;
        let model = arguments.text("model", "bench");
        let head = format!("{{\"model\":\"{model}\",\"messages\":[");
        let tools = arguments.number("tools", 0, 0, 100)? as usize;
        let mut tail = "]".to_owned();
        write_tools(&vocabulary, seed, tools, &mut tail);
        let tokens = arguments.number("tokens", 1, 1, 1_000_000)?;
        let stream = arguments.number("stream", 0, 0, 1)? == 1;
        tail.push_str(&format!(",\"max_tokens\":{tokens},\"stream\":{stream}}}"));
        // `{"role":"assistant","content":""},`
        let overhead = head.len() + tail.len() + messages * 32;
        Ok(Self {
            vocabulary,
            variety,
            seed,
            pool: arguments.number("pool", 32, 1, 1 << 20)?,
            next: arguments.number("first", 0, 0, 1 << 40)?,
            messages,
            message_bytes: bytes.saturating_sub(overhead) / messages,
            head,
            tail,
            written: Vec::new(),
        })
    }

    /// Appends the next body to `out`.
    pub fn write_next(&mut self, out: &mut String) {
        let at = self.next;
        self.next += 1;
        if self.variety != Variety::Seen {
            return self.write(at, out);
        }
        let place = (at % self.pool) as usize;
        while self.written.len() <= place {
            let mut body = String::new();
            self.write(self.written.len() as u64, &mut body);
            self.written.push(body);
        }
        if let Some(body) = self.written.get(place) {
            out.push_str(body);
        }
    }

    fn write(&self, at: u64, out: &mut String) {
        let (prefix, suffix, shared) = match self.variety {
            Variety::Unseen => (FRESH + at, FRESH + at, 0),
            Variety::Seen => (at % self.pool, at % self.pool, 0),
            Variety::Shared => (
                at % self.pool,
                FRESH + at,
                self.messages * SHARED_FIFTHS / 5,
            ),
        };
        out.push_str(&self.head);
        for message in 0..self.messages {
            let chat = if message < shared { prefix } else { suffix };
            let mut random = Random::new(self.seed ^ chat << 16, message as u64);
            let role = match message {
                0 if self.messages > 1 => "system",
                _ if message % 2 == 1 || self.messages == 1 => "user",
                _ => "assistant",
            };
            if message > 0 {
                out.push(',');
            }
            out.push_str("{\"role\":\"");
            out.push_str(role);
            out.push_str("\",\"content\":\"");
            self.vocabulary
                .write_text(&mut random, self.message_bytes, out);
            out.push_str("\"}");
        }
        out.push_str(&self.tail);
    }
}

fn write_tools(vocabulary: &Vocabulary, seed: u64, tools: usize, out: &mut String) {
    for tool in 0..tools {
        let mut random = Random::new(seed, (1 << 40) + tool as u64);
        out.push_str(if tool == 0 { ",\"tools\":[" } else { "," });
        let (noun, other) = (vocabulary.noun(&mut random), vocabulary.noun(&mut random));
        let mut describe = |bytes| {
            let mut text = String::new();
            vocabulary.write_text(&mut random, bytes, &mut text);
            text
        };
        let written = write!(
            out,
            "{{\"type\":\"function\",\"function\":{{\"name\":\"get_{noun}_{tool}\",\"description\":\"{}\",\
             \"parameters\":{{\"type\":\"object\",\"properties\":{{\"{other}\":{{\"type\":\"string\",\
             \"description\":\"{}\"}},\"limit\":{{\"type\":\"integer\",\"minimum\":1,\"maximum\":100}},\
             \"unit\":{{\"type\":\"string\",\"enum\":[\"metric\",\"imperial\"]}}}},\
             \"required\":[\"{other}\"]}}}}}}",
            describe(200),
            describe(80)
        );
        debug_assert!(written.is_ok());
    }
    if tools > 0 {
        out.push(']');
    }
}

/// `corpus`: prints `--count` bodies, one a line.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut corpus = Corpus::new(arguments)?;
    let count = arguments.number("count", 1, 1, 1 << 20)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut body = String::new();
    for _ in 0..count {
        body.clear();
        corpus.write_next(&mut body);
        body.push('\n');
        out.write_all(body.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Corpus, OPTIONS};
    use crate::arguments::Arguments;

    fn bodies(line: &str, count: usize) -> Vec<String> {
        let words = line.split(' ').map(str::to_owned);
        let mut corpus = Corpus::new(&Arguments::parse(OPTIONS, words).unwrap()).unwrap();
        let next = |_| {
            let mut body = String::new();
            corpus.write_next(&mut body);
            body
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn bodies_are_as_long_as_asked() {
        for line in [
            "--body-bytes 1024",
            "--body-bytes 32768 --messages 30 --tools 5",
        ] {
            let asked: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
            for body in bodies(line, 20) {
                let off = body.len().abs_diff(asked);
                assert!(off < asked / 10, "{} instead of {asked}", body.len());
            }
        }
    }

    #[test]
    fn seen_bodies_come_round_and_unseen_ones_never() {
        let seen = bodies("--variety seen --pool 3", 7);
        assert_eq!(seen[0], seen[3]);
        assert_ne!(seen[0], seen[1]);
        let mut unseen = bodies("--variety unseen --pool 3", 50);
        unseen.dedup();
        assert_eq!(unseen.len(), 50);
    }

    #[test]
    fn shared_bodies_begin_as_seen_ones() {
        let line = "--body-bytes 32768 --messages 30 --pool 2 --variety";
        let seen = bodies(&format!("{line} seen"), 2);
        for (at, body) in bodies(&format!("{line} shared"), 6).iter().enumerate() {
            let equal = |(a, b): &(u8, u8)| a == b;
            let common = body
                .bytes()
                .zip(seen[at % 2].bytes())
                .take_while(equal)
                .count();
            let share = common * 100 / body.len();
            assert!((75..85).contains(&share), "{share} %");
        }
    }
}
