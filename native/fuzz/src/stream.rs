//! Bytes of an answer as they pass: counts, usage and event borders are the same for every way the
//! answer is cut.

use warmpath_core::data_plane::answer_scan::{AnswerScan, Kind, Usage};

use crate::Target;
use crate::random::Random;

/// Input: a byte that chooses the kind, then the answer.
pub const TARGET: Target = Target {
    name: "stream",
    run,
    seeds,
    words: &[
        "data:",
        "data: [DONE]\n\n",
        "\n\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "\"usage\"",
        "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}",
        "\"prompt_tokens_details\":{\"cached_tokens\":3}",
        "event: x\n",
        ": comment\n",
        "{",
        "}",
        "\\\"",
    ],
};

/// Answers up to this are cut at every place.
const CUT_EVERYWHERE_MAX: usize = 400;

type Seen = (u64, Usage, bool);

fn run(input: &[u8]) {
    let Some((choice, answer)) = input.split_first() else {
        return;
    };
    let kind = if choice % 2 == 0 {
        Kind::Events
    } else {
        Kind::Json
    };
    let whole = scan(kind, [answer]);
    assert_eq!(scan(kind, answer.chunks(1)), whole, "byte by byte");
    let mentions = answer.windows(5).filter(|bytes| *bytes == b"data:").count();
    assert!(whole.0 <= mentions as u64);
    let Usage {
        prompt_tokens,
        completion_tokens,
        cached_tokens,
    } = whole.1;
    assert!(
        [prompt_tokens, completion_tokens, cached_tokens]
            .iter()
            .all(|n| *n >= -1)
    );
    if answer.len() <= CUT_EVERYWHERE_MAX {
        for cut in 0..answer.len() {
            let (first, second) = answer.split_at(cut);
            assert_eq!(scan(kind, [first, second]), whole, "cut at {cut}");
        }
        return;
    }
    let mut random = Random(answer.len() as u64);
    for size in [2, 3, 7, 64, 1460, 4096, 10_000] {
        let size = 1 + random.below(2 * size);
        assert_eq!(
            scan(kind, answer.chunks(size)),
            whole,
            "cut every {size} bytes"
        );
    }
}

fn scan<'a>(kind: Kind, parts: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut scan = AnswerScan::new(kind);
    for part in parts {
        scan.push(part);
    }
    (scan.chunks(), scan.usage(), scan.at_event_boundary())
}

fn seeds() -> Vec<Vec<u8>> {
    let usage = r#""usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}"#;
    let delta = r#"{"choices":[{"delta":{"content":"a \"usage\" b"}}]}"#;
    let long = "x".repeat(9_000);
    let answers = [
        format!("data: {delta}\n\ndata: {{\"choices\":[],{usage}}}\n\ndata: [DONE]\n\n"),
        format!("data: {delta}\r\n\r\ndata: {{{usage}}}\r\n\r\ndata: [DONE]\r\n\r\n"),
        format!("event: a\ndata: {delta}\ndata: more\n\n: ping\n\ndata:{{{usage}}}\n\n"),
        format!("{{\"id\":1,\"choices\":[{{\"text\":\"{long}\"}}],{usage}}}"),
        format!("{{{usage},\"trailing\":\"{long}{long}\"}}"),
        format!("data: {delta}\n\n").repeat(500) + "data: [DONE]\n\n",
        format!("data: \"usage\"{}\n\n", "\r".repeat(12_000)),
        format!("data: {long}\n\n\"usage\"\"usage\":\"usage\":{{{usage}"),
        format!(
            "{}\"usage\":{{{}",
            "{\"usage\":".repeat(50),
            "{\"a\":".repeat(3_000)
        ),
        "\"usage\":".to_owned() + &"[".repeat(8_000),
        "data: data: [DONE]\n\ndata: [DONE]".to_owned(),
        "datadata:\n data:\n\ndata\ndata:".to_owned(),
        "\r\r\n\r\n\n\ndata:\r\n".to_owned(),
        r#"{"usage":{"prompt_tokens":1e400,"completion_tokens":-1}}"#.to_owned(),
        r#"{"usage":{"prompt_tokens":1.5,"completion_tokens":9007199254740993}}"#.to_owned(),
    ];
    let given = |kind: u8| {
        answers
            .iter()
            .map(move |answer| [&[kind], answer.as_bytes()].concat())
    };
    (0..2).flat_map(given).collect()
}
