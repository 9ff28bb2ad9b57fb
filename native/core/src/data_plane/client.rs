//! The side of an exchange that faces the client, whichever protocol it speaks.

use std::rc::Rc;

use super::answer_head::ClientHead;
use super::connection::Connection;
use super::exchange::Exchange;
use super::http2_stream::Stream;

pub enum Client {
    Http1(Rc<Connection>),
    Http2(Rc<Stream>),
}

impl Client {
    /// True when no earlier request of the connection is still to be answered.
    pub fn is_turn_of(&self, exchange: &Exchange) -> bool {
        match self {
            Self::Http1(connection) => connection.is_turn_of(exchange),
            Self::Http2(_) => true,
        }
    }

    /// Gets the head ready to be sent with the first bytes of the body.
    pub fn begin(&self, exchange: &Exchange, head: ClientHead) {
        match self {
            Self::Http1(connection) => connection.begin(exchange, head),
            Self::Http2(stream) => stream.begin(head),
        }
    }

    /// Sends what the client takes at once; `flush` sends the rest.
    pub fn send(&self, exchange: &Exchange, pieces: &[&[u8]], last: bool) {
        match self {
            Self::Http1(connection) => connection.send(exchange, pieces, last),
            Self::Http2(stream) => stream.send(pieces, last),
        }
    }

    /// Waits until everything was taken. A client that takes nothing for too long is cut; then
    /// this never returns and the exchange is interrupted.
    pub async fn flush(&self, exchange: &Exchange) {
        match self {
            Self::Http1(connection) => connection.flush(exchange).await,
            Self::Http2(stream) => stream.flush(exchange).await,
        }
    }

    /// True when nothing waits for the client.
    pub fn is_flushed(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_flushed(),
            Self::Http2(stream) => stream.is_flushed(),
        }
    }

    /// Ends an answer in a way that nobody takes for its proper end.
    pub fn break_off(&self) {
        match self {
            Self::Http1(connection) => connection.destroy(true),
            Self::Http2(stream) => stream.break_off(),
        }
    }

    /// The exchange is over.
    pub fn ended(&self, exchange: &Exchange) {
        match self {
            Self::Http1(connection) => connection.ended(exchange),
            Self::Http2(stream) => stream.ended(),
        }
    }
}
