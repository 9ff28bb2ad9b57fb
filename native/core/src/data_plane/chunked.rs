//! The chunked coding, as strictly as RFC 9112 §7.1 allows: hexadecimal size, CRLF, no blanks.
//! Extensions and trailers are read and dropped. Used for requests and for answers alike.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::fields::{self, Malformed};

/// Bytes of extensions, and of trailers, of one body.
const EXTRA_BYTES_MAX: usize = 16 * 1024;
/// Digits of a chunk's size; 2^48 bytes are more than anybody sends.
const SIZE_DIGITS_MAX: u8 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailers,
    End,
}

/// Reads one chunked body, cut into pieces in any way.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    left: u64,
    digits: u8,
    extra: usize,
    trailers: Vec<u8>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            extra: 0,
            trailers: Vec::new(),
        }
    }
}

/// The next thing in the bytes given to `next`.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Payload, as a range of the given bytes.
    Data(Range<usize>),
    /// The body ended before this place.
    End(usize),
    /// All bytes are used up.
    More,
}

impl Chunked {
    /// Goes on at `at`; call again from the end of the returned range.
    pub fn next(&mut self, bytes: &[u8], at: usize) -> Result<Piece, Malformed> {
        let mut at = at;
        loop {
            if self.state == State::Trailers {
                return self.trailers(bytes, at);
            }
            let Some(&byte) = bytes.get(at) else {
                return Ok(if self.state == State::End {
                    Piece::End(at)
                } else {
                    Piece::More
                });
            };
            match self.state {
                State::Data => {
                    let length = self.left.min((bytes.len() - at) as u64);
                    self.left -= length;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Piece::Data(at..at + length as usize));
                }
                State::Size => self.size(byte)?,
                State::Extension => self.extension(byte)?,
                State::SizeEnd => {
                    expect(byte, b'\n')?;
                    self.state = if self.left == 0 {
                        State::Trailers
                    } else {
                        State::Data
                    };
                }
                State::DataCr => {
                    expect(byte, b'\r')?;
                    self.state = State::DataLf;
                }
                State::DataLf => {
                    expect(byte, b'\n')?;
                    (self.state, self.digits) = (State::Size, 0);
                }
                State::Trailers | State::End => return Ok(Piece::End(at)),
            }
            at += 1;
        }
    }

    fn size(&mut self, byte: u8) -> Result<(), Malformed> {
        if let Some(digit) = (byte as char).to_digit(16) {
            self.digits += 1;
            if self.digits > SIZE_DIGITS_MAX {
                return Err("a chunk's size is too large");
            }
            self.left = self.left * 16 + u64::from(digit);
            return Ok(());
        }
        if self.digits == 0 {
            return Err("a chunk has no size");
        }
        self.state = match byte {
            b'\r' => State::SizeEnd,
            b';' => State::Extension,
            _ => return Err("an invalid character in a chunk's size"),
        };
        Ok(())
    }

    fn extension(&mut self, byte: u8) -> Result<(), Malformed> {
        self.extra += 1;
        if self.extra > EXTRA_BYTES_MAX {
            return Err("chunk extensions are too long");
        }
        match byte {
            b'\r' => self.state = State::SizeEnd,
            b'\t' | 0x20..=0x7e | 0x80.. => {}
            _ => return Err("an invalid character in a chunk extension"),
        }
        Ok(())
    }

    /// Gathers trailers, because they are rare and may be cut anywhere.
    fn trailers(&mut self, bytes: &[u8], at: usize) -> Result<Piece, Malformed> {
        let rest = bytes.get(at..).unwrap_or_default();
        for (offset, &byte) in rest.iter().enumerate() {
            self.trailers.push(byte);
            if self.trailers.len() > EXTRA_BYTES_MAX {
                return Err("trailers are too long");
            }
            if byte != b'\n' {
                continue;
            }
            if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                check_trailers(&self.trailers)?;
                self.state = State::End;
                self.trailers = Vec::new();
                return Ok(Piece::End(at + offset + 1));
            }
        }
        Ok(Piece::More)
    }
}

fn expect(byte: u8, expected: u8) -> Result<(), Malformed> {
    if byte == expected {
        Ok(())
    } else {
        Err("a chunk does not end where its size says")
    }
}

fn check_trailers(trailers: &[u8]) -> Result<(), Malformed> {
    let mut lines = Vec::new();
    fields::read_lines(trailers, 0, &mut lines)?;
    for line in lines {
        let name = trailers.get(line.name.start as usize..line.name.end as usize);
        let name = name.unwrap_or_default();
        let framing: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
        if framing.iter().any(|one| name.eq_ignore_ascii_case(one)) {
            return Err("a trailer may not frame the message");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], cut: usize) -> Result<(Vec<u8>, Option<usize>), Malformed> {
        let mut chunked = Chunked::default();
        let mut payload = Vec::new();
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        for (part, offset) in [(first, 0), (second, first.len())] {
            let mut at = 0;
            loop {
                match chunked.next(part, at)? {
                    Piece::Data(range) => {
                        payload.extend_from_slice(&part[range.clone()]);
                        at = range.end;
                    }
                    Piece::End(end) => return Ok((payload, Some(offset + end))),
                    Piece::More => break,
                }
            }
        }
        Ok((payload, None))
    }

    #[test]
    fn bodies_are_read_wherever_they_are_cut() {
        let body = b"5\r\nhello\r\n1;ext=\"a\"\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\nrest";
        for cut in 0..body.len() {
            let (payload, end) = decode(body, cut).unwrap();
            assert_eq!(payload, b"hello!");
            assert_eq!(end, Some(body.len() - 4), "cut at {cut}");
        }
        assert_eq!(decode(b"5\r\nhel", 2).unwrap(), (b"hel".to_vec(), None));
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "0x2\r\n{}\r\n0\r\n\r\n",
            "-2\r\n{}\r\n0\r\n\r\n",
            "fffffffffffffffff2\r\n{}\r\n",
            "2 \r\n{}\r\n0\r\n\r\n",
            "\r\n{}\r\n0\r\n\r\n",
            "2\n{}\r\n0\r\n\r\n",
            "2\r\n{}0\r\n\r\n",
            "2;a\nb\r\n{}\r\n0\r\n\r\n",
            "0\r\nContent-Length: 9\r\n\r\n",
            "0\r\n folded: 9\r\n\r\n",
        ] {
            assert!(decode(body.as_bytes(), body.len()).is_err(), "{body:?}");
        }
    }

    /// Pieces of a body, and bytes of a piece; under miri a piece takes a second.
    const PIECES_MAX: usize = if cfg!(miri) { 8 } else { 100 };

    fn pieces() -> impl proptest::strategy::Strategy<Value = Vec<Vec<u8>>> {
        use proptest::collection::vec;
        vec(vec(proptest::num::u8::ANY, 0..PIECES_MAX), 0..PIECES_MAX)
    }

    proptest::proptest! {
        #[test]
        fn encoded_payload_comes_back(pieces in pieces(), cut in 0..200_usize) {
            let mut body = Vec::new();
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                body.extend_from_slice(piece);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (payload, end) = decode(&body, cut).unwrap();
            proptest::prop_assert_eq!(payload, pieces.concat());
            proptest::prop_assert_eq!(end, Some(body.len()));
        }

        #[test]
        fn no_bytes_unwind(bytes: Vec<u8>, cut in 0..64_usize) {
            let _ = decode(&bytes, cut);
        }
    }
}
