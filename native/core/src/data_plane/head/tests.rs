//! The rules of heads, case by case and on random lines.

use super::*;

fn read(lines: &str) -> Result<ReadHead, Malformed> {
    read_head(format!("POST /v1/x?y HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

fn names<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<&'a str> {
    lines
        .map(|(name, _)| std::str::from_utf8(name).unwrap())
        .collect()
}

#[test]
fn what_steers_routers_is_stripped_and_what_is_the_connections_stays() {
    let lines = "X-Case: Kept\r\nAuthorization: Bearer c\r\nx_warmpath_a: 1\r\nX-Llm-D-Slo: 1\r\n\
        X-Data-Parallel-Rank: 7\r\nConnection: keep-alive, X-Nominated\r\nX-Nominated: 1\r\n\
        Accept-Encoding: gzip\r\nTE: trailers\r\nx-request-id: a.b_c-1\r\nExpect: 100-continue\r\n";
    let ReadHead {
        head,
        problem,
        target_problem,
    } = read(lines).unwrap();
    assert!(problem.is_none() && target_problem.is_none());
    assert_eq!(head.stripped, 2);
    assert!(!head.telling);
    assert_eq!(names(head.forwarded()), ["X-Case"]);
    let shown = ["Host", "X-Case", "Authorization", "X-Llm-D-Slo"];
    assert_eq!(names(head.shown()), shown);
    assert_eq!(head.authorization(), b"Bearer c");
    assert_eq!(head.request_id(), Some(&b"a.b_c-1"[..]));
    assert!(head.keeps && head.expects_continue && !head.has_path(b"/v1/x"));
    let mut path = Vec::new();
    head.push_path(&mut path);
    assert_eq!(path, b"/v1/x?y");
}

#[test]
fn a_head_is_telling_when_javascript_would_see_why() {
    let telling = |lines: &str| read(lines).unwrap().head.telling;
    for name in crate::layout::TELLING_HEADERS {
        assert!(telling(&format!("{name}: 1\r\n")), "{name}");
        let upper = name.to_ascii_uppercase();
        assert!(telling(&format!("{upper}: 1\r\nA: 2\r\n")), "{name}");
        assert!(!telling(&format!("{name}x: 1\r\n")), "{name}");
        // One that only the connection concerns is not shown.
        assert!(!telling(&format!("Connection: {name}\r\n{name}: 1\r\n")));
    }
    assert!(!telling("Authorization: Bearer c\r\nX-Llm-D-Slo: 1\r\n"));
}

#[test]
fn bodies_are_framed_in_one_way_or_not_at_all() {
    let framing = |lines: &str| read(lines).map(|read| read.head.framing);
    assert_eq!(framing(""), Ok(Framing::Length(0)));
    assert_eq!(framing("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
    assert_eq!(
        framing("transfer-encoding: CHUNKED\r\n"),
        Ok(Framing::Chunked)
    );
    for lines in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        assert!(framing(lines).is_err(), "{lines}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(read_head(old).is_err());
}

#[test]
fn problems_are_refused_in_the_usual_shape() {
    let number = |lines: &str| read(lines).unwrap().problem.map(|problem| problem.number);
    let many = "x: 1\r\n".repeat(HEADER_COUNT_MAX);
    assert_eq!(number(&many), Some(error::HEADERS_TOO_LARGE));
    assert_eq!(number("Host: b\r\n"), Some(error::MALFORMED_REQUEST));
    assert_eq!(
        number("Content-Encoding: gzip\r\n"),
        Some(error::UNSUPPORTED_ENCODING)
    );
    assert_eq!(number("Content-Encoding: identity\r\n"), None);
    assert_eq!(number("x-request-id: not valid!\r\n"), None);
    assert!(
        read("x-request-id: a\r\nx-request-id: b\r\n")
            .unwrap()
            .head
            .request_id()
            .is_none()
    );
}

#[test]
fn targets_are_paths_or_urls() {
    let path = |target: &str| {
        let head = format!("GET {target} HTTP/1.0\r\n\r\n");
        let read = read_head(head.as_bytes()).unwrap();
        let mut path = Vec::new();
        read.head.push_path(&mut path);
        read.target_problem
            .is_none()
            .then(|| String::from_utf8(path).unwrap())
    };
    assert_eq!(path("/a?b").as_deref(), Some("/a?b"));
    assert_eq!(path("*").as_deref(), Some("*"));
    assert_eq!(path("http://elsewhere/v1/y?z").as_deref(), Some("/v1/y?z"));
    assert_eq!(path("HTTPS://elsewhere?z").as_deref(), Some("/?z"));
    assert_eq!(path("http://elsewhere").as_deref(), Some("/"));
    for bad in ["http:///x", "ftp://a/x"] {
        assert_eq!(path(bad), None, "{bad}");
    }
    for line in [
        "SMUGGLE / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET / HTTP/1.2",
        "GET /",
        "CONNECT a:80 HTTP/1.1",
        "GET v1/x HTTP/1.1",
        "GET a:80 HTTP/1.1",
    ] {
        assert!(
            read_head(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).is_err(),
            "{line}"
        );
    }
}

/// Under miri a line takes seconds.
const LINES_MAX: usize = if cfg!(miri) { 4 } else { 12 };

proptest::proptest! {
    #[test]
    fn no_bytes_unwind(bytes: Vec<u8>) {
        let _ = read_head(&bytes);
    }

    /// Whatever is passed on is read in one way: no reserved name, no framing, no line break.
    #[test]
    fn what_is_passed_on_is_canonical(
        lines in proptest::collection::vec(("[a-zA-Z_-]{1,12}|x-warmpath-[a-z]|connection|te", "[ -~]{0,12}"), 0..LINES_MAX)
    ) {
        let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        if let Ok(ReadHead { head, .. }) = read(&text) {
            for (name, value) in head.forwarded() {
                let name = std::str::from_utf8(name).unwrap().to_ascii_lowercase();
                proptest::prop_assert!(!name.contains('_') && !name.starts_with("x-warmpath-"));
                proptest::prop_assert!(!["connection", "te", "host", "content-length", "transfer-encoding"].contains(&name.as_str()));
                proptest::prop_assert!(!value.contains(&b'\r') && !value.contains(&b'\n'));
            }
        }
    }
}
