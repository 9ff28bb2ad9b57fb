//! The target `events` of warmpath-fuzz for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(
    |input: &[u8]| warmpath_fuzz::target("events").map_or((), |one| (one.run)(input))
);
