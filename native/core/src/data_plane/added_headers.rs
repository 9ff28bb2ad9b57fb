//! Headers the router adds to what it sends on. Those of all targets of an order are parts of one
//! text, as it came from JavaScript: an order is made for every request.

use bytes::Bytes;

/// Behind every name and value; neither can contain it.
const END: u8 = 0;

/// Header names and values in turn, all of which can stand in a head.
#[derive(Clone, Debug, Default)]
pub struct Headers(Bytes);

impl Headers {
    /// Takes a text of names and values in turn, NUL behind each; none when one of them cannot
    /// stand in a head.
    pub fn read(text: Bytes) -> Option<Self> {
        let sendable = |byte: u8| (byte >= b' ' && byte != 0x7f) || byte == b'\t' || byte == END;
        let in_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
        let headers = Self(text);
        // Without a way out in between, which lets it be done many bytes at a time.
        let all_sendable = headers
            .0
            .iter()
            .fold(true, |all, &byte| all & sendable(byte));
        let fits = all_sendable
            && headers.pairs().all(|pair| {
                pair.is_some_and(|(name, _)| !name.is_empty() && name.iter().all(in_name))
            });
        fits.then_some(headers)
    }

    /// Headers known to be sendable.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let mut text = Vec::new();
        for part in pairs.iter().flat_map(|&(name, value)| [name, value]) {
            text.extend_from_slice(part.as_bytes());
            text.push(END);
        }
        Self(Bytes::from(text))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs().flatten()
    }

    /// Nothing for a pair whose end is missing.
    fn pairs(&self) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
        let mut rest = Some(&self.0[..]);
        std::iter::from_fn(move || {
            let text = rest.filter(|text| !text.is_empty())?;
            let pair = part(text).and_then(|(name, behind)| Some((name, part(behind)?)));
            rest = pair.map(|(_, (_, behind))| behind);
            Some(pair.map(|(name, (value, _))| (name, value)))
        })
    }
}

/// The part a text begins with, and what is behind it.
fn part(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(END, text)?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<Vec<(String, String)>> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = Headers::read(Bytes::from_static(text.as_bytes()))?;
        Some(
            headers
                .iter()
                .map(|(name, value)| (text_of(name), text_of(value)))
                .collect(),
        )
    }

    #[test]
    fn names_and_values_come_in_turn_and_can_stand_in_a_head() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("a\0\0"), Some(vec![pair("a", "")]));
        assert_eq!(
            read("a\0one\0b\0t wo\t\u{e9}\0"),
            Some(vec![pair("a", "one"), pair("b", "t wo\t\u{e9}")])
        );
        for bad in [
            "a",
            "a\0",
            "a\0x",
            "\0x\0",
            "a b\0x\0",
            "a:\0x\0",
            "a\0x\r\ny\0",
            "a\0x\0b\0",
            "\u{e9}\0x\0",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        let of = Headers::of(&[("a", "1"), ("b", "")]);
        assert_eq!(
            of.iter().collect::<Vec<_>>(),
            [(b"a".as_slice(), b"1".as_slice()), (b"b", b"")]
        );
    }
}
