//! Takes heads and trailers apart, for both sides of the plane: CRLF only, no folding, names of
//! token characters directly before the colon. What other parsers forgive is refused here, because
//! two readers that forgive differently are how requests are smuggled.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use memchr::memchr;

/// One header line, as ranges into the head's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: Range<u32>,
    pub value: Range<u32>,
}

/// Why a head is no HTTP; the text goes to the client.
pub type Malformed = &'static str;

/// Length of the head at the start of `bytes`, its empty line included; `None` while incomplete.
/// `seen` bytes were looked at before.
pub fn head_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Malformed> {
    let mut at = seen.saturating_sub(3);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let newline = at + found;
        if newline == 0 || bytes.get(newline - 1) != Some(&b'\r') {
            return Err("a line ends without CR");
        }
        if newline >= 3 && bytes.get(newline - 3..newline) == Some(b"\r\n\r") {
            return Ok(Some(newline + 1));
        }
        at = newline + 1;
    }
    Ok(None)
}

/// The first line of a head and where the next one begins.
pub fn first_line(head: &[u8]) -> Result<(&[u8], usize), Malformed> {
    let end = memchr(b'\r', head).ok_or("the first line does not end")?;
    if head.get(end + 1) != Some(&b'\n') {
        return Err("CR within a line");
    }
    Ok((head.get(..end).unwrap_or_default(), end + 2))
}

/// Reads the lines from `at` to the empty line that ends the head.
pub fn read_lines(head: &[u8], at: usize, lines: &mut Vec<Line>) -> Result<(), Malformed> {
    let mut at = at;
    loop {
        let rest = head.get(at..).unwrap_or_default();
        if rest == b"\r\n" {
            return Ok(());
        }
        let length = read_line(rest, at, lines)?;
        at += length;
    }
}

fn read_line(rest: &[u8], at: usize, lines: &mut Vec<Line>) -> Result<usize, Malformed> {
    let name_end = rest
        .iter()
        .position(|&byte| !is_token(byte))
        .ok_or("a header line has no colon")?;
    if name_end == 0 {
        return Err("a header line has no name");
    }
    if rest.get(name_end) != Some(&b':') {
        return Err("an invalid character in a header name");
    }
    let value_and_more = rest.get(name_end + 1..).unwrap_or_default();
    let value_end = value_and_more
        .iter()
        .position(|&byte| !is_value(byte))
        .ok_or("a header line does not end")?;
    if value_and_more.get(value_end..value_end + 2) != Some(b"\r\n") {
        return Err("an invalid character in a header value");
    }
    let value = value_and_more.get(..value_end).unwrap_or_default();
    let leading = value.len() - trim_start(value).len();
    let trimmed = trim_end(trim_start(value)).len();
    let value_at = at + name_end + 1 + leading;
    lines.push(Line {
        name: at as u32..(at + name_end) as u32,
        value: value_at as u32..(value_at + trimmed) as u32,
    });
    Ok(name_end + 1 + value_end + 2)
}

/// Without blanks at both ends.
pub fn trim(value: &[u8]) -> &[u8] {
    trim_end(trim_start(value))
}

fn trim_start(value: &[u8]) -> &[u8] {
    let blanks = value.iter().take_while(|&&byte| is_blank(byte)).count();
    value.get(blanks..).unwrap_or_default()
}

fn trim_end(value: &[u8]) -> &[u8] {
    let blanks = value.iter().rev().take_while(|&&byte| is_blank(byte));
    value
        .get(..value.len() - blanks.count())
        .unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Field values: visible characters, blanks, and bytes above 127 (RFC 9110 §5.5).
fn is_value(byte: u8) -> bool {
    CLASSES
        .get(byte as usize)
        .is_some_and(|class| class & VALUE != 0)
}

/// Token characters (RFC 9110 §5.6.2).
pub fn is_token(byte: u8) -> bool {
    CLASSES
        .get(byte as usize)
        .is_some_and(|class| class & TOKEN != 0)
}

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
static CLASSES: [u8; 256] = classes();

#[allow(clippy::indexing_slicing)] // Evaluated by the compiler, with a u8 into 256 places.
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        let value = character == b'\t' || (character >= 0x20 && character != 0x7f);
        let token = character.is_ascii_alphanumeric()
            || matches!(
                character,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        table[byte] = (token as u8) * TOKEN + (value as u8) * VALUE;
        byte += 1;
    }
    table
}

/// Appends a number's decimal digits.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut rest = digits.iter_mut();
    while let Some(digit) = rest.next_back() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let unused = rest.len();
    out.extend_from_slice(digits.get(unused..).unwrap_or_default());
}

/// A decimal length: digits only, at most 2^53.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 16 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= 1 << 53).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 7, 10, 200, 16_384, 1 << 53] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
            assert_eq!(decimal(&out[1..]), Some(number));
        }
        let mut out = Vec::new();
        push_decimal(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().into_bytes());
    }

    fn lines(head: &str) -> Result<Vec<(String, String)>, Malformed> {
        let bytes = head.as_bytes();
        let mut lines = Vec::new();
        read_lines(bytes, 0, &mut lines)?;
        let text = |range: &Range<u32>| {
            String::from_utf8_lossy(&bytes[range.start as usize..range.end as usize]).into_owned()
        };
        Ok(lines
            .iter()
            .map(|line| (text(&line.name), text(&line.value)))
            .collect())
    }

    #[test]
    fn lines_are_read_and_trimmed() {
        let read = lines("A: b\r\nC-d:\t e f \t\r\nEmpty:\r\n\r\n").unwrap();
        let expected = [("A", "b"), ("C-d", "e f"), ("Empty", "")];
        assert_eq!(read.len(), 3);
        for ((name, value), (want_name, want_value)) in read.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), (want_name, want_value));
        }
    }

    #[test]
    fn what_others_forgive_is_refused() {
        for head in [
            "A : b\r\n\r\n",
            " A: b\r\n\r\n",
            "A: b\r\n c\r\n\r\n",
            "A: b\nC: d\r\n\r\n",
            "A: b\rc\r\n\r\n",
            "A: b\0c\r\n\r\n",
            ": b\r\n\r\n",
            "A\r\n\r\n",
            "A\u{1}: b\r\n\r\n",
        ] {
            assert!(lines(head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        for cut in 0..head.len() {
            let first = head_end(&head[..cut], 0).unwrap();
            let end = first.or_else(|| head_end(head, cut).unwrap());
            assert_eq!(end, Some(24), "cut at {cut}");
        }
        assert!(head_end(b"GET / HTTP/1.1\nA: b\n\n", 0).is_err());
        assert_eq!(decimal(b"12"), Some(12));
        for bad in ["", "+1", "1 1", "0x2", "99999999999999999999", "-1"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_unwind(bytes: Vec<u8>, at in 0..64_usize) {
            let _ = head_end(&bytes, at);
            let mut lines = Vec::new();
            let _ = read_lines(&bytes, at, &mut lines);
            let _ = first_line(&bytes);
        }
    }
}
