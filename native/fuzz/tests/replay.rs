//! Replays every target's corpus, then mutations of it for two seconds each. A mutation that fails
//! is repeated by setting `WARMPATH_FUZZ_SEED` to the seed that is printed.

// The allowance for tests does not reach their helpers.
#![allow(clippy::expect_used)]

use std::time::Duration;

use warmpath_fuzz::{drive, target};

const MUTATED_FOR: Duration = Duration::from_secs(2);

fn replay(name: &str) {
    let target = target(name).expect("a target of that name");
    let seed = drive::seed();
    let inputs = drive::corpus(target);
    println!("{name}: {} inputs, seed {seed}", inputs.len());
    let runs = drive::run(target, &inputs, seed, MUTATED_FOR);
    assert!(runs >= inputs.len() as u64);
    println!("{name}: {runs} runs");
}

#[test]
fn events() {
    replay("events");
}

#[test]
fn body() {
    replay("body");
}

#[test]
fn request() {
    replay("request");
}

#[test]
fn answer() {
    replay("answer");
}

#[test]
fn stream() {
    replay("stream");
}

#[test]
fn tokens() {
    replay("tokens");
}

#[test]
fn chat() {
    replay("chat");
}
