//! Reads the head of a client's request: what is passed on, what JavaScript sees, what is refused.
//! The rules are those of the portable `head.ts`; nothing that could be read differently by an
//! engine gets through.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::fields::{self, Line, Malformed};
use super::refusal::Refusal;
use crate::layout::error;
use crate::layout::limits::{HEADER_COUNT_MAX, REQUEST_ID_LENGTH_MAX};

/// Goes to the engine.
const FORWARDED: u8 = 1;
/// Is shown to JavaScript.
const SHOWN: u8 = 2;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// A request's head. Ranges are into `bytes`.
#[derive(Debug)]
pub struct Head {
    bytes: Box<[u8]>,
    method: Range<u32>,
    path: Range<u32>,
    /// An absolute target without a path needs a slash before its query.
    rooted: bool,
    lines: Box<[(Line, u8)]>,
    request_id: Option<Range<u32>>,
    pub framing: Framing,
    pub http_1_0: bool,
    /// The client wants the connection kept.
    pub keeps: bool,
    pub expects_continue: bool,
    pub stripped: u32,
}

/// A head that was read; `problem` refuses the request in the usual shape, closing the connection.
pub struct ReadHead {
    pub head: Head,
    pub problem: Option<Refusal>,
    /// The target is neither a path nor a URL.
    pub target_problem: Option<Refusal>,
}

/// Methods that llhttp, and so the portable plane, knows. CONNECT is no request for a router.
const METHODS: [&[u8]; 34] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"COPY",
    b"LOCK",
    b"MKCOL",
    b"MOVE",
    b"PROPFIND",
    b"PROPPATCH",
    b"SEARCH",
    b"UNLOCK",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"ACL",
    b"REPORT",
    b"MKACTIVITY",
    b"CHECKOUT",
    b"MERGE",
    b"M-SEARCH",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"PURGE",
    b"MKCALENDAR",
    b"LINK",
    b"UNLINK",
    b"SOURCE",
    b"QUERY",
];

/// Headers by which routers and their sidecars steer; a client must not.
const RESERVED_PREFIXES: [&[u8]; 7] = [
    b"x-gateway-destination-endpoint",
    b"x-warmpath-",
    b"x-data-parallel-",
    b"x-llm-d-",
    b"x-prefiller-",
    b"x-encoder-",
    b"x-kv-cache-source-",
];

/// Reads a complete head, its empty line included.
pub fn read_head(bytes: &[u8]) -> Result<ReadHead, Malformed> {
    let (line, lines_at) = fields::first_line(bytes)?;
    let request_line = request_line(line)?;
    let mut lines = Vec::with_capacity(16);
    fields::read_lines(bytes, lines_at, &mut lines)?;
    sort_lines(bytes.into(), request_line, lines)
}

/// Reads a head that came as HTTP/2, spelled as HTTP/1.1 by the caller, so that one set of rules
/// holds for both. A body's length is not known from its head there.
pub fn read_http2_head(bytes: Vec<u8>, has_body: bool) -> Result<ReadHead, Malformed> {
    let mut read = read_head(&bytes)?;
    if has_body && read.head.framing == Framing::Length(0) {
        read.head.framing = Framing::Chunked;
    }
    Ok(read)
}

struct RequestLine {
    method: Range<u32>,
    target: Range<u32>,
    http_1_0: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine, Malformed> {
    const INVALID: Malformed = "an invalid request line";
    let method_end = line.iter().position(|&byte| byte == b' ').ok_or(INVALID)?;
    let method = line.get(..method_end).unwrap_or_default();
    if !METHODS.contains(&method) {
        return Err("an unknown method");
    }
    let rest = line.get(method_end + 1..).unwrap_or_default();
    let target_length = rest.iter().position(|&byte| byte == b' ').ok_or(INVALID)?;
    let target = rest.get(..target_length).unwrap_or_default();
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("an invalid character in the request target");
    }
    let http_1_0 = match rest.get(target_length + 1..).unwrap_or_default() {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err("an HTTP version that is not spoken here"),
    };
    let target_at = method_end + 1;
    Ok(RequestLine {
        method: 0..method_end as u32,
        target: target_at as u32..(target_at + target_length) as u32,
        http_1_0,
    })
}

/// What the own headers said, gathered while lines are sorted.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    hosts: u32,
    host_list: bool,
    encoded: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    request_ids: u32,
    stripped: u32,
}

