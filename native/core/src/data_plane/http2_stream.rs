//! Where an exchange and hyper meet: a head, then one read of the engine's answer at a time, pulled
//! by hyper when its client takes more. Bytes count as sent when they were written to the socket.

#![deny(clippy::indexing_slicing)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame};

use super::answer_head::ClientHead;
use super::exchange::{Exchange, Interrupt};
use super::http2_session::Session;

/// Bytes handed over at once, and so held beyond this router's reach when a client stalls: those of
/// the usual frame.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// One stream of a session, which knows of it as long as anything of it is under way.
pub struct Stream {
    session: Rc<Session>,
    head: RefCell<Option<ClientHead>>,
    /// What hyper has not taken.
    frames: RefCell<VecDeque<Bytes>>,
    /// Bytes that were not written to the socket, hyper's included.
    unsent: Cell<usize>,
    is_complete: Cell<bool>,
    is_broken: Cell<bool>,
    /// The session does not wait for it.
    is_given_up: Cell<bool>,
    taker: RefCell<Option<Waker>>,
    pub exchange: RefCell<Weak<Exchange>>,
}

impl Stream {
    pub fn new(session: &Rc<Session>) -> Rc<Self> {
        session.opened();
        Rc::new(Self {
            session: Rc::clone(session),
            head: RefCell::default(),
            frames: RefCell::default(),
            unsent: Cell::new(0),
            is_complete: Cell::new(false),
            is_broken: Cell::new(false),
            is_given_up: Cell::new(false),
            taker: RefCell::default(),
            exchange: RefCell::default(),
        })
    }

    pub fn begin(&self, head: ClientHead) {
        *self.head.borrow_mut() = Some(head);
        self.wake_taker();
    }

    pub fn send(&self, pieces: &[&[u8]], last: bool) {
        let mut frames = self.frames.borrow_mut();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            self.unsent.set(self.unsent.get() + piece.len());
            frames.push_back(Bytes::copy_from_slice(piece));
        }
        self.is_complete.set(last);
        drop(frames);
        self.wake_taker();
    }

    pub fn is_flushed(&self) -> bool {
        self.head.borrow().is_none() && self.unsent.get() == 0
    }

    pub async fn flush(&self, exchange: &Exchange) {
        let limit = exchange.shard.shared.options.timeouts.client_stall_ms;
        exchange.deadline.start(limit, exchange.shard.coarse_ms());
        let mut left = usize::MAX;
        poll_fn(|context| {
            if self.is_flushed() {
                return Poll::Ready(());
            }
            let unsent = self.unsent.get();
            if unsent < left {
                exchange.deadline.touch(exchange.shard.coarse_ms());
                left = unsent;
            }
            if exchange.deadline.poll_expired(context).is_ready() {
                self.break_off();
                exchange.interrupt(Interrupt::Gone);
            }
            Poll::Pending
        })
        .await;
        exchange.deadline.stop();
    }

    /// Resets the stream as soon as hyper asks for more of it.
    pub fn break_off(&self) {
        if self.is_broken.replace(true) {
            return;
        }
        self.frames.borrow_mut().clear();
        self.give_up();
        self.wake_taker();
    }

    /// Nobody watches over the rest of it: the client is told to go, and the connection closed once
    /// there are only such streams.
    pub fn give_up(&self) {
        if !self.is_given_up.replace(true) {
            self.session.gave_up();
        }
    }

    /// The exchange is over; hyper may still have frames to take.
    pub fn ended(&self) {
        self.wake_taker();
    }

    fn wake_taker(&self) {
        if let Some(taker) = self.taker.borrow_mut().take() {
            taker.wake();
        }
    }

    fn wake_exchange(&self) {
        if let Some(exchange) = self.exchange.borrow().upgrade() {
            exchange.wake();
        }
    }

    /// The client takes no more.
    fn lost(&self) {
        if let Some(exchange) = self.exchange.borrow().upgrade() {
            exchange.interrupt(Interrupt::Gone);
        }
    }

    /// Whether hyper has everything, so that only its pieces tell how the answer ends.
    fn is_handed_over(&self) -> bool {
        self.is_complete.get() && self.head.borrow().is_none() && self.frames.borrow().is_empty()
    }

    pub fn poll_head(&self, context: &Context<'_>) -> Poll<ClientHead> {
        if let Some(head) = self.head.borrow_mut().take() {
            self.wake_exchange();
            return Poll::Ready(head);
        }
        *self.taker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.closed(self.is_given_up.get());
    }
}

/// Bytes of an answer until the client's socket has taken them.
pub struct AnswerPiece {
    stream: Rc<Stream>,
    bytes: Bytes,
}

impl Buf for AnswerPiece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        let unsent = &self.stream.unsent;
        unsent.set(unsent.get().saturating_sub(count));
        self.stream.wake_exchange();
    }
}

impl Drop for AnswerPiece {
    fn drop(&mut self) {
        if self.bytes.has_remaining() {
            self.stream.lost();
        }
    }
}

/// The body hyper pulls from. Dropped early, it means that the client has left.
pub struct AnswerBody(pub Rc<Stream>);

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if !self.0.is_handed_over() {
            self.0.lost();
        }
    }
}

impl Body for AnswerBody {
    type Data = AnswerPiece;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<AnswerPiece>, io::Error>>> {
        let stream = &self.0;
        if stream.is_broken.get() {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let mut frames = stream.frames.borrow_mut();
        if let Some(frame) = frames.front_mut() {
            let bytes = frame.split_to(frame.len().min(PIECE_BYTES_MAX));
            if frame.is_empty() {
                frames.pop_front();
            }
            let stream = Rc::clone(stream);
            return Poll::Ready(Some(Ok(Frame::data(AnswerPiece { stream, bytes }))));
        }
        if stream.is_complete.get() {
            return Poll::Ready(None);
        }
        *stream.taker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let stream = &self.0;
        !stream.is_broken.get() && stream.is_complete.get() && stream.frames.borrow().is_empty()
    }
}
