//! One request of one client, from its head to the last byte of its answer. Owns what the client
//! is sent and the `Done` record: whatever happens, exactly one is reported for a request that has
//! a handle. Lives on the thread of its connection.

#![deny(clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::added_headers::Headers;
use super::answer_head::{ClientHead, own_head};
use super::answer_scan::{AnswerScan, Kind, NO_USAGE};
use super::client::Client;
use super::deadline::Deadline;
use super::head::Head;
use super::outbox::{Done, Event, Outcome, Record, Trouble};
use super::refusal::Refusal;
use super::shard::Shard;
use super::shared::Decision;
use crate::store::Handle;

/// Reading: body still to come; Deciding: with JavaScript; Forwarding: with an engine, nothing
/// sent to the client; Relaying: answer begun; Flushing: answer complete; Ended: `Done` reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Reading,
    Deciding,
    Forwarding,
    Relaying,
    Flushing,
    Ended,
}

/// What ends a request's work from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The client's connection has closed.
    Gone,
    /// The plane's time is up.
    Terminate,
    /// The request's whole time is up.
    Overdue,
    /// The work itself has unwound.
    Failed,
}

#[derive(Clone, Copy)]
struct Ending {
    outcome: Outcome,
    error: Option<usize>,
}

pub struct Exchange {
    pub shard: Rc<Shard>,
    pub client: Client,
    pub head: Arc<Head>,
    pub request_id: Arc<str>,
    /// None when the request was refused before it could get one.
    pub handle: Option<Handle>,
    pub received_at_ms: f64,
    pub deadline: Rc<Deadline>,
    /// Of the request as a whole, where it has one.
    total: Option<Rc<Deadline>>,
    pub state: Cell<State>,
    pub decision: RefCell<Option<Decision>>,
    /// The answer ends its connection.
    pub closing: Cell<bool>,
    pub interrupt: Cell<Option<Interrupt>>,
    driven: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    ending: Cell<Ending>,
    slot: Cell<i32>,
    status: Cell<u16>,
    first_byte_ms: Cell<f64>,
    last_byte_ms: Cell<f64>,
    response_bytes: Cell<u64>,
    /// An SSE stream whose end may carry an error event.
    is_open_stream: Cell<bool>,
    scan: RefCell<Option<AnswerScan>>,
}

impl Exchange {
    pub fn new(
        shard: &Rc<Shard>,
        client: Client,
        head: Arc<Head>,
        handle: Option<Handle>,
    ) -> Rc<Self> {
        let request_id = match head.request_id() {
            Some(id) => Arc::from(String::from_utf8_lossy(id).as_ref()),
            None => shard.stamps.new_request_id(),
        };
        shard.shared.counters.open.fetch_add(1, Ordering::AcqRel);
        shard.inbox().load.fetch_add(1, Ordering::Relaxed);
        if handle.is_some() {
            shard.shared.outbox.opened();
        }
        let total_ms = shard.shared.options.timeouts.total_ms;
        let total = (total_ms > 0.0).then(|| {
            let total = shard.deadlines.deadline();
            total.start(total_ms, shard.coarse_ms());
            total
        });
        let exchange = Rc::new(Self {
            shard: Rc::clone(shard),
            client,
            head,
            request_id,
            handle,
            received_at_ms: shard.now_ms(),
            deadline: shard.deadlines.deadline(),
            total,
            state: Cell::new(State::Reading),
            decision: RefCell::new(None),
            closing: Cell::new(false),
            interrupt: Cell::new(None),
            driven: Cell::new(false),
            waker: RefCell::new(None),
            ending: Cell::new(Ending {
                outcome: Outcome::ClientGone,
                error: None,
            }),
            slot: Cell::new(-1),
            status: Cell::new(0),
            first_byte_ms: Cell::new(-1.0),
            last_byte_ms: Cell::new(-1.0),
            response_bytes: Cell::new(0),
            is_open_stream: Cell::new(false),
            scan: RefCell::new(None),
        });
        if let Some(handle) = handle {
            shard.open(handle, &exchange);
        }
        exchange
    }

    /// True when nothing of an answer has been sent.
    pub fn is_unanswered(&self) -> bool {
        matches!(
            self.state.get(),
            State::Reading | State::Deciding | State::Forwarding
        )
    }

    /// True while the body is read and nothing has refused the request.
    pub fn is_unclaimed(&self) -> bool {
        self.state.get() == State::Reading && !self.driven.get()
    }

    /// True for the first caller, who must see to it that the exchange's task runs.
    pub fn claim_task(&self) -> bool {
        !self.driven.replace(true)
    }

    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub fn keep_waker(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|one| one.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }

    /// Ends the request's work; the first interrupt counts, but nobody answers a client that left.
    pub fn interrupt(&self, interrupt: Interrupt) {
        if self.interrupt.get().is_none() || interrupt == Interrupt::Gone {
            self.interrupt.set(Some(interrupt));
        }
        self.wake();
        // Without a task of its own, nobody else reports that it has ended.
        if interrupt == Interrupt::Gone && !self.driven.get() {
            self.client_gone();
        }
    }

    /// Whether the time of the whole request is up and its answer not complete.
    pub fn is_overdue(&self, context: &Context<'_>) -> bool {
        self.total.as_ref().is_some_and(|total| {
            // A request that is refused while it is read has its answer.
            let answered = matches!(
                self.state.get(),
                State::Reading | State::Flushing | State::Ended
            );
            !answered && total.poll_expired(context).is_ready()
        })
    }

