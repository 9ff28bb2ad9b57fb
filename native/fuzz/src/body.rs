//! Request bodies: what parsing accepts is JSON to an ordinary reader too, what it cuts out leaves
//! JSON behind, and what it refuses as no JSON is none.

use serde::de::IgnoredAny;
use warmpath_core::layout::error;
use warmpath_core::prepare::Route;
use warmpath_core::prompt::json_tape::Tape;
use warmpath_core::prompt::parse::{Request, parse_request};

use crate::Target;
use crate::seeds::golden;

/// Input: a byte that chooses the route, then the body.
pub const TARGET: Target = Target {
    name: "body",
    run,
    seeds,
    words: &[
        "\"kv_transfer_params\":{},",
        "\"vllm_xargs\":{\"kv_cache_report_mode\":1}",
        ",\"ec_transfer_params\":0",
        "\"model\":\"m\"",
        "mod\\u0065l",
        "\\ud800",
        "\\udc00",
        "1e400",
        "-0.0",
        "[[[[",
        "{\"a\":",
        "\"messages\":",
        "\"prompt\":",
        "\"content\":[{\"type\":\"text\",\"text\":\"x\"}]",
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}",
        "\"token_ids\":[1,2]",
        "\"input_ids\":[[1]]",
        "\"bootstrap_host\":1",
        "\u{feff}",
        "null",
        "true",
    ],
};

const STRIPPED: [&str; 5] = [
    "kv_transfer_params",
    "ec_transfer_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
];

fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let route = match choice % 7 {
        0 => Route::ChatCompletions,
        1 => Route::Completions,
        2 => Route::VllmGenerate,
        3 => Route::SglangGenerate,
        4 => Route::Messages,
        5 => Route::Responses,
        _ => Route::Passthrough,
    };
    let mut tape = Tape::default();
    match parse_request(bytes, route, &mut tape) {
        Ok(request) => accepted(bytes, &request, route),
        Err(refusal) if refusal.code == error::INVALID_JSON => {
            assert!(!is_plain_json(bytes), "refused: {}", refusal.detail);
        }
        Err(refusal) => assert!(!refusal.detail.is_empty()),
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && tape.read_value(text).is_ok()
    {
        assert!(is_plain_json(bytes), "read_value takes what is no JSON");
    }
}

fn accepted(bytes: &[u8], request: &Request<'_>, route: Route) {
    let is_passed_unread = request.cuts.is_empty() && request.model_bytes == 0;
    let unread = [Route::Passthrough, Route::Messages, Route::Responses];
    if unread.contains(&route) && is_passed_unread {
        return;
    }
    assert!(is_plain_json(bytes), "accepted what is no JSON");
    if request.model_bytes > 0 {
        let start = request.model_offset as usize;
        let name = &bytes[start..start + request.model_bytes as usize];
        assert!(name.first() == name.last() && name.first() == Some(&b'"') || name == b"null");
    }
    let mut left = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for (start, length) in &request.cuts {
        let (start, length) = (*start as usize, *length as usize);
        assert!(
            start >= at && length > 0,
            "cuts overlap: {:?}",
            request.cuts
        );
        left.extend_from_slice(&bytes[at..start]);
        at = start + length;
    }
    left.extend_from_slice(&bytes[at..]);
    if request.cuts.is_empty() {
        return;
    }
    assert!(
        is_plain_json(&left),
        "cuts leave no JSON: {:?}",
        request.cuts
    );
    let mut tape = Tape::default();
    let again = parse_request(&left, route, &mut tape);
    let again = again.unwrap_or_else(|refusal| panic!("refused once cut: {}", refusal.detail));
    assert!(again.cuts.is_empty(), "a second parse cuts more");
    assert_eq!(again.model, request.model);
    assert_eq!(again.cache_salt, request.cache_salt);
    let text = std::str::from_utf8(&left).unwrap();
    for name in STRIPPED {
        assert!(tape.member(text, name).is_none(), "{name} is still there");
    }
}

