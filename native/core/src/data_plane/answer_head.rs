//! Heads of answers: an engine's head taken apart, and the heads this router sends to clients,
//! relayed or its own. The rules are those of the portable `answer-head.ts`.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::added_headers::Headers;
use super::answer_scan::Kind;
use super::fields::{self, Line, Malformed};

/// How the body of an engine's answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    None,
    Length(u64),
    Chunked,
    /// Until the engine closes the connection.
    Close,
}

/// An engine's head. Ranges are into the bytes it was read from.
#[derive(Debug)]
pub struct AnswerHead {
    pub status: u16,
    reason: Range<usize>,
    lines: Vec<Line>,
    pub framing: BodyFraming,
    /// The engine keeps its connection.
    pub keeps: bool,
    /// `Connection` names headers that go no further.
    nominates: bool,
}

/// A head as the client gets it, but for what its connection adds.
#[derive(Debug, Default)]
pub struct ClientHead {
    pub status: u16,
    /// Sent where the protocol has a place for it; empty takes the usual words.
    pub reason: Vec<u8>,
    /// `name: value` lines, each with its CRLF.
    pub lines: Vec<u8>,
    pub has_date: bool,
    /// Bytes of the body where they are known.
    pub length: Option<u64>,
    /// The answer has a body (of unknown length unless `length` says so).
    pub has_body: bool,
    pub content: Option<Kind>,
}

/// Reads an engine's complete head; `asked_head`: the request was a HEAD.
pub fn read_answer(bytes: &[u8], asked_head: bool) -> Result<AnswerHead, Malformed> {
    let (line, lines_at) = fields::first_line(bytes)?;
    let (status, reason_at, http_1_0) = status_line(line)?;
    let mut lines = Vec::with_capacity(12);
    fields::read_lines(bytes, lines_at, &mut lines)?;
    let (mut length, mut chunked, mut coded) = (None, false, false);
    let (mut close, mut keep_alive, mut nominates) = (false, false, false);
    for line in &lines {
        let (name, value) = parts(bytes, line);
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = fields::decimal(value).ok_or("an invalid Content-Length")?;
            if length.replace(number).is_some() {
                return Err("more than one Content-Length");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = !coded && value.eq_ignore_ascii_case(b"chunked");
            coded = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|&byte| byte == b',').map(fields::trim) {
                if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"close") {
                    close = true;
                } else {
                    nominates = true;
                }
            }
        }
    }
    if coded && (length.is_some() || !chunked) {
        return Err("an unclear Transfer-Encoding");
    }
    let framing = match length {
        _ if asked_head || status < 200 || status == 204 || status == 304 => BodyFraming::None,
        _ if chunked => BodyFraming::Chunked,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Close,
    };
    // Who announces a body where there is none may send it all the same.
    let in_doubt = status == 204 && (coded || length.is_some_and(|length| length > 0));
    let keeps = !close && !in_doubt && (!http_1_0 || keep_alive) && framing != BodyFraming::Close;
    Ok(AnswerHead {
        status,
        reason: reason_at..line.len(),
        lines,
        framing,
        keeps,
        nominates,
    })
}

fn status_line(line: &[u8]) -> Result<(u16, usize, bool), Malformed> {
    let (version, rest) = line.split_at_checked(8).ok_or("not an HTTP answer")?;
    let http_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err("not an HTTP/1.1 answer"),
    };
    let digits = rest.strip_prefix(b" ").and_then(|rest| rest.get(..3));
    let status = digits
        .and_then(fields::decimal)
        .ok_or("an invalid status")? as u16;
    if status < 100 {
        return Err("an invalid status");
    }
    match line.get(12) {
        None => Ok((status, 12, http_1_0)),
        Some(b' ') => Ok((status, 13, http_1_0)),
        Some(_) => Err("an invalid status"),
    }
}

fn parts<'a>(bytes: &'a [u8], line: &Line) -> (&'a [u8], &'a [u8]) {
    let part = |range: &Range<u32>| {
        bytes
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    };
    (part(&line.name), part(&line.value))
}

/// Belong to the engine's connection (RFC 9110 §7.6.1), or are set here.
const DROPPED: [&[u8]; 9] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-request-id",
];

/// Relays an engine's headers as they were written, minus its connection's, plus `added`.
pub fn relayed_head(
    bytes: &[u8],
    answer: &AnswerHead,
    added: &Headers,
    request_id: &[u8],
) -> ClientHead {
    let mut head = ClientHead {
        status: answer.status,
        lines: Vec::with_capacity(bytes.len() + 64),
        has_body: answer.framing != BodyFraming::None,
        ..ClientHead::default()
    };
    let mut encoded = false;
    for line in &answer.lines {
        let (name, value) = parts(bytes, line);
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if DROPPED.iter().any(|dropped| is(dropped)) || added.iter().any(|(one, _)| is(one)) {
            continue;
        }
        if answer.nominates && is_nominated(bytes, &answer.lines, name) {
            continue;
        }
        if is(b"date") {
            head.has_date = true;
        } else if is(b"content-length") {
            // RFC 9110 §8.6: never with 204.
            if answer.status == 204 {
                continue;
            }
            head.length = fields::decimal(value);
        } else if is(b"content-encoding") {
            encoded = !value.eq_ignore_ascii_case(b"identity");
        } else if is(b"content-type") {
            head.content = content_of(value);
        }
        push_line(&mut head.lines, name, value);
    }
    if encoded {
        head.content = None;
    }
    push_line(&mut head.lines, b"x-request-id", request_id);
    for (name, value) in added.iter() {
        push_line(&mut head.lines, name, value);
    }
    let reason = bytes.get(answer.reason.clone()).unwrap_or_default();
    if reason
        .iter()
        .all(|&byte| byte == b'\t' || (0x20..0x7f).contains(&byte))
    {
        head.reason = reason.to_vec();
    }
    head
}

