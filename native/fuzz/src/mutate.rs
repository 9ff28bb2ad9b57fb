//! A small mutator for where libFuzzer is not at hand: no coverage, but every kind of damage that
//! parsers have been known to mind.

use crate::random::Random;

/// Longest input it makes.
const BYTES_MAX: usize = 16 * 1024;
const INTERESTING: [u8; 16] = [
    0x00, 0x01, 0x7f, 0x80, 0xff, b'\r', b'\n', b'"', b'\\', b'{', b'[', b'<', 0xdd, 0xdf, 0xc1,
    0xcf,
];

/// Damages `input` one to four times; `other` is another input to take parts from.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    input.truncate(BYTES_MAX);
    for _ in 0..1 << random.below(3) {
        let at = random.below(input.len() + 1);
        match random.below(10) {
            0 => set(input, at, |byte| byte ^ 1 << (at % 8)),
            1 => {
                let byte = INTERESTING[random.below(INTERESTING.len())];
                set(input, at, |_| byte);
            }
            2 => {
                let byte = random.next() as u8;
                set(input, at, |_| byte);
            }
            3 => splice(input, at, &[INTERESTING[random.below(INTERESTING.len())]]),
            4 => {
                let end = (at + 1 + random.below(16)).min(input.len());
                input.drain(at.min(end)..end);
            }
            5 => {
                let end = (at + 1 + random.below(64)).min(input.len());
                let again = input[at.min(end)..end].to_vec();
                splice(input, at, &again);
            }
            6 => input.truncate(at),
            7 => {
                let from = random.below(other.len() + 1);
                let end = (from + 1 + random.below(256)).min(other.len());
                splice(input, at, &other[from.min(end)..end]);
            }
            8 => {
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ if !words.is_empty() => {
                splice(input, at, words[random.below(words.len())].as_bytes())
            }
            _ => {}
        }
    }
    input.truncate(BYTES_MAX);
}

fn set(input: &mut [u8], at: usize, change: impl Fn(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte);
    }
}

fn splice(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}
