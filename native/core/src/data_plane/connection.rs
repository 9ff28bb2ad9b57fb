//! One HTTP/1.x connection of a client: its socket, the requests open on it in the order they
//! came, and the bytes that wait to be sent. `reader.rs` reads from it, exchanges write to it, one
//! at a time and in turn.

#![deny(clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::answer_head::{ClientHead, push_line};
use super::client_frame::{push_frame, push_status_line};
use super::deadline::Deadline;
use super::exchange::{Exchange, Interrupt};
use super::fields::push_decimal;
use super::shard::Shard;

mod reading;

/// Unsent bytes' memory that is kept for the next answer.
const KEPT_CAPACITY: usize = 4096;

/// What reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Bytes,
    /// The client sends no more.
    End,
    Expired,
    /// The last answer has been sent; the connection is to be closed in an orderly way.
    Ending,
    /// There is no connection any more.
    Gone,
}

/// How the body of the running answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientFraming {
    None,
    Length,
    Chunked,
    Close,
}

pub struct Connection {
    pub shard: Rc<Shard>,
    stream: RefCell<Option<TcpStream>>,
    exchanges: RefCell<VecDeque<Rc<Exchange>>>,
    reader: RefCell<Option<Waker>>,
    /// Reading: heads, bodies, idleness.
    pub deadline: Rc<Deadline>,
    /// No byte has come yet.
    pub is_fresh: Cell<bool>,
    /// The reader waits for a request of which no byte has come.
    pub is_between: Cell<bool>,
    pub is_half_closed: Cell<bool>,
    ending: Cell<bool>,
    cut: Cell<bool>,
    framing: Cell<ClientFraming>,
    unsent: RefCell<Vec<u8>>,
    sent: Cell<usize>,
}

impl Connection {
    pub fn new(shard: &Rc<Shard>, stream: TcpStream) -> Rc<Self> {
        shard
            .shared
            .counters
            .connections
            .fetch_add(1, Ordering::Relaxed);
        Rc::new(Self {
            shard: Rc::clone(shard),
            stream: RefCell::new(Some(stream)),
            exchanges: RefCell::default(),
            reader: RefCell::new(None),
            deadline: shard.deadlines.deadline(),
            is_fresh: Cell::new(true),
            is_between: Cell::new(true),
            is_half_closed: Cell::new(false),
            ending: Cell::new(false),
            cut: Cell::new(false),
            framing: Cell::new(ClientFraming::None),
            unsent: RefCell::default(),
            sent: Cell::new(0),
        })
    }

    pub fn add(&self, exchange: &Rc<Exchange>) {
        self.exchanges.borrow_mut().push_back(Rc::clone(exchange));
    }

    pub fn front(&self) -> Option<Rc<Exchange>> {
        self.exchanges.borrow().front().cloned()
    }

    pub fn open_count(&self) -> usize {
        self.exchanges.borrow().len()
    }

    pub fn all(&self) -> Vec<Rc<Exchange>> {
        self.exchanges.borrow().iter().cloned().collect()
    }

    pub fn is_turn_of(&self, exchange: &Exchange) -> bool {
        let exchanges = self.exchanges.borrow();
        exchanges
            .front()
            .is_some_and(|front| std::ptr::eq(Rc::as_ptr(front), exchange))
    }

    fn take_stream(&self) -> Option<TcpStream> {
        self.stream.borrow_mut().take()
    }

    pub fn keep_reader(&self, context: &Context<'_>) {
        *self.reader.borrow_mut() = Some(context.waker().clone());
    }