/// JSON in UTF-8 without a byte order mark, to serde_json.
fn is_plain_json(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Bodies of chats, as golden data has them.
pub fn chats() -> Vec<Vec<u8>> {
    let golden = golden("chat-templates-qwen.json");
    let cases = golden["cases"].as_array().unwrap();
    let body = |case: &serde_json::Value| {
        let mut body = serde_json::json!({ "model": "m", "messages": case["messages"] });
        for (name, argument) in case["kwargs"].as_object().unwrap() {
            let taken = ["tools", "add_generation_prompt", "continue_final_message"];
            if taken.contains(&name.as_str()) {
                body[name] = argument.clone();
            } else {
                body["chat_template_kwargs"][name] = argument.clone();
            }
        }
        body.to_string().into_bytes()
    };
    cases.iter().map(body).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let texts: [&str; 17] = [
        r#"{"model":"m","prompt":"once","stream":true,"priority":-3,"cache_salt":"s"}"#,
        r#"{"model":"m","prompt":[1,2,3],"kv_transfer_params":{"a":[1]}}"#,
        r#"{"kv_transfer_params":{},"model":"m","ec_transfer_params":null,"prompt":["a"]}"#,
        r#"{"vllm_xargs":{"kv_cache_report_mode":1,"b":2},"model":"m","messages":[]}"#,
        r#"{ "vllm_xargs" : { "a" : 1 , "kv_cache_report_mode" : 2 } , "prompt" : "x" }"#,
        r#"{"mod\u0065l":"m","model":"n"}"#,
        r#"{"__proto__":{"a":1},"constructor":1,"model":"m","messages":[{"role":"user"}]}"#,
        r#"{"messages":[{"role":"user","content":"\ud800\udc00 \ud800 \udfff"}]}"#,
        r#"{"messages":[{"role":"user","content":1e400}],"priority":1e999}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#,
        r#"{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"},{"type":"image","source":{"data":"x"}}]},{"type":"text","text":"\u0061"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"y"},{"type":"tool_use","id":"t","name":"f","input":{"a":[1.0]}}]}],"tools":[{"name":"f","input_schema":{}}],"thinking":{"type":"disabled"}}"#,
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[],"content":[{"text":"r"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}","namespace":"n"},{"type":"custom_tool_call","call_id":"d","name":"p","input":"\n"},{"type":"function_call_output","call_id":"c","output":"o"}],"instructions":"i","tools":[{"type":"custom","name":"p"},{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]}],"reasoning":{"effort":"low"}}"#,
        r#"{"input":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"so"}],"status":"incomplete"}]}"#,
        "\u{feff}{}",
        "",
        "[]",
        "{\"model\":\"m\",\"prompt\":\"a\0b\"}",
    ];
    let mut bodies: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    bodies.extend(chats());
    bodies.extend(bombs());
    let given = |choice: u8| {
        bodies
            .iter()
            .map(move |body| [&[choice], &body[..]].concat())
    };
    (0..7).flat_map(given).collect()
}

/// What keeps other readers of JSON busy for seconds.
fn bombs() -> Vec<Vec<u8>> {
    let keys: String = (0..20_000).map(|n| format!("\"k{n}\":{n},")).collect();
    let escapes = "\\u0041".repeat(20_000);
    let messages = r#"{"role":"user","content":"a"},"#.repeat(3_000);
    let open = r#"{"messages":"#;
    vec![
        b"[".repeat(200_000),
        br#"{"a":"#.repeat(60_000),
        format!("{open}{}{}}}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes(),
        format!("{{{keys}\"model\":\"m\"}}").into_bytes(),
        format!("{{\"prompt\":\"{escapes}\"}}").into_bytes(),
        format!("{{\"prompt\":[{}1]}}", "1,".repeat(50_000)).into_bytes(),
        format!("{open}[{messages}{{}}]}}").into_bytes(),
        format!("{{\"priority\":{}}}", "9".repeat(100_000)).into_bytes(),
        b"{\"model\":\"\xff\xfe\"}".to_vec(),
        b"{\"model\":\"\xed\xa0\x80\"}".to_vec(),
    ]
}