    /// Answers with an error of the table.
    pub async fn refuse(&self, refusal: &Refusal, outcome: Outcome) {
        let ending = Ending {
            outcome,
            error: Some(refusal.number),
        };
        let body = refusal.body.as_bytes();
        self.answer(refusal.status(), &refusal.headers(), body, ending)
            .await;
    }

    /// Answers with JavaScript's own response.
    pub async fn respond(&self, status: u16, headers: &Headers, body: &[u8]) {
        let ending = Ending {
            outcome: Outcome::AnsweredLocally,
            error: None,
        };
        self.answer(status, headers, body, ending).await;
    }

    async fn answer(&self, status: u16, headers: &Headers, body: &[u8], ending: Ending) {
        if !self.is_unanswered() {
            return;
        }
        let head = own_head(status, headers, body.len(), self.request_id.as_bytes());
        self.status.set(status);
        self.complete(ending);
        self.turn().await;
        let body = if self.head.method() == b"HEAD" {
            &[][..]
        } else {
            body
        };
        self.response_bytes.set(body.len() as u64);
        self.client.begin(self, head);
        self.client.send(self, &[body], true);
        self.client.flush(self).await;
    }

    /// Begins to relay an engine's answer; its head may be sent afterwards.
    pub async fn begin(&self, head: &ClientHead, slot: u32) {
        self.slot.set(slot as i32);
        self.status.set(head.status);
        self.first_byte_ms.set(self.elapsed_ms());
        *self.scan.borrow_mut() = head.content.map(AnswerScan::new);
        self.is_open_stream
            .set(head.content == Some(Kind::Events) && head.length.is_none());
        if let Some(handle) = self.handle {
            self.shard.report(Record {
                handle,
                event: Event::FirstByte {
                    slot,
                    status: head.status,
                },
            });
        }
        self.turn().await;
        // Not before: until then an error can be answered instead.
        self.state.set(State::Relaying);
    }

    /// Relays bytes; `last` completes the answer. `flush` must be awaited before the next call.
    pub fn relay(&self, pieces: &[&[u8]], last: bool) {
        let mut scan = self.scan.borrow_mut();
        for piece in pieces {
            self.response_bytes
                .set(self.response_bytes.get() + piece.len() as u64);
            if let Some(scan) = scan.as_mut() {
                scan.push(piece);
            }
        }
        if last {
            self.complete(Ending {
                outcome: Outcome::Completed,
                error: None,
            });
        }
        self.client.send(self, pieces, last);
    }

    /// Ends a begun answer that cannot be completed, so that the client notices.
    pub async fn cut(&self, refusal: &Refusal, outcome: Outcome) {
        if self.state.get() != State::Relaying {
            return;
        }
        self.complete(Ending {
            outcome,
            error: Some(refusal.number),
        });
        if !self.is_open_stream.get() {
            self.settle();
            self.client.break_off();
            return;
        }
        let at_boundary = self
            .scan
            .borrow()
            .as_ref()
            .is_none_or(AnswerScan::at_event_boundary);
        // Without `[DONE]`, and with the connection closed behind it.
        self.closing.set(true);
        self.turn().await;
        self.client.send(self, &[&refusal.event(at_boundary)], true);
        self.client.flush(self).await;
    }

    /// The client's connection has closed.
    pub fn client_gone(&self) {
        let ending = self.ending.get();
        if self.state.get() != State::Flushing || ending.outcome == Outcome::Completed {
            self.ending.set(Ending {
                outcome: Outcome::ClientGone,
                error: None,
            });
        }
        self.settle();
    }

    fn complete(&self, ending: Ending) {
        self.ending.set(ending);
        self.last_byte_ms.set(self.elapsed_ms());
        self.state.set(State::Flushing);
    }

    /// Waits until answers of earlier requests of the connection have been sent.
    async fn turn(&self) {
        poll_fn(|_| {
            if self.client.is_turn_of(self) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    pub fn elapsed_ms(&self) -> f64 {
        self.shard.now_ms() - self.received_at_ms
    }

    /// Reports how it ended; only the first call counts.
    pub fn settle(&self) {
        if self.state.replace(State::Ended) == State::Ended {
            return;
        }
        self.deadline.stop();
        if let Some(handle) = self.handle {
            self.shard.end(handle, Event::Done(self.done()));
        }
        self.client.ended(self);
        let shared = &self.shard.shared;
        shared.counters.open.fetch_sub(1, Ordering::AcqRel);
        self.shard.inbox().load.fetch_sub(1, Ordering::Relaxed);
        if shared.is_draining() {
            shared.outbox.arm();
        }
    }

    fn done(&self) -> Done {
        let ending = self.ending.get();
        let scan = self.scan.borrow();
        let last = self.last_byte_ms.get();
        Done {
            slot: self.slot.get(),
            status: self.status.get(),
            outcome: ending.outcome,
            error: ending.error,
            first_byte_ms: self.first_byte_ms.get(),
            last_byte_ms: if last >= 0.0 { last } else { self.elapsed_ms() },
            response_bytes: self.response_bytes.get(),
            chunks: scan.as_ref().map_or(0, AnswerScan::chunks),
            usage: scan.as_ref().map_or(NO_USAGE, AnswerScan::usage),
        }
    }

    /// A log line about this request.
    pub fn trouble(&self, sentence: &'static str, endpoint: &str, error: &str) {
        self.shard.shared.outbox.trouble(Trouble {
            sentence,
            request_id: self.request_id.as_ref().to_owned(),
            endpoint: endpoint.to_owned(),
            error: error.to_owned(),
        });
    }
}
