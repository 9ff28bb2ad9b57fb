//! Sends one request to the targets of its order, one after the other while no byte of an answer
//! has been relayed, and relays the first answer. The head of an answer is held back until its
//! first body byte, so that an engine that dies while it still computes is retried elsewhere.

#![deny(clippy::indexing_slicing)]

use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::answer_head::push_line;
use super::body::patched;
use super::engine::{EngineConnection, Failure, ReadAnswer};
use super::exchange::{Exchange, State};
use super::fields::push_decimal;
use super::outbox::{AttemptOutcome, Event, Outcome, Record};
use super::refusal::Refusal;
use super::relay::{Relay, within};
use super::shared::{Order, Target, count};
use super::upstream::Upstream;
use crate::layout::error;
use crate::layout::limits::ATTEMPTS_MAX;

/// Why an attempt has not answered.
struct Failed {
    outcome: AttemptOutcome,
    refusal: Refusal,
    cause: String,
}

/// What became of an attempt.
enum Attempt {
    /// The client has its answer, whole or cut.
    Answered,
    Failed(Box<Failed>),
    /// The engine is busy and another target may be tried.
    Busy(u32),
}

/// Forwards until the request is answered, by an engine or with an error.
pub async fn forward(exchange: &Exchange, order: &mut Order) {
    exchange.state.set(State::Forwarding);
    let shared = &exchange.shard.shared;
    shared.budget.deposit();
    let stored = exchange
        .handle
        .and_then(|handle| shared.store.body(handle))
        .unwrap_or_default();
    let Some(body) = patched(&stored, &mut order.patches) else {
        exchange.trouble(
            "a request could not be sent",
            "",
            "patches do not fit the body",
        );
        let text = "The router could not send the request.";
        let refusal = Refusal::new(error::INTERNAL_ERROR, text);
        Box::pin(exchange.refuse(&refusal, Outcome::Rejected)).await;
        return;
    };
    drop(stored);
    let mut position = 0;
    while let Some(target) = order.targets.get(position) {
        let forwarding = Forwarding {
            exchange,
            order,
            position,
            target,
            body: &body,
        };
        let upstream = exchange.shard.upstream(target.slot);
        let attempt = match &upstream {
            Some(upstream) => forwarding.attempt(upstream).await,
            None => Attempt::Failed(left_the_fleet()),
        };
        exchange.deadline.stop();
        let name = upstream
            .as_ref()
            .map_or("", |upstream| upstream.endpoint.name.as_str());
        match attempt {
            Attempt::Answered => return,
            Attempt::Busy(next) => {
                let cause = "the endpoint answered 503";
                forwarding.report(AttemptOutcome::Busy, next as i32, name, cause);
            }
            Attempt::Failed(failed) => {
                let next = forwarding.take_next();
                let next_slot = next.map_or(-1, |slot| slot as i32);
                forwarding.report(failed.outcome, next_slot, name, &failed.cause);
                if next.is_none() {
                    let refusal = &failed.refusal;
                    Box::pin(exchange.refuse(refusal, Outcome::EndpointFailed)).await;
                    return;
                }
            }
        }
        count(&shared.counters.retries);
        position += 1;
    }
}

fn left_the_fleet() -> Box<Failed> {
    let text = "The endpoint chosen for the request has left the fleet.";
    Box::new(Failed {
        outcome: AttemptOutcome::Unreachable,
        refusal: Refusal::new(error::ENDPOINT_UNREACHABLE, text),
        cause: text.to_owned(),
    })
}

fn timed_out() -> Box<Failed> {
    let text = "The endpoint did not begin to answer in time.";
    Box::new(Failed {
        outcome: AttemptOutcome::TimedOut,
        refusal: Refusal::new(error::ENDPOINT_TIMEOUT, text),
        cause: text.to_owned(),
    })
}

impl From<Failure> for Box<Failed> {
    fn from(failure: Failure) -> Self {
        Self::new(match failure {
            Failure::Unreachable(word) => Failed {
                outcome: AttemptOutcome::Unreachable,
                refusal: Refusal::new(
                    error::ENDPOINT_UNREACHABLE,
                    &format!("No endpoint could be reached: {word}."),
                ),
                cause: word,
            },
            Failure::BadResponse(text) => Failed {
                outcome: AttemptOutcome::ServerError,
                refusal: Refusal::new(
                    error::ENDPOINT_BAD_RESPONSE,
                    "The endpoint answered something that is not HTTP.",
                ),
                cause: text.to_owned(),
            },
        })
    }
}

/// One attempt: a target of the order, and what is sent to it.
struct Forwarding<'a> {
    exchange: &'a Exchange,
    order: &'a Order,
    position: usize,
    target: &'a Target,
    body: &'a [Bytes],
}

