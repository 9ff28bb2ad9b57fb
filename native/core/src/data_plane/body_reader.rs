//! Reads one request's body, into the store or over it.

#![deny(clippy::indexing_slicing)]

use std::cell::Cell;
use std::rc::Rc;

use super::chunked::{Chunked, Piece};
use super::client_end::{answer, body_too_large, full, not_http};
use super::exchange::{Exchange, State};
use super::head::Framing;
use super::reader::End;
use crate::layout::limits::BODY_BYTES_MAX;
use crate::store::{Append, Handle};

pub struct BodyReader<'a> {
    exchange: &'a Rc<Exchange>,
    handle: Option<Handle>,
    left: u64,
    chunked: Option<Chunked>,
    discarded: Cell<usize>,
}

impl<'a> BodyReader<'a> {
    pub fn new(exchange: &'a Rc<Exchange>, handle: Option<Handle>, framing: Framing) -> Self {
        let (left, chunked) = match framing {
            Framing::Length(length) => (length, None),
            Framing::Chunked => (0, Some(Chunked::default())),
        };
        Self {
            exchange,
            handle,
            left,
            chunked,
            discarded: Cell::new(0),
        }
    }

    /// Where the rest of the body can be read to directly, and how long it is.
    pub fn place(&self) -> Option<(Handle, usize)> {
        let handle = self.handle.filter(|_| self.exchange.is_unclaimed())?;
        self.chunked
            .is_none()
            .then_some((handle, self.left as usize))
    }

    /// Counts bytes that were read to their place; true when the body has ended.
    pub fn received(&mut self, length: usize, append: Append) -> bool {
        self.left -= self.left.min(length as u64);
        if append != Append::Done {
            answer(self.exchange, full());
        }
        self.left == 0
    }

    /// Takes what belongs to the body; where it ended, if it did.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, End> {
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
