//! Reads requests from an HTTP/1.x connection: takes heads apart, refuses what must not go on,
//! reads bodies into the store, hands complete requests over, and notices clients that leave.
//! Every refusal has the shape of an OpenAI error and the client's request id.

#![deny(clippy::indexing_slicing)]

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::chunked::{Chunked, Piece};
use super::client::Client;
use super::connection::{Connection, Read};
use super::exchange::{Exchange, State};
use super::fields;
use super::head::{Framing, ReadHead, read_head};
use super::refusal::Refusal;
use super::shared::{Decision, count};
use super::work;
use super::{hand_over, http2};
use crate::layout::error;
use crate::layout::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::store::{Append, Handle};

/// Requests of one connection that wait for their answers; more are not read.
const PIPELINED_MAX: usize = 16;
/// Bytes reserved for a body before it has come; a declared length is only a promise.
const BODY_HINT_BYTES_MAX: u64 = 256 * 1024;
/// A client that only closed its sending side looks the same as one that has left until something
/// is written: interim answers tell them apart.
const PROBE_FIRST: Duration = Duration::from_millis(10);
const PROBE_LAST: Duration = Duration::from_secs(10);

/// Why reading has ended.
enum End {
    /// The client sends no more.
    Closed,
    /// Nothing more is to be read; the last answer has been sent or never will be.
    Over,
    Gone,
    Refused(Refusal),
    Http2,
}

struct Reader {
    connection: Rc<Connection>,
    buffer: Vec<u8>,
    /// Bytes of the buffer in which no head's end was found.
    seen: usize,
    head_began_ms: f64,
    complete: Vec<Rc<Exchange>>,
}

/// Serves the connection until it is closed.
pub async fn serve(connection: Rc<Connection>) {
    let mut reader = Reader {
        connection: Rc::clone(&connection),
        buffer: Vec::new(),
        seen: 0,
        head_began_ms: 0.0,
        complete: Vec::new(),
    };
    let end = reader.requests().await;
    reader.announce();
    match end {
        End::Closed => half_closed(&connection).await,
        End::Over => connection.linger().await,
        End::Gone => {}
        End::Refused(refusal) => refuse_connection(&connection, refusal).await,
        End::Http2 => http2::serve(&connection, std::mem::take(&mut reader.buffer)).await,
    }
    connection.destroy(false);
}

impl Reader {
    async fn requests(&mut self) -> End {
        loop {
            let end = match self.next_head().await {
                Ok(end) => end,
                Err(end) => return end,
            };
            let read = match self.buffer.get(..end).map(read_head) {
                Some(Ok(read)) => read,
                Some(Err(text)) => return End::Refused(not_http(text)),
                None => return End::Gone,
            };
            self.buffer.drain(..end);
            self.seen = 0;
            if let Err(end) = self.request(read).await {
                return end;
            }
        }
    }

    /// Waits for a whole head and returns its length.
    async fn next_head(&mut self) -> Result<usize, End> {
        self.connection.is_between.set(true);
        let limits = &self.connection.shard.shared.options.timeouts;
        let (headers_ms, keep_alive_ms) = (limits.headers_ms, limits.keep_alive_ms);
        let is_first = self.connection.is_fresh.get();
        if is_first {
            self.begin_limit(headers_ms);
        } else if self.connection.open_count() == 0 {
            self.begin_limit(keep_alive_ms);
        }
        loop {
            while self.buffer.starts_with(b"\r\n") {
                self.buffer.drain(..2);
                self.seen = 0;
            }
            if self.connection.is_between.get() && !self.buffer.is_empty() {
                self.connection.is_between.set(false);
                self.head_began_ms = self.connection.shard.now_ms();
                self.begin_limit(headers_ms);
            }
            if self.buffer.starts_with(http2::PREFACE) && self.connection.open_count() == 0 {
                return Err(End::Http2);
            }
            // A beginning of the preface may still become one.
            if http2::PREFACE.starts_with(&self.buffer) {
                self.seen = 0;
            } else if let Some(end) = self.head_end()? {
                self.connection.deadline.stop();
                return Ok(end);
            }
            if self.connection.open_count() >= PIPELINED_MAX {
                self.announce();
                let has_room = || self.connection.open_count() < PIPELINED_MAX;
                self.connection.until(has_room).await;
            }
            self.read_more().await?;
        }
    }