/// Whether a `Connection` line names the header, so that it is for this router only.
fn is_nominated(bytes: &[u8], lines: &[Line], name: &[u8]) -> bool {
    lines.iter().any(|line| {
        let (connection, options) = parts(bytes, line);
        let mut options = options.split(|&byte| byte == b',').map(fields::trim);
        connection.eq_ignore_ascii_case(b"connection")
            && options.any(|option| option.eq_ignore_ascii_case(name))
    })
}

/// The head of an answer the router gives itself.
pub fn own_head(status: u16, added: &Headers, body_bytes: usize, request_id: &[u8]) -> ClientHead {
    let mut lines = Vec::with_capacity(192);
    push_line(&mut lines, b"x-request-id", request_id);
    push_line(
        &mut lines,
        b"content-length",
        body_bytes.to_string().as_bytes(),
    );
    for (name, value) in added.iter() {
        if name != b"content-length" && name != b"x-request-id" {
            push_line(&mut lines, name, value);
        }
    }
    ClientHead {
        status,
        lines,
        length: Some(body_bytes as u64),
        has_body: true,
        ..ClientHead::default()
    }
}

pub fn push_line(lines: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    lines.extend_from_slice(name);
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

fn content_of(value: &[u8]) -> Option<Kind> {
    let essence = fields::trim(value.split(|&byte| byte == b';').next().unwrap_or_default());
    if essence.eq_ignore_ascii_case(b"text/event-stream") {
        return Some(Kind::Events);
    }
    essence
        .eq_ignore_ascii_case(b"application/json")
        .then_some(Kind::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<AnswerHead, Malformed> {
        read_answer(text.as_bytes(), false)
    }

    #[test]
    fn framing_follows_the_rules_of_rfc_9112() {
        let framing = |text: &str| answer(text).unwrap().framing;
        assert_eq!(framing("HTTP/1.1 200\r\n\r\n"), BodyFraming::Close);
        assert_eq!(
            framing("HTTP/1.1 204 No\r\ncontent-length: 3\r\n\r\n"),
            BodyFraming::None
        );
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"),
            BodyFraming::Length(3)
        );
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n";
        assert_eq!(framing(chunked), BodyFraming::Chunked);
        for bad in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "this is not HTTP\r\n\r\n",
        ] {
            assert!(answer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_relayed_head_keeps_what_is_the_answers() {
        let text = "HTTP/1.1 299 Engine Says\r\nX-CASE: kept\r\nKeep-Alive: timeout=9\r\n\
            Date: then\r\nx-warmpath-score: 1\r\nContent-Type: text/event-stream; a=b\r\n\r\n";
        let added = Headers::of(&[("x-warmpath-score", "2.7")]);
        let head = relayed_head(text.as_bytes(), &answer(text).unwrap(), &added, b"id-1");
        assert_eq!(head.reason, b"Engine Says");
        assert_eq!(head.content, Some(Kind::Events));
        assert!(head.has_date);
        assert_eq!(
            String::from_utf8(head.lines).unwrap(),
            "X-CASE: kept\r\nDate: then\r\nContent-Type: text/event-stream; a=b\r\n\
             x-request-id: id-1\r\nx-warmpath-score: 2.7\r\n"
        );
    }

    #[test]
    fn what_is_the_connections_or_unlawful_goes_no_further() {
        let text = "HTTP/1.1 204 No\r\nConnection: keep-alive , X-Hop\r\nx-hop: 1\r\n\
            content-length: 5\r\nconnection: x-other\r\nX-Other: 2\r\nx-kept: 3\r\n\r\n";
        let read = answer(text).unwrap();
        assert!(!read.keeps);
        let head = relayed_head(text.as_bytes(), &read, &Headers::default(), b"id-1");
        assert_eq!(head.length, None);
        assert_eq!(
            String::from_utf8(head.lines).unwrap(),
            "x-kept: 3\r\nx-request-id: id-1\r\n"
        );
        for kept in ["content-length: 0\r\n", ""] {
            let text = format!("HTTP/1.1 204 No\r\n{kept}\r\n");
            assert!(answer(&text).unwrap().keeps);
        }
        let text = "HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!answer(text).unwrap().keeps);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_unwind(bytes: Vec<u8>, asked_head: bool) {
            let _ = read_answer(&bytes, asked_head);
        }
    }
}
