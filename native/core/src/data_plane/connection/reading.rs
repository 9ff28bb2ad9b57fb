//! The reading half of a client's connection: bytes into the thread's buffer or into their body,
//! until something ends it.

#![deny(clippy::indexing_slicing)]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Connection, Read};
use crate::store::{Append, Handle};

/// How long a client may take to see that its connection is closed.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    /// Reads once into the thread's buffer, at most `limit` bytes, and shows them to `take`.
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        limit: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<Read> {
        if let Some(over) = self.poll_over(context) {
            return Poll::Ready(over);
        }
        self.shard.scratch.with(|scratch| {
            let limit = limit.min(scratch.len());
            let mut buffer = ReadBuf::new(scratch.get_mut(..limit).unwrap_or_default());
            let read = ready!(self.poll_read_into(context, &mut buffer));
            if read == Read::Bytes {
                take(buffer.filled());
            }
            Poll::Ready(read)
        })
    }

    /// Reads once into a body, at most `limit` bytes; how many there were, and if they were kept.
    pub fn poll_receive(
        &self,
        context: &mut Context<'_>,
        handle: Handle,
        limit: usize,
    ) -> Poll<(Read, usize, Append)> {
        if let Some(over) = self.poll_over(context) {
            return Poll::Ready((over, 0, Append::Done));
        }
        let received = self.shard.shared.store.receive(handle, limit, |spare| {
            let mut buffer = ReadBuf::new(spare);
            let read = self.poll_read_into(context, &mut buffer);
            (
                buffer.filled().len(),
                read.map(|read| (read, buffer.filled().len())),
            )
        });
        let Some((append, read)) = received else {
            return Poll::Ready((Read::Gone, 0, Append::Stale));
        };
        read.map(|(read, length)| (read, length, append))
    }

    /// What there is to say without reading.
    fn poll_over(&self, context: &Context<'_>) -> Option<Read> {
        self.keep_reader(context);
        let expired = || {
            self.deadline
                .poll_expired(context)
                .is_ready()
                .then_some(Read::Expired)
        };
        self.over().or_else(expired)
    }

    pub fn poll_read_into(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Read> {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = stream.as_mut() else {
            return Poll::Ready(Read::Gone);
        };
        let read = ready!(Pin::new(stream).poll_read(context, buffer));
        if read.is_err() {
            return Poll::Ready(Read::Gone);
        }
        if buffer.filled().is_empty() {
            return Poll::Ready(Read::End);
        }
        self.is_fresh.set(false);
        Poll::Ready(Read::Bytes)
    }

    /// Waits until `condition` holds or the connection is over.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        poll_fn(|context| {
            self.keep_reader(context);
            if self.over().is_some() || condition() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Ends the sending side and waits a moment for the client to end its own: closing while bytes
    /// of the client are unread would reset the connection and lose the answer.
    pub async fn linger(&self) {
        let _ = poll_fn(|context| self.poll_shutdown(context)).await;
        self.ending.set(false);
        self.deadline.stop();
        let drained = async {
            while poll_fn(|context| self.poll_read(context, usize::MAX, |_| {})).await
                == Read::Bytes
            {}
        };
        let _ = tokio::time::timeout(LINGER, drained).await;
    }

    pub fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}
