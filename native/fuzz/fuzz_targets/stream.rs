//! The target `stream` of warmpath-fuzz for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    |input: &[u8]| warmpath_fuzz::target("stream").map_or((), |one| (one.run)(input))
);