fn sort_lines(
    bytes: Box<[u8]>,
    request: RequestLine,
    lines: Vec<Line>,
) -> Result<ReadHead, Malformed> {
    let mut seen = Seen::default();
    let mut request_id = None;
    let nominated = connection_options(&bytes, &lines, &mut seen);
    let count = lines.len();
    let mut sorted = Vec::with_capacity(count);
    for line in lines {
        let name = range(&bytes, &line.name);
        let value = range(&bytes, &line.value);
        if is_reserved(name) {
            seen.stripped += 1;
        } else if is_own(name) {
            read_own(name, value, &mut seen)?;
            if name.eq_ignore_ascii_case(b"host") {
                sorted.push((line, SHOWN));
            } else if name.eq_ignore_ascii_case(b"x-request-id") {
                seen.request_ids += 1;
                request_id = is_request_id(value).then_some(line.value);
            }
        } else if !nominated
            .iter()
            .any(|&option| name.eq_ignore_ascii_case(option))
        {
            let forwarded = if is_authorization(name) { 0 } else { FORWARDED };
            sorted.push((line, SHOWN | forwarded));
        }
    }
    if seen.chunked && seen.length.is_some() {
        return Err("both Content-Length and Transfer-Encoding");
    }
    if seen.chunked && request.http_1_0 {
        return Err("Transfer-Encoding in HTTP/1.0");
    }
    let (path, rooted) = request_path(&bytes, &request.target);
    let problem = find_problem(count, request.http_1_0, &seen);
    let head = Head {
        method: request.method,
        path: path.clone().unwrap_or(0..0),
        rooted,
        lines: sorted.into_boxed_slice(),
        request_id: if seen.request_ids == 1 {
            request_id
        } else {
            None
        },
        framing: if seen.chunked {
            Framing::Chunked
        } else {
            Framing::Length(seen.length.unwrap_or(0))
        },
        http_1_0: request.http_1_0,
        keeps: !seen.close && (!request.http_1_0 || seen.keep_alive),
        // HTTP/1.0 knows no interim answers.
        expects_continue: seen.expects_continue && !request.http_1_0,
        stripped: seen.stripped,
        bytes,
    };
    let target_problem = path.is_none().then(|| {
        Refusal::new(
            error::MALFORMED_REQUEST,
            "The request target is neither a path nor a URL.",
        )
    });
    Ok(ReadHead {
        head,
        problem,
        target_problem,
    })
}

fn read_own(name: &[u8], value: &[u8], seen: &mut Seen) -> Result<(), Malformed> {
    if name.eq_ignore_ascii_case(b"content-length") {
        let length = fields::decimal(value).ok_or("an invalid Content-Length")?;
        if seen.length.replace(length).is_some() {
            return Err("more than one Content-Length");
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if seen.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err("the only Transfer-Encoding taken is chunked");
        }
        seen.chunked = true;
    } else if name.eq_ignore_ascii_case(b"host") {
        seen.hosts += 1;
        seen.host_list |= value.contains(&b',');
    } else if name.eq_ignore_ascii_case(b"content-encoding") {
        seen.encoded |= !value.eq_ignore_ascii_case(b"identity");
    } else if name.eq_ignore_ascii_case(b"expect") {
        seen.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
    }
    Ok(())
}

fn find_problem(count: usize, http_1_0: bool, seen: &Seen) -> Option<Refusal> {
    if count > HEADER_COUNT_MAX {
        let text = format!("More than {HEADER_COUNT_MAX} header lines.");
        return Some(Refusal::new(error::HEADERS_TOO_LARGE, &text));
    }
    if seen.hosts > 1 || seen.host_list || (seen.hosts == 0 && !http_1_0) {
        return Some(Refusal::new(
            error::MALFORMED_REQUEST,
            "Exactly one Host header is needed.",
        ));
    }
    seen.encoded.then(|| {
        let text = "Send the body uncompressed, without Content-Encoding.";
        Refusal::about(error::UNSUPPORTED_ENCODING, text, "content-encoding")
    })
}

/// What `Connection` says: the headers it nominates, and whether it is to be kept.
fn connection_options<'a>(bytes: &'a [u8], lines: &[Line], seen: &mut Seen) -> Vec<&'a [u8]> {
    let mut options = Vec::new();
    for line in lines {
        if !range(bytes, &line.name).eq_ignore_ascii_case(b"connection") {
            continue;
        }
        for option in range(bytes, &line.value).split(|&byte| byte == b',') {
            let option = fields::trim(option);
            seen.close |= option.eq_ignore_ascii_case(b"close");
            seen.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            options.push(option);
        }
    }
    options
}

