//! Text that looks like what people send to models: English prose with names, numbers and lists,
//! and code in between. A tokenizer's cost depends on it, so random letters would measure nothing.
//! Everything is written already escaped for a JSON string.

use std::fmt::Write;

use crate::random::Random;

const WORDS: &str = include_str!("words.txt");

/// The word lists, cut once.
pub struct Vocabulary {
    nouns: Vec<&'static str>,
    verbs: Vec<&'static str>,
    adjectives: Vec<&'static str>,
    adverbs: Vec<&'static str>,
    prepositions: Vec<&'static str>,
    links: Vec<&'static str>,
    names: Vec<&'static str>,
}

impl Vocabulary {
    pub fn new() -> Self {
        let list = |class: &str| {
            let of_class = |line: &'static str| line.strip_prefix(class)?.strip_prefix(": ");
            let words = WORDS.lines().find_map(of_class).unwrap_or("word");
            words.split(' ').collect()
        };
        Self {
            nouns: list("noun"),
            verbs: list("verb"),
            adjectives: list("adjective"),
            adverbs: list("adverb"),
            prepositions: list("preposition"),
            links: list("link"),
            names: list("name"),
        }
    }

    pub fn noun(&self, random: &mut Random) -> &'static str {
        pick(&self.nouns, random)
    }

    /// Appends paragraphs until `out` is `bytes` longer, to within a word or two.
    pub fn write_text(&self, random: &mut Random, bytes: usize, out: &mut String) {
        let end = out.len() + bytes;
        while out.len() < end {
            match random.below(16) {
                0..3 => self.code(random, out),
                3 => self.list(random, out),
                _ => self.paragraph(random, end, out),
            }
        }
        cut_at_space(out, end);
    }

    fn paragraph(&self, random: &mut Random, end: usize, out: &mut String) {
        for _ in 0..2 + random.below(5) {
            self.sentence(random, out);
            if out.len() >= end {
                return;
            }
            out.push(' ');
        }
        out.push_str("\\n\\n");
    }

    fn sentence(&self, random: &mut Random, out: &mut String) {
        let start = out.len();
        self.clause(random, out);
        if random.chance(45) {
            out.push_str(if random.chance(60) { ", " } else { " " });
            out.push_str(pick(&self.links, random));
            out.push(' ');
            self.clause(random, out);
        }
        capitalise(out, start);
        out.push_str(match random.below(12) {
            0 => "?",
            1 => "!",
            2 => ":",
            _ => ".",
        });
    }

    fn clause(&self, random: &mut Random, out: &mut String) {
        self.subject(random, out);
        out.push(' ');
        if random.chance(20) {
            out.push_str(pick(&self.adverbs, random));
            out.push(' ');
        }
        out.push_str(pick(&self.verbs, random));
        out.push(' ');
        self.thing(random, out);
        if random.chance(60) {
            out.push(' ');
            out.push_str(pick(&self.prepositions, random));
            out.push(' ');
            self.thing(random, out);
        }
    }

    fn subject(&self, random: &mut Random, out: &mut String) {
        match random.below(6) {
            0 => out.push_str(pick(&self.names, random)),
            1 => out.push_str(pick(&["I", "we", "you", "they", "it"], random)),
            _ => self.thing(random, out),
        }
    }

    fn thing(&self, random: &mut Random, out: &mut String) {
        if random.chance(14) {
            // Figures, dates, identifiers: rare in prose, dear in tokens.
            let number = random.below(1_000_000);
            let written = match random.below(4) {
                0 => write!(out, "{}.{:02} percent", number % 100, number % 97),
                1 => write!(
                    out,
                    "20{:02}-{:02}-{:02}",
                    number % 30,
                    1 + number % 12,
                    1 + number % 28
                ),
                2 => write!(out, "`{}_{}`", self.noun(random), number % 1000),
                _ => write!(
                    out,
                    "\\\"{} {}\\\"",
                    pick(&self.adjectives, random),
                    self.noun(random)
                ),
            };
            debug_assert!(written.is_ok());
            return;
        }
        out.push_str(pick(
            &["the ", "a ", "this ", "our ", "every ", "some ", ""],
            random,
        ));
        if random.chance(50) {
            out.push_str(pick(&self.adjectives, random));
            out.push(' ');
        }
        out.push_str(self.noun(random));
    }

    fn list(&self, random: &mut Random, out: &mut String) {
        for _ in 0..3 + random.below(4) {
            out.push_str("- ");
            self.clause(random, out);
            out.push_str("\\n");
        }
        out.push_str("\\n");
    }

    fn code(&self, random: &mut Random, out: &mut String) {
        let (noun, other, verb) = (
            self.noun(random),
            self.noun(random),
            pick(&self.verbs, random),
        );
        let (most, step) = (random.below(4096), 1 + random.below(16));
        let written = write!(
            out,
            "```python\\ndef {verb}_{noun}({other}s: list[dict], limit: int = {most}) -> int:\\n    \
             total = 0\\n    for i, {other} in enumerate({other}s):\\n        \
             if {other}[\\\"{noun}\\\"] >= limit and i % {step} == 0:\\n            \
             total += {other}.get(\\\"{noun}_count\\\", 0)  # {verb} it once\\n    return total\\n```\\n\\n"
        );
        debug_assert!(written.is_ok());
    }
}

fn pick(words: &[&'static str], random: &mut Random) -> &'static str {
    words
        .get(random.below(words.len()))
        .copied()
        .unwrap_or("word")
}

fn capitalise(out: &mut String, start: usize) {
    let Some(first) = out.get(start..).and_then(|rest| rest.chars().next()) else {
        return;
    };
    if first.is_ascii_lowercase() {
        out.replace_range(start..=start, &first.to_ascii_uppercase().to_string());
    }
}

/// Shortens `out` to its last space before `end`: words and escapes stay whole.
fn cut_at_space(out: &mut String, end: usize) {
    let Some(head) = out.as_bytes().get(..end) else {
        return;
    };
    if let Some(space) = memchr::memrchr(b' ', head) {
        out.truncate(space);
    }
}

#[cfg(test)]
mod tests {
    use super::Vocabulary;
    use crate::random::Random;

    fn text(seed: u64, bytes: usize) -> String {
        let mut out = String::new();
        Vocabulary::new().write_text(&mut Random::new(seed, 0), bytes, &mut out);
        out
    }

    #[test]
    fn text_is_as_long_as_asked_and_seeded() {
        for seed in 0..50 {
            let own = text(seed, 1000);
            assert!((900..=1000).contains(&own.len()), "{} bytes", own.len());
            assert_eq!(own, text(seed, 1000));
            assert_ne!(own, text(seed + 1, 1000));
        }
    }

    #[test]
    fn text_stands_inside_a_json_string_as_it_is() {
        for seed in 0..50 {
            let own = text(seed, 4000);
            let plain = own
                .replace("\\\\", "")
                .replace("\\\"", "")
                .replace("\\n", "");
            assert!(!plain.contains(['"', '\\', '\n']), "{plain}");
        }
    }
}
