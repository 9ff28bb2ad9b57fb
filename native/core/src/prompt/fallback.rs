//! The record of a request whose encoding panicked: its model, read without anything that depends
//! on the model's files, and the reason it is routed by load. Called by encoder.rs.

#![deny(clippy::indexing_slicing)]

use super::json_scan::{not_plain_utf8, refusal_of};
use super::json_tape::Tape;
use super::models::Models;
use super::no_match::NoMatch;
use super::parse::plan_of;
use super::record::Outcome;
use crate::prepare::Route;

pub fn fallback_outcome(body: &[u8], models: &Models) -> Outcome {
    let mut outcome = Outcome {
        no_match: Some(NoMatch::EncoderFailed),
        ..Outcome::default()
    };
    let Ok(text) = std::str::from_utf8(body) else {
        outcome.refusal = Some(not_plain_utf8(body));
        return outcome;
    };
    let mut tape = Tape::default();
    let plan = plan_of(Route::Passthrough);
    if let Err(trouble) = tape.read_body(text, plan) {
        outcome.refusal = Some(refusal_of(text, plan, trouble));
        return outcome;
    }
    let Some((member, value)) = tape.member(text, "model") else {
        return outcome;
    };
    let Some(model) = models.named(&tape.text(text, value)) else {
        return outcome;
    };
    outcome.model_index = Some(model.index);
    outcome.model_offset = member.value_start;
    outcome.model_bytes = member.end - member.value_start;
    let stream = tape.member(text, "stream");
    outcome.stream = stream.is_some_and(|(_, at)| tape.raw(text, at) == "true");
    outcome
}