impl Forwarding<'_> {
    async fn attempt(&self, upstream: &Rc<Upstream>) -> Attempt {
        let exchange = self.exchange;
        let _counted = InFlight::new(exchange, self.target.slot);
        let mut answer = None;
        if let Some(attempt) = self.answer(upstream, &mut answer).await {
            return attempt;
        }
        let Some(relay) = &mut answer else {
            return Attempt::Failed(timed_out());
        };
        match within(exchange, pin!(relay.first_bytes())).await {
            None => return Attempt::Failed(timed_out()),
            Some(Err(failure)) => return Attempt::Failed(failure.into()),
            Some(Ok(())) => {}
        }
        relay.relay(&upstream.endpoint.name).await;
        if let Some(connection) = answer.and_then(Relay::into_reusable) {
            upstream.release(connection, exchange.shard.coarse_ms());
        }
        Attempt::Answered
    }

    /// Asks, and waits for the head of the answer, which goes where it stays: what is moved between
    /// two waits takes its room twice in the memory of every request.
    async fn answer<'r>(
        &'r self,
        upstream: &Rc<Upstream>,
        place: &mut Option<Relay<'r>>,
    ) -> Option<Attempt> {
        let exchange = self.exchange;
        let limit = exchange.shard.shared.options.timeouts.first_byte_ms;
        exchange.deadline.start(limit, exchange.shard.coarse_ms());
        let mut connection = None;
        let asked = within(exchange, pin!(self.ask(upstream, &mut connection))).await;
        let answer = match asked {
            None => return Some(Attempt::Failed(timed_out())),
            Some(Err(failure)) => return Some(Attempt::Failed(failure.into())),
            Some(Ok(answer)) => answer,
        };
        exchange.deadline.touch(exchange.shard.coarse_ms());
        if answer.head.status == 503
            && let Some(next) = self.take_next()
        {
            return Some(Attempt::Busy(next));
        }
        let relay = |connection| Relay::new(exchange, self.target, connection, answer);
        *place = connection.map(relay);
        None
    }

    /// Sends the request and reads the head of the answer. A kept connection that dies before any
    /// byte of an answer is replaced once by a fresh one: the engine had closed it while idle.
    async fn ask(
        &self,
        upstream: &Rc<Upstream>,
        place: &mut Option<EngineConnection>,
    ) -> Result<ReadAnswer, Failure> {
        let shard = &self.exchange.shard;
        let limits = &shard.shared.options.timeouts;
        let head = self.request_head(upstream);
        let asked_head = self.exchange.head.method() == b"HEAD";
        *place = upstream.take_idle(shard.coarse_ms() - limits.engine_keep_alive_ms);
        if let Some(kept) = place {
            match kept.ask(head.clone(), self.body, asked_head).await {
                Err(Failure::Unreachable(_)) => count(&shard.shared.counters.reconnects),
                asked => return asked,
            }
        }
        // Boxed: a handshake's state is large, and most requests find a connection.
        let fresh = Box::pin(upstream.connect(shard, limits.connect_ms)).await?;
        let fresh = place.insert(fresh);
        fresh.ask(head, self.body, asked_head).await
    }

    fn request_head(&self, upstream: &Upstream) -> Bytes {
        let Exchange {
            head, request_id, ..
        } = self.exchange;
        let endpoint = &upstream.endpoint;
        let added = &self.target.request_headers;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(head.method());
        out.push(b' ');
        out.extend_from_slice(endpoint.address.base_path.as_bytes());
        head.push_path(&mut out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        push_line(&mut out, b"host", endpoint.address.authority.as_bytes());
        out.extend_from_slice(b"connection: keep-alive\r\n");
        for (name, value) in head.forwarded() {
            if !added.iter().any(|(one, _)| name.eq_ignore_ascii_case(one)) {
                push_line(&mut out, name, value);
            }
        }
        push_line(&mut out, b"x-request-id", request_id.as_bytes());
        // An engine with a key of its own never sees the client's.
        if let Some(key) = &endpoint.address.api_key {
            push_line(
                &mut out,
                b"authorization",
                format!("Bearer {key}").as_bytes(),
            );
        } else {
            let authorization = head.authorization();
            if !authorization.is_empty() {
                push_line(&mut out, b"authorization", &authorization);
            }
        }
        for (name, value) in added.iter() {
            push_line(&mut out, name, value);
        }
        let bytes: usize = self.body.iter().map(Bytes::len).sum();
        if bytes > 0 || matches!(head.method(), b"POST" | b"PUT" | b"PATCH") {
            out.extend_from_slice(b"content-length: ");
            push_decimal(&mut out, bytes as u64);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Bytes::from(out)
    }

    /// Slot of the next target if there is one and the budget allows it.
    fn take_next(&self) -> Option<u32> {
        let next = self.order.targets.get(self.position + 1)?;
        let shared = &self.exchange.shard.shared;
        let allowed = self.position + 1 < ATTEMPTS_MAX && shared.budget.take(shared.clock.now_ms());
        allowed.then_some(next.slot)
    }

    fn report(&self, outcome: AttemptOutcome, next_slot: i32, endpoint: &str, cause: &str) {
        self.exchange.trouble("an attempt failed", endpoint, cause);
        let Some(handle) = self.exchange.handle else {
            return;
        };
        let event = Event::AttemptFailed {
            slot: self.target.slot,
            outcome,
            next_slot,
        };
        self.exchange.shard.report(Record { handle, event });
    }
}

/// Counts the request at its endpoint as long as it runs there.
struct InFlight<'a>(&'a Exchange, u32);

impl<'a> InFlight<'a> {
    fn new(exchange: &'a Exchange, slot: u32) -> Self {
        if let Some(counter) = exchange.shard.shared.in_flight.get(slot as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Self(exchange, slot)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.0.shard.shared.in_flight.get(self.1 as usize) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
