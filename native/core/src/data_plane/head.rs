//! Reads the head of a client's request: what is passed on, what JavaScript sees, what is refused.
//! The rules are those of the portable `head.ts`; nothing that could be read differently by an
//! engine gets through.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::fields::{self, Line, Malformed};
use super::head_rules::{
    METHODS, is_authorization, is_own, is_request_id, is_reserved, is_telling, is_wish,
    request_path,
};
use super::refusal::Refusal;
use crate::layout::error;
use crate::layout::limits::HEADER_COUNT_MAX;

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
    /// JavaScript has a reason to read the headers.
    pub telling: bool,
}

/// A head that was read; `problem` refuses the request in the usual shape, closing the connection.
pub struct ReadHead {
    pub head: Head,
    pub problem: Option<Refusal>,
    /// The target is neither a path nor a URL.
    pub target_problem: Option<Refusal>,
}

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
    let is_url = || memchr::memmem::find(target, b"://").is_some();
    if !target.starts_with(b"/") && target != b"*" && !is_url() {
        return Err("a request target that is neither a path nor a URL");
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
    encodings: u32,
    encoded: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    request_ids: u32,
    stripped: u32,
    telling: bool,
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
            seen.telling |= is_telling(name);
            let kept = is_authorization(name) || is_wish(name);
            sorted.push((line, if kept { SHOWN } else { SHOWN | FORWARDED }));
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
        telling: seen.telling,
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
        // A list is refused, whatever is in it.
        seen.encodings += 1;
        seen.encoded |= seen.encodings > 1 || !value.eq_ignore_ascii_case(b"identity");
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

pub fn range<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
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
mod tests;