    fn head_end(&mut self) -> Result<Option<usize>, End> {
        let found = fields::head_end(&self.buffer, self.seen);
        self.seen = self.buffer.len();
        let end = found.map_err(|text| End::Refused(not_http(text)))?;
        if end.unwrap_or(self.buffer.len()) > HEADER_BYTES_MAX {
            let text = format!("The head exceeds {HEADER_BYTES_MAX} bytes.");
            return Err(End::Refused(Refusal::new(error::HEADERS_TOO_LARGE, &text)));
        }
        Ok(end)
    }

    fn begin_limit(&self, limit_ms: f64) {
        self.connection
            .deadline
            .start(limit_ms, self.connection.shard.now_ms());
    }

    /// Reads into the buffer; the requests read so far are handed over first, in one batch.
    async fn read_more(&mut self) -> Result<(), End> {
        self.announce();
        let connection = &self.connection;
        let buffer = &mut self.buffer;
        let read = poll_fn(|context| {
            connection.poll_read(context, |bytes| buffer.extend_from_slice(bytes))
        });
        match read.await {
            Read::Bytes => Ok(()),
            Read::End if self.buffer.is_empty() => Err(End::Closed),
            Read::End | Read::Gone => Err(End::Gone),
            Read::Ending => Err(End::Over),
            Read::Expired if self.buffer.is_empty() && !self.connection.is_fresh.get() => {
                Err(End::Over)
            }
            Read::Expired => Err(End::Refused(too_slow())),
        }
    }

