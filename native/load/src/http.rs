//! As much of HTTP/1.1 as both ends need: heads by httparse, and a follower of chunked bodies that
//! gives back the payload whatever way a proxy cut it.

/// What a head says of the body that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head itself.
    pub bytes: usize,
    pub content_length: Option<usize>,
    pub chunked: bool,
    /// The connection ends after this message.
    pub close: bool,
}

const HEADERS_MAX: usize = 64;

/// A request's head, method and path; None while it is incomplete.
pub fn request_head(bytes: &[u8]) -> Result<Option<(Head, &str, &str)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let head = describe(length, request.headers);
    Ok(Some((
        head,
        request.method.unwrap_or(""),
        request.path.unwrap_or(""),
    )))
}

/// A response's head and status; None while it is incomplete.
pub fn response_head(bytes: &[u8]) -> Result<Option<(Head, u16)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    Ok(Some((
        describe(length, response.headers),
        response.code.unwrap_or(0),
    )))
}

fn describe(bytes: usize, headers: &[httparse::Header<'_>]) -> Head {
    let mut head = Head {
        bytes,
        content_length: None,
        chunked: false,
        close: false,
    };
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let text = std::str::from_utf8(header.value).ok();
            head.content_length = text.and_then(|text| text.trim().parse().ok());
        } else if is("transfer-encoding") {
            head.chunked = true;
        } else if is("connection") {
            head.close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    head
}

/// Where in a chunked body the follower stands.
#[derive(Clone, Copy)]
enum State {
    Size,
    /// Behind the size, up to the end of its line.
    SizeLine,
    Payload,
    PayloadEnd,
    /// Trailer lines; true at the start of one.
    Trailer(bool),
    Done,
}

/// Follows one chunked body through any number of reads.
pub struct ChunkFollower {
    state: State,
    left: usize,
}

impl ChunkFollower {
    pub fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
        }
    }

    /// Takes what was read, appends payload to `payload`; true once the body is complete.
    pub fn follow(&mut self, bytes: &[u8], payload: &mut Vec<u8>) -> Result<bool, String> {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            match self.state {
                State::Size => {
                    if let Some(digit) = (byte as char).to_digit(16) {
                        self.left = self.left.saturating_mul(16) + digit as usize;
                    } else {
                        self.state = State::SizeLine;
                        continue;
                    }
                }
                State::SizeLine if byte == b'\n' => {
                    let last = self.left == 0;
                    self.state = if last {
                        State::Trailer(true)
                    } else {
                        State::Payload
                    };
                }
                State::SizeLine => {}
                State::Payload => {
                    let (now, later) = rest.split_at(self.left.min(rest.len()));
                    payload.extend_from_slice(now);
                    self.left -= now.len();
                    rest = later;
                    if self.left == 0 {
                        self.state = State::PayloadEnd;
                    }
                    continue;
                }
                State::PayloadEnd if byte == b'\n' => self.state = State::Size,
                State::PayloadEnd if byte == b'\r' => {}
                State::PayloadEnd => return Err("a chunk is longer than its size".to_owned()),
                State::Trailer(true) if byte == b'\n' => self.state = State::Done,
                State::Trailer(start) => {
                    self.state = State::Trailer(byte == b'\n' || (start && byte == b'\r'));
                }
                State::Done => return Err("bytes behind the end of the body".to_owned()),
            }
            rest = tail;
        }
        Ok(matches!(self.state, State::Done))
    }
}

#[cfg(test)]
mod tests {
    use super::{ChunkFollower, request_head, response_head};

    #[test]
    fn payload_is_the_same_however_reads_are_cut() {
        let body = b"5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n";
        for cut in 0..body.len() {
            let mut follower = ChunkFollower::new();
            let mut payload = Vec::new();
            let (first, second) = body.split_at(cut);
            assert_eq!(follower.follow(first, &mut payload), Ok(false));
            assert_eq!(
                follower.follow(second, &mut payload),
                Ok(true),
                "cut at {cut}"
            );
            assert_eq!(payload, b"hello0123456789");
        }
    }

    #[test]
    fn broken_framing_is_an_error() {
        let mut payload = Vec::new();
        assert!(
            ChunkFollower::new()
                .follow(b"1\r\nhello", &mut payload)
                .is_err()
        );
        assert!(
            ChunkFollower::new()
                .follow(b"0\r\n\r\nx", &mut payload)
                .is_err()
        );
    }

    #[test]
    fn heads_tell_their_bodies() {
        let (head, status) = response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.bytes, head.content_length, status),
            (38, Some(5), 200)
        );
        let (head, method, path) = request_head(
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        )
        .unwrap()
        .unwrap();
        assert!(head.chunked && head.close);
        assert_eq!((method, path), ("POST", "/x"));
        assert_eq!(response_head(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert!(response_head(b"nonsense\r\n\r\n").is_err());
    }
}
