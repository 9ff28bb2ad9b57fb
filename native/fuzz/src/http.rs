//! Heads of requests and answers, with a chunked body behind them. A head's end is found wherever
//! the bytes are cut, what is taken is also HTTP to httparse, nothing that is passed on could be
//! read as two lines, and a chunked body is the same for every way it is cut.

use warmpath_core::data_plane::Headers;
use warmpath_core::data_plane::answer_head::{BodyFraming, read_answer, relayed_head};
use warmpath_core::data_plane::chunked::{Chunked, Piece};
use warmpath_core::data_plane::fields::{Malformed, head_end};
use warmpath_core::data_plane::head::{Framing, Head, read_head};

use crate::Target;

/// Input: a head, then a body.
pub const REQUEST: Target = Target {
    name: "request",
    run: run_request,
    seeds: request_seeds,
    words: &WORDS,
};

/// Input: a head, then a body.
pub const ANSWER: Target = Target {
    name: "answer",
    run: run_answer,
    seeds: answer_seeds,
    words: &WORDS,
};

const WORDS: [&str; 16] = [
    "\r\n",
    "\r\n\r\n",
    "\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Connection: close, x-a\r\n",
    "Host: a\r\n",
    "HTTP/1.1",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    ";ext=\"a\"",
    "ffffffffffff",
    " ",
    "\t",
    "\0",
    "x-request-id: abc\r\n",
];
/// Header lines httparse is given room for.
const LINES_MAX: usize = 4096;
/// Bodies up to this are cut at every place.
const CUT_EVERYWHERE_MAX: usize = 300;

fn run_request(input: &[u8]) {
    let Some(end) = head_length(input) else {
        return;
    };
    let (bytes, body) = input.split_at(end);
    body_is_the_same_however_cut(body);
    let Ok(read) = read_head(bytes) else {
        return;
    };
    let mut lines = vec![httparse::EMPTY_HEADER; LINES_MAX];
    let mut peer = httparse::Request::new(&mut lines);
    // Of targets httparse takes fewer, which both sides of this router see as one word.
    match peer.parse(bytes) {
        Ok(status) => {
            assert!(status.is_complete() && status.unwrap() == bytes.len());
            assert_eq!(peer.method.map(str::as_bytes), Some(read.head.method()));
            let known = peer
                .headers
                .iter()
                .map(|line| (line.name.as_bytes(), line.value));
            lines_are_among(read.head.forwarded(), known);
        }
        Err(httparse::Error::Token | httparse::Error::TooManyHeaders) => {}
        Err(error) => panic!("httparse: {error}"),
    }
    if read.target_problem.is_none() {
        passes_on_clean_path(&read.head);
    }
    passes_on_clean_lines(&read.head);
    let is_chunked = has_line(bytes, b"transfer-encoding");
    let has_length = has_line(bytes, b"content-length");
    assert!(!(is_chunked && has_length), "both framings were accepted");
    assert_eq!(read.head.framing == Framing::Chunked, is_chunked);
}

fn passes_on_clean_path(head: &Head) {
    let mut path = Vec::new();
    head.push_path(&mut path);
    assert!(path.starts_with(b"/") || path == b"*");
    assert!(path.iter().all(u8::is_ascii_graphic));
}