    async fn request(&mut self, read: ReadHead) -> Result<(), End> {
        let shard = Rc::clone(&self.connection.shard);
        let counters = &shard.shared.counters;
        let ReadHead {
            head,
            problem,
            target_problem,
        } = read;
        counters
            .stripped_headers
            .fetch_add(u64::from(head.stripped), Ordering::Relaxed);
        let closing = head.expects_continue || problem.is_some();
        let framing = head.framing;
        let keeps = head.keeps;
        let refusal = problem.or(target_problem).or_else(|| too_large(framing));
        let handle = if refusal.is_none() {
            open_body(&shard.shared.store, framing)
        } else {
            None
        };
        let client = Client::Http1(Rc::clone(&self.connection));
        let expects = head.expects_continue;
        let exchange = Exchange::new(&shard, client, Arc::new(head), handle);
        self.connection.add(&exchange);
        if let Some(handle) = handle {
            if expects {
                self.announce();
                let is_turn = || self.connection.is_turn_of(&exchange);
                self.connection.until(is_turn).await;
                self.connection
                    .write_raw(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await;
            }
            self.body(&exchange, Some(handle), framing).await?;
        } else {
            count(&counters.refused_requests);
            exchange.closing.set(closing);
            answer(&exchange, refusal.unwrap_or_else(full));
            self.body(&exchange, None, framing).await?;
        }
        if keeps && !exchange.closing.get() {
            Ok(())
        } else {
            Err(self.wait_for_the_end().await)
        }
    }

    /// Reads a body into the store, or over it when the request has been refused.
    async fn body(
        &mut self,
        exchange: &Rc<Exchange>,
        handle: Option<Handle>,
        framing: Framing,
    ) -> Result<(), End> {
        let limit = self.connection.shard.shared.options.timeouts.request_ms;
        let mut body = BodyReader {
            exchange,
            handle,
            left: 0,
            chunked: None,
            discarded: Cell::new(0),
        };
        match framing {
            Framing::Length(length) => body.left = length,
            Framing::Chunked => body.chunked = Some(Chunked::default()),
        }
        let mut used = body.take(&self.buffer)?;
        if used.is_none() {
            let spent = self.connection.shard.now_ms() - self.head_began_ms;
            self.begin_limit(if limit > 0.0 {
                (limit - spent).max(1.0)
            } else {
                0.0
            });
        }
        while used.is_none() {
            // All bytes of the buffer belong to the body; what follows is read past it.
            self.buffer.clear();
            self.announce();
            let connection = &self.connection;
            let buffer = &mut self.buffer;
            let mut outcome = Ok(None);
            let read = poll_fn(|context| {
                connection.poll_read(context, |bytes| {
                    outcome = body.take(bytes);
                    if let Ok(Some(end)) = outcome {
                        buffer.extend_from_slice(bytes.get(end..).unwrap_or_default());
                    }
                })
            })
            .await;
            match read {
                Read::Bytes => used = outcome?.map(|_| 0),
                Read::Ending => return Err(End::Over),
                Read::Expired => return Err(End::Refused(too_slow())),
                Read::End | Read::Gone => return Err(End::Gone),
            }
        }
        self.connection.deadline.stop();
        self.buffer.drain(..used.unwrap_or(0));
        self.seen = 0;
        if handle.is_some() && exchange.is_unclaimed() {
            exchange.state.set(State::Deciding);
            self.complete.push(Rc::clone(exchange));
        }
        Ok(())
    }

    /// Hands complete requests over together, as they came together.
    fn announce(&mut self) {
        if !self.complete.is_empty() {
            hand_over::hand_over(&self.connection.shard, self.complete.drain(..));
        }
    }

    /// Nothing that follows the last request of a connection is read as one.
    async fn wait_for_the_end(&mut self) -> End {
        self.announce();
        let discarded = Cell::new(0);
        self.connection.is_between.set(false);
        loop {
            let read = poll_fn(|context| {
                self.connection.poll_read(context, |bytes| {
                    discarded.set(discarded.get() + bytes.len());
                })
            });
            match read.await {
                Read::Bytes if discarded.get() <= BODY_BYTES_MAX => {}
                Read::End => return End::Closed,
                Read::Ending => return End::Over,
                Read::Bytes | Read::Expired | Read::Gone => return End::Gone,
            }
        }
    }
}

struct BodyReader<'a> {
    exchange: &'a Rc<Exchange>,
    handle: Option<Handle>,
    left: u64,
    chunked: Option<Chunked>,
    discarded: Cell<usize>,
}

impl BodyReader<'_> {
    /// Takes what belongs to the body; where it ended, if it did.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, End> {
        let Some(mut chunked) = self.chunked.take() else {
            let length = self.left.min(bytes.len() as u64) as usize;
            self.left -= length as u64;
            self.keep(bytes.get(..length).unwrap_or_default())?;
            return Ok((self.left == 0).then_some(length));
        };
        let mut at = 0;
        let end = loop {
            match chunked
                .next(bytes, at)
                .map_err(|text| End::Refused(not_http(text)))?
            {
                Piece::Data(range) => {
                    at = range.end;
                    self.keep(bytes.get(range).unwrap_or_default())?;
                }
                Piece::End(end) => break Some(end),
                Piece::More => break None,
            }
        };
        self.chunked = Some(chunked);
        Ok(end)
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), End> {
        let reading = self.exchange.state.get() == State::Reading
            && self.exchange.decision.borrow().is_none();
        let Some(handle) = self.handle.filter(|_| reading) else {
            // Read on for a while, so that the client sees the answer instead of a reset.
            self.discarded.set(self.discarded.get() + bytes.len());
            return if self.discarded.get() > BODY_BYTES_MAX {
                Err(End::Gone)
            } else {
                Ok(())
            };
        };
        if bytes.is_empty() {
            return Ok(());
        }
        match self.exchange.shard.shared.store.append(handle, bytes) {
            Append::Done => {}
            Append::TooLarge => answer(self.exchange, body_too_large()),
            Append::Full | Append::Stale => answer(self.exchange, full()),
        }
        Ok(())
    }
}

