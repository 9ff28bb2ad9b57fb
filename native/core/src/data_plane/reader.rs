//! Reads requests from an HTTP/1.x connection: takes heads apart, refuses what must not go on,
//! reads bodies into the store, hands complete requests over, and notices clients that leave.
//! Every refusal has the shape of an OpenAI error and the client's request id.

#![deny(clippy::indexing_slicing)]

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;

use super::body_reader::BodyReader;
use super::client::Client;
use super::client_end::{
    answer, body_too_large, full, half_closed, not_http, refuse_body, refuse_connection, too_slow,
};
use super::connection::{Connection, Read};
use super::exchange::{Exchange, State};
use super::fields;
use super::head::{Framing, ReadHead, read_head};
use super::refusal::Refusal;
use super::shared::count;
use super::{hand_over, http2};
use crate::layout::error;
use crate::layout::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::store::Handle;

/// Requests of one connection that wait for their answers; more are not read.
const PIPELINED_MAX: usize = 16;
/// Bytes reserved for a body before it has come; a declared length is only a promise.
const BODY_HINT_BYTES_MAX: u64 = 256 * 1024;
/// Bytes read at once while a head is expected: it and a small body fit, and what is copied twice
/// of a large body stays small.
const HEAD_READ_BYTES: usize = 8 * 1024;
/// Bytes of a large body read at once, straight into their place.
const RECEIVED_BYTES_MAX: usize = 64 * 1024;

/// Why reading has ended.
pub enum End {
    /// The client sends no more.
    Closed,
    /// Nothing more is to be read; the last answer has been sent or never will be.
    Over,
    Gone,
    Refused(Refusal),
    /// The body of this request cannot be read.
    BadBody(Rc<Exchange>, Refusal),
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
        End::BadBody(exchange, refusal) => refuse_body(&connection, &exchange, refusal).await,
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
        if self.connection.open_count() >= PIPELINED_MAX {
            self.announce();
            let has_room = || self.connection.open_count() < PIPELINED_MAX;
            self.connection.until(has_room).await;
        }
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
                self.head_began_ms = self.connection.shard.coarse_ms();
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
            .start(limit_ms, self.connection.shard.coarse_ms());
    }

    /// Reads into the buffer; the requests read so far are handed over first, in one batch.
    async fn read_more(&mut self) -> Result<(), End> {
        self.announce();
        let connection = &self.connection;
        let buffer = &mut self.buffer;
        let read = poll_fn(|context| {
            connection.poll_read(context, HEAD_READ_BYTES, |bytes| {
                buffer.extend_from_slice(bytes);
            })
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
        if handle.is_some() {
            if expects {
                self.announce();
                let is_turn = || self.connection.is_turn_of(&exchange);
                self.connection.until(is_turn).await;
                let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
                if !self.connection.write_raw(interim).await {
                    return Err(End::Gone);
                }
            }
        } else {
            count(&counters.refused_requests);
            exchange.closing.set(closing);
            answer(&exchange, refusal.unwrap_or_else(full));
        }
        let body = self.body(&exchange, handle, framing).await;
        body.map_err(|end| match end {
            End::Refused(refusal) => End::BadBody(Rc::clone(&exchange), refusal),
            end => end,
        })?;
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
        let mut body = BodyReader::new(exchange, handle, framing);
        let mut used = body.take(&self.buffer)?;
        if used.is_none() {
            let spent = self.connection.shard.coarse_ms() - self.head_began_ms;
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
            let read = match body.place() {
                Some((handle, left)) => {
                    let limit = left.min(RECEIVED_BYTES_MAX);
                    let receive = |context: &mut Context<'_>| {
                        self.connection.poll_receive(context, handle, limit)
                    };
                    let (read, length, append) = poll_fn(receive).await;
                    used = body.received(length, append).then_some(0);
                    read
                }
                None => self.body_piece(&mut body, &mut used).await?,
            };
            match read {
                Read::Bytes => {}
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

    /// Reads once and takes what belongs to the body; `used` tells that it has ended.
    async fn body_piece(
        &mut self,
        body: &mut BodyReader<'_>,
        used: &mut Option<usize>,
    ) -> Result<Read, End> {
        let connection = &self.connection;
        let buffer = &mut self.buffer;
        let mut outcome = Ok(None);
        let read = poll_fn(|context| {
            connection.poll_read(context, usize::MAX, |bytes| {
                outcome = body.take(bytes);
                if let Ok(Some(end)) = outcome {
                    buffer.extend_from_slice(bytes.get(end..).unwrap_or_default());
                }
            })
        })
        .await;
        *used = outcome?.map(|_| 0);
        Ok(read)
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
                self.connection.poll_read(context, usize::MAX, |bytes| {
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
