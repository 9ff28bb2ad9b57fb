//! Headers the router adds to what it sends on. Those of all targets of an order are parts of one
//! text, as it came from JavaScript: an order is made for every request.

use bytes::Bytes;

/// Between names and values; neither can contain it.
const SEPARATOR: u8 = 0;

/// Header names and values in turn, all of which can stand in a head.
#[derive(Clone, Debug, Default)]
pub struct Headers(Bytes);

impl Headers {
    /// Takes a text of names and values in turn, NUL between them; none when one of them cannot
    /// stand in a head.
    pub fn read(text: Bytes) -> Option<Self> {
        let sendable =
            |byte: &u8| (*byte >= b' ' && *byte != 0x7f) || matches!(*byte, b'\t' | SEPARATOR);
        let in_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
        let headers = Self(text);
        let fits = headers.0.iter().all(sendable)
            && headers.pairs().all(|(name, value)| {
                value.is_some() && !name.is_empty() && name.iter().all(in_name)
            });
        fits.then_some(headers)
    }

    /// Headers known to be sendable.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let parts: Vec<&str> = pairs
            .iter()
            .flat_map(|&(name, value)| [name, value])
            .collect();
        Self(Bytes::from(parts.join("\0")))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs()
            .map(|(name, value)| (name, value.unwrap_or_default()))
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = (!self.0.is_empty()).then_some(&self.0[..]);
        let mut part = move || {
            let text = rest?;
            let (part, behind) = match memchr::memchr(SEPARATOR, text) {
                Some(at) => (&text[..at], Some(&text[at + 1..])),
                None => (text, None),
            };
            rest = behind;
            Some(part)
        };
        std::iter::from_fn(move || Some((part()?, part())))
    }
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
        assert_eq!(read("a\0"), Some(vec![pair("a", "")]));
        assert_eq!(
            read("a\0one\0b\0t wo\t\u{e9}"),
            Some(vec![pair("a", "one"), pair("b", "t wo\t\u{e9}")])
        );
        for bad in [
            "a",
            "\0x",
            "a b\0x",
            "a:\0x",
            "a\0x\r\ny",
            "a\0x\0b",
            "\u{e9}\0x",
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