fn open_body(store: &crate::store::RequestStore, framing: Framing) -> Option<Handle> {
    let length = match framing {
        Framing::Length(length) => length,
        Framing::Chunked => 0,
    };
    store.open(length.min(BODY_HINT_BYTES_MAX) as usize)
}

fn too_large(framing: Framing) -> Option<Refusal> {
    match framing {
        Framing::Length(length) if length > BODY_BYTES_MAX as u64 => Some(body_too_large()),
        _ => None,
    }
}

pub fn body_too_large() -> Refusal {
    let text = format!("The body is larger than {BODY_BYTES_MAX} bytes.");
    Refusal::new(error::BODY_TOO_LARGE, &text)
}

pub fn full() -> Refusal {
    Refusal::new(
        error::TOO_MANY_REQUESTS,
        "The router holds as much as it may.",
    )
}

fn too_slow() -> Refusal {
    Refusal::new(
        error::REQUEST_TIMEOUT,
        "The request was not received in time.",
    )
}

fn not_http(text: &str) -> Refusal {
    let text = format!("The request is not HTTP: {text}");
    Refusal::new(error::MALFORMED_REQUEST, &text)
}

/// Answers a request that JavaScript does not hear of, or no longer.
pub fn answer(exchange: &Rc<Exchange>, refusal: Refusal) {
    if exchange.claim_task() {
        *exchange.decision.borrow_mut() = Some(Decision::Reject(refusal));
        work::spawn(exchange);
    }
}

/// The bytes are no request, or come too slowly.
async fn refuse_connection(connection: &Rc<Connection>, refusal: Refusal) {
    let front = connection.front();
    let reading =
        front.filter(|front| connection.open_count() == 1 && front.state.get() == State::Reading);
    if let Some(reading) = reading {
        reading.closing.set(true);
        answer(&reading, refusal);
        connection.deadline.stop();
        connection.until(|| false).await;
        connection.linger().await;
    } else if connection.open_count() == 0 {
        count(&connection.shard.shared.counters.refused_requests);
        let bytes = raw_answer(&refusal, &connection.shard.new_request_id());
        let _ = tokio::time::timeout(PROBE_LAST, connection.write_raw(bytes.as_bytes())).await;
        connection.linger().await;
    }
    // Behind another answer an error could be taken for a part of that one.
}

/// An error answer for a connection on which no request could be read.
fn raw_answer(refusal: &Refusal, request_id: &str) -> String {
    let mut head = format!("HTTP/1.1 {} Refused\r\n", refusal.status());
    head.push_str(&format!("content-length: {}\r\n", refusal.body.len()));
    head.push_str(&format!("x-request-id: {request_id}\r\n"));
    for (name, value) in refusal.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "connection: close\r\n\r\n" + &refusal.body
}

/// The client sends no more: it may still wait for its answers, or have left.
async fn half_closed(connection: &Rc<Connection>) {
    connection.is_half_closed.set(true);
    let Some(front) = connection.front() else {
        return;
    };
    // Who has left while an answer runs does not come back for its rest; HTTP/1.0 has no 102.
    let left_for_good =
        matches!(front.state.get(), State::Relaying | State::Reading) || front.head.http_1_0;
    if front.state.get() != State::Flushing && left_for_good {
        return;
    }
    let mut delay = PROBE_FIRST;
    while let Some(front) = connection.front() {
        if front.is_unanswered()
            && !connection
                .write_raw(b"HTTP/1.1 102 Processing\r\n\r\n")
                .await
        {
            return;
        }
        let ended = connection.until(|| connection.open_count() == 0);
        let _ = tokio::time::timeout(delay, ended).await;
        if connection.over().is_some() {
            return;
        }
        delay = PROBE_LAST.min(2 * delay);
    }
}
