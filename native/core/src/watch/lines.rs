//! Keeps of a `/metrics` text the lines that somebody reads: a thirtieth of it, and the rest never
//! reaches JavaScript. Who reads them (`metrics-text.ts`) names them; nothing is parsed here.

#![deny(clippy::indexing_slicing)]

use std::rc::Rc;

use memchr::{memchr, memchr2};

/// Which lines are read: samples of the series called `names`, and the first line that begins with
/// each of `beginnings`.
#[derive(Debug, Default)]
pub struct WantedLines {
    names: Vec<Box<[u8]>>,
    beginnings: Vec<Box<[u8]>>,
    /// First bytes of all of them: most lines are told by it.
    first_bytes: Vec<u8>,
}

impl WantedLines {
    pub fn new(names: &[String], beginnings: &[String]) -> Self {
        let bytes = |texts: &[String]| -> Vec<Box<[u8]>> {
            let texts = texts.iter().filter(|text| !text.is_empty());
            texts.map(|text| text.as_bytes().into()).collect()
        };
        let (names, beginnings) = (bytes(names), bytes(beginnings));
        let all = names.iter().chain(&beginnings);
        let mut first_bytes: Vec<u8> = all.filter_map(|text| text.first().copied()).collect();
        first_bytes.sort_unstable();
        first_bytes.dedup();
        Self {
            names,
            beginnings,
            first_bytes,
        }
    }
}

/// Reads one text, cut into pieces in any way.
pub struct LineFilter {
    wanted: Rc<WantedLines>,
    /// Which of the beginnings were met.
    met: Vec<bool>,
    /// A line whose end has not come yet.
    partial: Vec<u8>,
    kept: Vec<u8>,
}

impl LineFilter {
    pub fn new(wanted: &Rc<WantedLines>) -> Self {
        Self {
            wanted: Rc::clone(wanted),
            met: vec![false; wanted.beginnings.len()],
            partial: Vec::new(),
            kept: Vec::new(),
        }
    }

    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, more) = rest.split_at(end + 1);
            if self.partial.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.partial = whole;
            }
            rest = more;
        }
        self.partial.extend_from_slice(rest);
    }

    /// The lines that were kept, as they were.
    pub fn finish(mut self) -> Vec<u8> {
        let last = std::mem::take(&mut self.partial);
        self.line(&last);
        self.kept
    }

    fn line(&mut self, line: &[u8]) {
        if self.is_wanted(line) {
            self.kept.extend_from_slice(line);
        }
    }

    fn is_wanted(&mut self, line: &[u8]) -> bool {
        let wanted = &self.wanted;
        if !line
            .first()
            .is_some_and(|first| wanted.first_bytes.contains(first))
        {
            return false;
        }
        let mut is_first = false;
        for (beginning, met) in wanted.beginnings.iter().zip(&mut self.met) {
            if !*met && line.starts_with(beginning) {
                *met = true;
                is_first = true;
            }
        }
        if is_first {
            return true;
        }
        let end = memchr2(b'{', b' ', line).unwrap_or_default();
        let series = line.get(..end).unwrap_or_default();
        wanted.names.iter().any(|name| **name == *series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(text: &[u8], cut: usize) -> Vec<u8> {
        let names = ["vllm:running", "start"].map(str::to_owned);
        let wanted = Rc::new(WantedLines::new(&names, &["vllm:".to_owned()]));
        let mut filter = LineFilter::new(&wanted);
        for piece in text.chunks(cut) {
            filter.push(piece);
        }
        filter.finish()
    }

    #[test]
    fn samples_of_wanted_series_are_kept_wherever_the_text_is_cut() {
        let text = b"# HELP vllm:running x\nvllm:other 1\nvllm:running{a=\"b\"} 2\n\
            vllm:running_by_reason 3\n\nvllm:other 4\nvllm:running 5\nstart 6\nstarted 7\nstart{} 8";
        for cut in 1..text.len() + 1 {
            let kept = String::from_utf8(filtered(text, cut)).unwrap();
            assert_eq!(
                kept, "vllm:other 1\nvllm:running{a=\"b\"} 2\nvllm:running 5\nstart 6\nstart{} 8",
                "cut into pieces of {cut}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_cut_alike(bytes: Vec<u8>, cut in 1..40_usize) {
            proptest::prop_assert_eq!(filtered(&bytes, cut), filtered(&bytes, bytes.len().max(1)));
        }
    }
}