fn passes_on_clean_lines(head: &Head) {
    for (name, value) in head.forwarded().chain(head.shown()) {
        assert!(!name.is_empty());
        assert!(
            name.iter()
                .all(|byte| byte.is_ascii_graphic() && *byte != b':')
        );
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    for (name, _) in head.forwarded() {
        for own in [
            "connection",
            "transfer-encoding",
            "content-length",
            "host",
            "te",
            "upgrade",
        ] {
            assert!(
                !name.eq_ignore_ascii_case(own.as_bytes()),
                "{own} is passed on"
            );
        }
    }
    if let Some(id) = head.request_id() {
        assert!(!id.is_empty() && id.len() <= 256 && id.iter().all(u8::is_ascii_graphic));
    }
}

fn run_answer(input: &[u8]) {
    let Some(end) = head_length(input) else {
        return;
    };
    let (bytes, body) = input.split_at(end);
    body_is_the_same_however_cut(body);
    for asked_head in [false, true] {
        let Ok(answer) = read_answer(bytes, asked_head) else {
            continue;
        };
        assert!((100..=999).contains(&answer.status));
        let is_chunked = has_line(bytes, b"transfer-encoding");
        if let BodyFraming::Length(_) = answer.framing {
            assert!(!is_chunked, "two framings were accepted");
        }
        if asked_head {
            assert_eq!(answer.framing, BodyFraming::None);
        }
        let added = Headers::of(&[("x-added", "1")]);
        let head = relayed_head(bytes, &answer, &added, b"id");
        let again = [b"HTTP/1.1 200 OK\r\n", &head.lines[..], b"\r\n"].concat();
        assert_eq!(
            head_end(&again, 0),
            Ok(Some(again.len())),
            "lines end early"
        );
        let reread = read_answer(&again, false).expect("relayed lines are HTTP");
        assert!(reread.framing != BodyFraming::Chunked);
        assert!(!has_line(&again, b"connection"));
        assert!(!head.reason.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    }
}

/// Where the head ends, if it does: the same at once and byte by byte.
fn head_length(input: &[u8]) -> Option<usize> {
    let whole = head_end(input, 0);
    let mut stepwise = Ok(None);
    let limit = input.len().min(4096);
    for length in 1..=limit {
        stepwise = head_end(&input[..length], length - 1);
        if stepwise != Ok(None) {
            break;
        }
    }
    if limit == input.len() || stepwise != Ok(None) {
        assert_eq!(whole, stepwise, "the head's end depends on how it arrives");
    }
    whole.ok().flatten()
}

fn lines_are_among<'a>(
    lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    mut known: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    for line in lines {
        assert!(
            known.any(|other| other == line),
            "httparse sees no such line"
        );
    }
}

/// Whether a line of the head has this name.
fn has_line(head: &[u8], name: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.any(|line| {
        let before = line.split(|byte| *byte == b':').next();
        line.contains(&b':') && before.is_some_and(|before| before.eq_ignore_ascii_case(name))
    })
}

/// What a chunked body came to: its payload, and where it ended or why not.
type Outcome = (Vec<u8>, Result<Option<usize>, Malformed>);

fn body_is_the_same_however_cut(body: &[u8]) {
    let whole = decode(body, &[]);
    let every: Vec<usize> = (1..body.len()).collect();
    assert_eq!(decode(body, &every), whole, "byte by byte");
    let step = if body.len() <= CUT_EVERYWHERE_MAX {
        1
    } else {
        body.len() / 16
    };
    for cut in (0..body.len()).step_by(step) {
        assert_eq!(decode(body, &[cut]), whole, "cut at {cut}");
        assert_eq!(
            decode(body, &[cut / 2, cut]),
            whole,
            "cut at {} and {cut}",
            cut / 2
        );
    }
}

/// Decodes a body that comes in parts, which end at `cuts`.
fn decode(body: &[u8], cuts: &[usize]) -> Outcome {
    let mut chunked = Chunked::default();
    let mut payload = Vec::new();
    let mut from = 0;
    for end in cuts.iter().copied().chain([body.len()]) {
        let part = &body[from..end];
        let mut at = 0;
        loop {
            match chunked.next(part, at) {
                Ok(Piece::Data(range)) => {
                    assert!(range.start >= at && range.end <= part.len() && !range.is_empty());
                    at = range.end;
                    payload.extend_from_slice(&part[range]);
                }
                Ok(Piece::End(end)) => return (payload, Ok(Some(from + end))),
                Ok(Piece::More) => break,
                Err(problem) => return (payload, Err(problem)),
            }
        }
        from = end;
    }
    (payload, Ok(None))
}

const BODIES: [&str; 14] = [
    "",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n1;ext=\"a\"\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "A\r\n0123456789\r\n00\r\nA: b\r\nC: d\r\n\r\n",
    "0x2\r\n{}\r\n0\r\n\r\n",
    "-2\r\n{}\r\n",
    "fffffffffffffffff2\r\n{}\r\n",
    "2 \r\n{}\r\n0\r\n\r\n",
    "2\n{}\r\n0\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "2;a\nb\r\n{}\r\n0\r\n\r\n",
    "0\r\nContent-Length: 9\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\n folded: 9\r\n\r\n",
];

fn with_bodies(heads: &[String]) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for head in heads {
        let body = BODIES[seeds.len() % BODIES.len()];
        seeds.push(format!("{head}\r\n{body}").into_bytes());
    }
    let first = &heads[0];
    let all = BODIES
        .iter()
        .map(|body| format!("{first}\r\n{body}").into_bytes());
    seeds.extend(all);
    let long = [
        format!("{first}\r\n1;{}\r\n", "a".repeat(20_000)),
        format!("{first}\r\n0\r\nA: {}\r\n\r\n", "a".repeat(20_000)),
        format!("{first}\r\n0\r\n{}\r\n", "A: b\r\n".repeat(5_000)),
        format!("{first}\r\n{}0\r\n\r\n", "1\r\na\r\n".repeat(2_000)),
        format!("{first}\r\n{}", "0".repeat(50_000)),
        format!("{first}{}\r\n", "A: b\r\n".repeat(5_000)),
        format!("{first}A: {}\r\n\r\n", "b".repeat(100_000)),
    ];
    seeds.extend(long.map(String::into_bytes));
    seeds
}

fn request_seeds() -> Vec<Vec<u8>> {
    let start = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n";
    let lines = [
        "Content-Type: application/json\r\nX-Request-Id: abc-1\r\nAuthorization: Bearer k\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Host: b\r\n",
        "Connection: close, X-Private\r\nX-Private: 1\r\n",
        "X_Warmpath_Score: 1\r\nx-warmpath-endpoint: a\r\n",
        "A: b\rC: d\r\n",
        "A: b\nC: d\r\n",
        "A: b\0c\r\n",
        "Expect: 100-continue\r\n",
    ];
    let mut heads: Vec<String> = lines.iter().map(|line| format!("{start}{line}")).collect();
    let first_lines = [
        "GET http://other:1/a?b HTTP/1.1\r\nHost: other:1\r\n",
        "GET http://other?b HTTP/1.1\r\nHost: other\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/2.0\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n",
        "PRI * HTTP/2.0\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n",
    ];
    heads.extend(first_lines.map(str::to_owned));
    with_bodies(&heads)
}

fn answer_seeds() -> Vec<Vec<u8>> {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; a=b\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: keep-alive\r\n",
        "HTTP/1.1 204 No\r\ncontent-length: 3\r\n",
        "HTTP/1.1 299 Engine Says\r\nX-Added: kept\r\nKeep-Alive: timeout=9\r\nDate: then\r\n",
        "HTTP/1.1 200\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/1.1 304 \u{e9}\r\nEtag: \"a\"\r\n",
    ];
    with_bodies(&heads.map(str::to_owned))
}
