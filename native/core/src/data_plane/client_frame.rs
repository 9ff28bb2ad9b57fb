//! What an HTTP/1.1 client gets around the bytes of an answer: status line and chunks.

use super::fields::push_decimal;

pub fn push_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, status.into());
    out.push(b' ');
    if reason.is_empty() {
        let usual = hyper::StatusCode::from_u16(status).ok();
        let words = usual
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        out.extend_from_slice(words.as_bytes());
    } else {
        out.extend_from_slice(reason);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the pieces as one chunk, or as they are, and the end of a chunked body.
pub fn push_frame(out: &mut Vec<u8>, pieces: &[&[u8]], chunked: bool, last: bool) {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if chunked && length > 0 {
        push_hex(out, length);
        out.extend_from_slice(b"\r\n");
    }
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    if chunked && length > 0 {
        out.extend_from_slice(b"\r\n");
    }
    if chunked && last {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

fn push_hex(out: &mut Vec<u8>, number: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - (number | 1).leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(DIGITS[number >> (4 * digit) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_framed_once_for_all_pieces() {
        let mut out = Vec::new();
        push_frame(&mut out, &[b"hello ", &[b'x'; 20]], true, false);
        push_frame(&mut out, &[], true, true);
        assert_eq!(out, b"1a\r\nhello xxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n");
        out.clear();
        push_frame(&mut out, &[b"plain"], false, true);
        assert_eq!(out, b"plain");
        push_hex(&mut out, 0x1_0000);
        assert_eq!(out, b"plain10000");
    }
}