    pub fn wake_reader(&self) {
        if let Some(waker) = self.reader.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// What has ended the connection, if anything has.
    pub fn over(&self) -> Option<Read> {
        if self.cut.get() {
            return Some(Read::Gone);
        }
        self.ending.get().then_some(Read::Ending)
    }

    /// Writes the head of an answer, to be sent with its first bytes.
    pub fn begin(&self, exchange: &Exchange, head: ClientHead) {
        let framing = match head {
            ClientHead {
                has_body: false, ..
            } => ClientFraming::None,
            ClientHead {
                length: Some(_), ..
            } => ClientFraming::Length,
            _ if exchange.head.http_1_0 => ClientFraming::Close,
            _ => ClientFraming::Chunked,
        };
        self.framing.set(framing);
        let closes = exchange.closing.get()
            || !exchange.head.keeps
            || framing == ClientFraming::Close
            || self.shard.shared.is_draining();
        exchange.closing.set(closes);
        let mut out = self.unsent.borrow_mut();
        push_status_line(&mut out, head.status, &head.reason);
        out.extend_from_slice(&head.lines);
        if !head.has_date {
            push_line(&mut out, b"Date", self.shard.stamps.date().as_bytes());
        }
        if closes {
            out.extend_from_slice(b"Connection: close\r\n");
        } else {
            out.extend_from_slice(b"Connection: keep-alive\r\nKeep-Alive: timeout=");
            let seconds = self.shard.shared.options.timeouts.keep_alive_ms as u64 / 1000;
            push_decimal(&mut out, seconds);
            out.extend_from_slice(b"\r\n");
        }
        if framing == ClientFraming::Chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Frames and sends bytes of an answer's body, as much as the socket takes now.
    pub fn send(&self, _exchange: &Exchange, pieces: &[&[u8]], last: bool) {
        let framing = self.framing.get();
        let framed = framing == ClientFraming::Chunked;
        let mut unsent = self.unsent.borrow_mut();
        if unsent.is_empty() {
            if let ([piece], false) = (pieces, framed) {
                let taken = self.try_write(piece);
                unsent.extend_from_slice(piece.get(taken..).unwrap_or_default());
                return;
            }
            self.shard.with_frame(|frame| {
                push_frame(frame, pieces, framed, last);
                let taken = self.try_write(frame);
                unsent.extend_from_slice(frame.get(taken..).unwrap_or_default());
            });
            return;
        }
        push_frame(&mut unsent, pieces, framed, last);
        if self.sent.get() == 0 {
            let taken = self.try_write(&unsent);
            self.took(&mut unsent, taken);
        }
    }

    pub fn is_flushed(&self) -> bool {
        self.unsent.borrow().is_empty()
    }

    /// Waits until the socket has taken everything.
    pub async fn flush(&self, exchange: &Exchange) {
        if self.is_flushed() {
            return;
        }
        let limit = self.shard.shared.options.timeouts.client_stall_ms;
        exchange.deadline.start(limit, self.shard.coarse_ms());
        let flushed = poll_fn(|context| {
            loop {
                let mut unsent = self.unsent.borrow_mut();
                if unsent.is_empty() {
                    return Poll::Ready(true);
                }
                if exchange.deadline.poll_expired(context).is_ready() {
                    return Poll::Ready(false);
                }
                let rest = unsent.get(self.sent.get()..).unwrap_or_default();
                match ready!(self.poll_write(context, rest)) {
                    Ok(taken) => {
                        exchange.deadline.touch(self.shard.coarse_ms());
                        self.took(&mut unsent, taken);
                    }
                    Err(_) => return Poll::Ready(false),
                }
            }
        })
        .await;
        exchange.deadline.stop();
        if !flushed {
            self.destroy(false);
            pending::<()>().await;
        }
    }

    fn took(&self, unsent: &mut Vec<u8>, taken: usize) {
        let sent = self.sent.get() + taken;
        if sent < unsent.len() {
            self.sent.set(sent);
            return;
        }
        self.sent.set(0);
        unsent.clear();
        if unsent.capacity() > KEPT_CAPACITY {
            *unsent = Vec::new();
        }
    }

    /// Bytes the socket took at once; errors are seen by `flush`.
    fn try_write(&self, bytes: &[u8]) -> usize {
        let stream = self.stream.borrow();
        stream
            .as_ref()
            .map_or(0, |stream| stream.try_write(bytes).unwrap_or(0))
    }

    pub fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.borrow_mut();
        match stream.as_mut() {
            Some(stream) => Pin::new(stream).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes what is no exchange's: interim answers, and refusals of what was no request. False
    /// when the socket does not take it in time.
    pub async fn write_raw(&self, bytes: &[u8]) -> bool {
        let limit = self.shard.shared.options.timeouts.client_stall_ms;
        self.deadline.start(limit, self.shard.coarse_ms());
        let mut rest = bytes;
        let written = poll_fn(|context| {
            self.keep_reader(context);
            while !rest.is_empty() {
                if self.over() == Some(Read::Gone) || self.deadline.poll_expired(context).is_ready()
                {
                    return Poll::Ready(false);
                }
                match ready!(self.poll_write(context, rest)) {
                    Ok(taken) => {
                        self.deadline.touch(self.shard.coarse_ms());
                        rest = rest.get(taken..).unwrap_or_default();
                    }
                    Err(_) => return Poll::Ready(false),
                }
            }
            Poll::Ready(true)
        })
        .await;
        self.deadline.stop();
        written
    }

    /// The exchange is over: the next one has its turn, or the connection ends.
    pub fn ended(&self, exchange: &Exchange) {
        let mut exchanges = self.exchanges.borrow_mut();
        exchanges.retain(|one| !std::ptr::eq(Rc::as_ptr(one), exchange));
        let is_last = exchanges.is_empty();
        let next = exchanges.front().cloned();
        drop(exchanges);
        let draining = self.shard.shared.is_draining();
        if exchange.closing.get() || (is_last && (draining || self.is_half_closed.get())) {
            self.end();
        } else if let Some(next) = next {
            next.wake();
        } else if self.is_between.get() {
            let limit = self.shard.shared.options.timeouts.keep_alive_ms;
            self.deadline.start(limit, self.shard.coarse_ms());
        }
        self.wake_reader();
    }

    /// Whether the client has sent what nobody has read.
    pub fn has_unread(&self) -> bool {
        let stream = self.stream.borrow();
        let mut byte = [MaybeUninit::uninit()];
        let peeked = stream
            .as_ref()
            .map(|stream| socket2::SockRef::from(stream).peek(&mut byte));
        matches!(peeked, Some(Ok(1)))
    }

    /// No further answer is sent; the reader closes the connection in an orderly way.
    pub fn end(&self) {
        self.ending.set(true);
        for left in self.all() {
            left.interrupt(Interrupt::Gone);
        }
        self.wake_reader();
    }

    /// Closes the connection at once; every request open on it has lost its client.
    pub fn destroy(&self, reset: bool) {
        if self.cut.replace(true) {
            return;
        }
        if let Some(stream) = self.take_stream().filter(|_| reset) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        for left in self.all() {
            left.interrupt(Interrupt::Gone);
        }
        self.wake_reader();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard
            .shared
            .counters
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        self.shard.inbox().load.fetch_sub(1, Ordering::Relaxed);
    }
}