/// Path and query of a request target (RFC 9112 §3.2).
fn request_path(bytes: &[u8], target: &Range<u32>) -> (Option<Range<u32>>, bool) {
    let text = range(bytes, target);
    if text.first() == Some(&b'/') || text == b"*" {
        return (Some(target.clone()), true);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return (None, true);
    };
    let rest = text.get(scheme.len()..).unwrap_or_default();
    let authority = rest
        .iter()
        .take_while(|byte| !b"/?#".contains(byte))
        .count();
    if authority == 0 {
        return (None, true);
    }
    let at = target.start + (scheme.len() + authority) as u32;
    (Some(at..target.end), rest.get(authority) == Some(&b'/'))
}

fn is_reserved(name: &[u8]) -> bool {
    // Some servers read `_` as `-`: an underscore can spell a reserved name.
    if name.contains(&b'_') {
        return true;
    }
    if !name
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"x-"))
    {
        return false;
    }
    RESERVED_PREFIXES.iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })
}

/// RFC 9110 §7.6.1, and what this side of the connection decides itself. Answers must stay
/// readable for usage and for the error event of a cut stream, hence the encodings.
fn is_own(name: &[u8]) -> bool {
    const OWN: [&[u8]; 15] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"host",
        b"content-length",
        b"accept-encoding",
        b"content-encoding",
        b"x-request-id",
    ];
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn is_authorization(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"authorization")
}

fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&value.len())
        && value
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn range<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    bytes
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}

impl Head {
    pub fn method(&self) -> &[u8] {
        range(&self.bytes, &self.method)
    }

    /// Path and query, as the client wrote them.
    pub fn push_path(&self, into: &mut Vec<u8>) {
        if !self.rooted {
            into.push(b'/');
        }
        into.extend_from_slice(range(&self.bytes, &self.path));
    }

    /// True for exactly this path, without a query.
    pub fn has_path(&self, path: &[u8]) -> bool {
        self.rooted && range(&self.bytes, &self.path) == path
    }

    /// The client's acceptable request id.
    pub fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_ref().map(|id| range(&self.bytes, id))
    }

    /// Lines that are passed on, as the client wrote them, without `authorization`.
    pub fn forwarded(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines_with(FORWARDED)
    }

    /// Lines JavaScript may see; names as the client wrote them.
    pub fn shown(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines_with(SHOWN)
    }

    /// The client's credential, repeated ones joined; empty without one.
    pub fn authorization(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        for (name, value) in self.shown().filter(|(name, _)| is_authorization(name)) {
            debug_assert!(!name.is_empty());
            if !joined.is_empty() {
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(value);
        }
        joined
    }

    fn lines_with(&self, flag: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .filter(move |(_, flags)| flags & flag != 0)
            .map(|(line, _)| {
                (
                    range(&self.bytes, &line.name),
                    range(&self.bytes, &line.value),
                )
            })
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(head.stripped, 3);
        assert_eq!(names(head.forwarded()), ["X-Case"]);
        assert_eq!(names(head.shown()), ["Host", "X-Case", "Authorization"]);
        assert_eq!(head.authorization(), b"Bearer c");
        assert_eq!(head.request_id(), Some(&b"a.b_c-1"[..]));
        assert!(head.keeps && head.expects_continue && !head.has_path(b"/v1/x"));
        let mut path = Vec::new();
        head.push_path(&mut path);
        assert_eq!(path, b"/v1/x?y");
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
        for bad in ["v1/x", "http:///x", "ftp://a/x", "a:80"] {
            assert_eq!(path(bad), None, "{bad}");
        }
        for line in [
            "SMUGGLE / HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET / HTTP/1.2",
            "GET /",
            "CONNECT a:80 HTTP/1.1",
        ] {
            assert!(
                read_head(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).is_err(),
                "{line}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_unwind(bytes: Vec<u8>) {
            let _ = read_head(&bytes);
        }

        /// Whatever is passed on is read in one way: no reserved name, no framing, no line break.
        #[test]
        fn what_is_passed_on_is_canonical(
            lines in proptest::collection::vec(("[a-zA-Z_-]{1,12}|x-warmpath-[a-z]|connection|te", "[ -~]{0,12}"), 0..12)
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
}
