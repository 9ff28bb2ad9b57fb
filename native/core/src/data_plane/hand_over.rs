//! Hands complete requests over: to the prompt encoder, where one is attached and the request has
//! a prompt, and to JavaScript, which decides.

#![deny(clippy::indexing_slicing)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use super::exchange::{Exchange, State};
use super::head::Head;
use super::outbox::{Event, Record};
use super::shard::Shard;
use super::work;
use crate::prepare::Route;

/// Makes the requests known, in one batch as far as they need no encoding.
pub fn hand_over(shard: &Rc<Shard>, exchanges: impl Iterator<Item = Rc<Exchange>>) {
    let mut records = Vec::new();
    let shared = &shard.shared;
    let prepare = shared
        .prepare
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for exchange in exchanges {
        let Some(handle) = exchange.handle else {
            continue;
        };
        // Its client may have left while others of the batch were read.
        if exchange.state.get() != State::Deciding || !exchange.claim_task() {
            continue;
        }
        shared.begin_deciding(handle, shard.number, &exchange.head, &exchange.request_id);
        work::spawn(&exchange);
        let body_bytes = shared.store.length(handle);
        let event = |prepared| Event::Request {
            body_bytes,
            received_at_ms: exchange.received_at_ms,
            prepared,
            telling: exchange.head.telling,
        };
        let route = prompt_route(&exchange.head).filter(|_| body_bytes > 0);
        match (&prepare, route) {
            (Some(prepare), Some(route)) => {
                let shared = Arc::clone(shared);
                let record = Record {
                    handle,
                    event: event(true),
                };
                let ready = Box::new(move || shared.announce_prepared(record));
                let prepared = catch_unwind(AssertUnwindSafe(|| {
                    prepare.prepare(handle, route, ready);
                }));
                if prepared.is_err() {
                    exchange.trouble("the prompt encoder failed", "", "it unwound");
                    exchange.shard.shared.announce_prepared(Record {
                        handle,
                        event: event(false),
                    });
                }
            }
            _ => records.push(Record {
                handle,
                event: event(false),
            }),
        }
    }
    shared.announce(records);
}

/// The route of a request that has a prompt.
pub fn prompt_route(head: &Head) -> Option<Route> {
    if head.method() != b"POST" {
        None
    } else if head.has_path(b"/v1/chat/completions") {
        Some(Route::ChatCompletions)
    } else if head.has_path(b"/v1/completions") {
        Some(Route::Completions)
    } else if head.has_path(b"/inference/v1/generate") {
        Some(Route::VllmGenerate)
    } else if head.has_path(b"/generate") {
        Some(Route::SglangGenerate)
    } else if head.has_path(b"/v1/messages") {
        Some(Route::Messages)
    } else if head.has_path(b"/v1/responses") {
        Some(Route::Responses)
    } else {
        None
    }
}
