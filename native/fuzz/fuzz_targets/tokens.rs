//! The target `tokens` of warmpath-fuzz for libFuzzer. Under a sanitizer both tokenizers take more
//! than a minute to load, which is not to count as the first input's time.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: warmpath_fuzz::tokens::load(),
    |input: &[u8]| warmpath_fuzz::target("tokens").map_or((), |one| (one.run)(input))
);
