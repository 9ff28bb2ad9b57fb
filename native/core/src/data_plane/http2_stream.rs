//! Where an exchange and hyper meet: a head, then one read of the engine's answer at a time, pulled
//! by hyper when its client takes more.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::answer_head::ClientHead;
use super::exchange::{Exchange, Interrupt};

/// Where an exchange and hyper meet: a head, then one read of the engine's answer at a time.
#[derive(Default)]
pub struct Stream {
    head: RefCell<Option<ClientHead>>,
    frames: RefCell<VecDeque<Bytes>>,
    is_complete: Cell<bool>,
    is_broken: Cell<bool>,
    taker: RefCell<Option<Waker>>,
    pub exchange: RefCell<Weak<Exchange>>,
}

impl Stream {
    pub fn begin(&self, head: ClientHead) {
        *self.head.borrow_mut() = Some(head);
        self.wake_taker();
    }

    pub fn send(&self, pieces: &[&[u8]], last: bool) {
        let mut frames = self.frames.borrow_mut();
        let filled = pieces.iter().filter(|piece| !piece.is_empty());
        frames.extend(filled.map(|piece| Bytes::copy_from_slice(piece)));
        self.is_complete.set(last);
        drop(frames);
        self.wake_taker();
    }

    pub fn is_flushed(&self) -> bool {
        self.head.borrow().is_none() && self.frames.borrow().is_empty()
    }

    pub async fn flush(&self, exchange: &Exchange) {
        let limit = exchange.shard.shared.options.timeouts.client_stall_ms;
        exchange.deadline.start(limit, exchange.shard.coarse_ms());
        let mut left = usize::MAX;
        poll_fn(|context| {
            if self.is_flushed() {
                return Poll::Ready(());
            }
            let waiting = self.frames.borrow().len();
            if waiting < left {
                exchange.deadline.touch(exchange.shard.coarse_ms());
                left = waiting;
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

    pub fn break_off(&self) {
        self.is_broken.set(true);
        self.wake_taker();
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

    pub fn poll_head(&self, context: &Context<'_>) -> Poll<ClientHead> {
        if let Some(head) = self.head.borrow_mut().take() {
            self.wake_exchange();
            return Poll::Ready(head);
        }
        *self.taker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The body hyper pulls from. Dropped early, it means that the client has left.
pub struct AnswerBody {
    pub stream: Rc<Stream>,
    pub exchange: Option<Rc<Exchange>>,
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(exchange) = &self.exchange {
            exchange.interrupt(Interrupt::Gone);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let stream = &self.stream;
        if let Some(frame) = stream.frames.borrow_mut().pop_front() {
            stream.wake_exchange();
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if stream.is_broken.get() {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        if stream.is_complete.get() {
            return Poll::Ready(None);
        }
        *stream.taker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_complete.get() && self.stream.frames.borrow().is_empty()
    }
}
