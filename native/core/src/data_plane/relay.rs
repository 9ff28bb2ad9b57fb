//! Relays one engine's answer to the client, read by read. The head is held back by the caller
//! until the first byte of the body is there; after it, a failure ends the answer visibly.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use super::answer_head::ClientHead;
use super::engine::{BodyDecoder, Decoded, EngineConnection, Failure};
use super::exchange::Exchange;
use super::fields::Malformed;
use super::outbox::Outcome;
use super::refusal::Refusal;
use crate::layout::error;

/// The outcome of `work`, `None` when the request's limit has passed first. Takes it pinned, so that
/// it exists once in the task's memory.
pub async fn within<T>(
    exchange: &Exchange,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        exchange.deadline.poll_expired(context).map(|()| None)
    })
    .await
}

/// The first bytes of a body, copied because they wait for the client's turn.
pub struct First {
    bytes: Vec<u8>,
    ended: bool,
}

pub struct Relay<'a> {
    exchange: &'a Exchange,
    decoder: BodyDecoder,
    pieces: Vec<Range<usize>>,
    held: Option<ClientHead>,
    slot: u32,
    /// A fault behind payload that was relayed.
    broken: Option<Malformed>,
}

/// What one read of the engine's answer has brought.
enum Step {
    More,
    Ended,
    /// The engine closed its connection within the answer.
    Lost,
}

impl<'a> Relay<'a> {
    pub fn new(exchange: &'a Exchange, decoder: BodyDecoder, held: ClientHead, slot: u32) -> Self {
        Self {
            exchange,
            decoder,
            pieces: Vec::new(),
            held: Some(held),
            slot,
            broken: None,
        }
    }

    /// Waits for the first payload, or the end of an answer without any.
    pub async fn first_bytes(
        &mut self,
        connection: &mut EngineConnection,
    ) -> Result<First, Failure> {
        let mut first = First {
            bytes: Vec::new(),
            ended: self.decoder.is_empty(),
        };
        while first.bytes.is_empty() && !first.ended {
            let step = self.read(connection, |bytes, pieces, _| {
                for piece in pieces {
                    first
                        .bytes
                        .extend_from_slice(bytes.get(piece.clone()).unwrap_or_default());
                }
            });
            match step.await? {
                Step::More => {}
                Step::Ended => first.ended = true,
                Step::Lost => {
                    return Err(Failure::Unreachable("the connection was closed".to_owned()));
                }
            }
        }
        Ok(first)
    }

    /// Relays the answer to its end; false when it had to be cut. Every read is written before the next one: a slow client
    /// holds its engine back, and no stream has more than one read waiting.
    pub async fn relay(
        &mut self,
        connection: &mut EngineConnection,
        first: First,
        endpoint: &str,
    ) -> bool {
        let exchange = self.exchange;
        exchange.deadline.stop();
        if let Some(held) = self.held.take() {
            exchange.begin(held, self.slot).await;
        }
        exchange.relay(&[&first.bytes], first.ended);
        let mut ended = first.ended;
        drop(first);
        exchange.client.flush(exchange).await;
        if ended {
            return true;
        }
        let idle_ms = exchange.shard.shared.options.timeouts.idle_ms;
        exchange.deadline.start(idle_ms, exchange.shard.coarse_ms());
        while !ended {
            let read = self.read(connection, |bytes, pieces, ended| {
                relay_pieces(exchange, bytes, pieces, ended);
            });
            let problem = match within(exchange, pin!(read)).await {
                Some(Ok(Step::More)) => None,
                Some(Ok(Step::Ended)) => {
                    ended = true;
                    None
                }
                Some(Ok(Step::Lost)) => {
                    Some((DISCONNECTED, "the connection was closed".to_owned()))
                }
                Some(Err(Failure::Unreachable(word))) => Some((DISCONNECTED, word)),
                Some(Err(Failure::BadResponse(text))) => Some((DISCONNECTED, text.to_owned())),
                None => Some((STALLED, STALLED.1.to_owned())),
            };
            if let Some(((number, text), cause)) = problem {
                exchange.deadline.stop();
                exchange.trouble("an answer was cut short", endpoint, &cause);
                exchange
                    .cut(&Refusal::new(number, text), Outcome::EndpointFailed)
                    .await;
                return false;
            }
            if exchange.client.is_flushed() {
                exchange.deadline.touch(exchange.shard.coarse_ms());
            } else {
                // The engine is not late while it is the client that does not read.
                exchange.client.flush(exchange).await;
                exchange.deadline.start(idle_ms, exchange.shard.coarse_ms());
            }
        }
        exchange.deadline.stop();
        true
    }

    /// Reads once and shows the payload to `take`, with whether it is the last.
    async fn read(
        &mut self,
        connection: &mut EngineConnection,
        mut take: impl FnMut(&[u8], &[Range<usize>], bool),
    ) -> Result<Step, Failure> {
        let Self {
            decoder,
            pieces,
            broken,
            ..
        } = self;
        if let Some(text) = broken.take() {
            return Err(Failure::BadResponse(text));
        }
        poll_fn(|context| {
            let mut step = Step::Lost;
            let read = connection.poll_body(context, |bytes| {
                pieces.clear();
                let decoded = match decoder.decode(bytes, pieces) {
                    Ok(Some(decoded)) => decoded,
                    Ok(None) => return Ok(0),
                    // What came before the fault is the client's.
                    Err(text) if !pieces.is_empty() => {
                        *broken = Some(text);
                        Decoded {
                            used: bytes.len(),
                            ended: false,
                        }
                    }
                    Err(text) => return Err(text),
                };
                if decoded.ended || !pieces.is_empty() {
                    take(bytes, pieces, decoded.ended);
                }
                step = if decoded.ended {
                    Step::Ended
                } else {
                    Step::More
                };
                Ok(decoded.used)
            });
            ready!(read)?;
            Poll::Ready(Ok(step))
        })
        .await
    }
}

const DISCONNECTED: (usize, &str) = (
    error::ENDPOINT_DISCONNECTED,
    "The endpoint cut the answer short.",
);
const STALLED: (usize, &str) = (
    error::ENDPOINT_STALLED,
    "The endpoint stopped sending within an answer.",
);

fn relay_pieces(exchange: &Exchange, bytes: &[u8], pieces: &[Range<usize>], ended: bool) {
    const INLINE: usize = 16;
    let piece = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
    let mut few: [&[u8]; INLINE] = [&[]; INLINE];
    let mut rest = pieces;
    loop {
        let (now, later) = rest.split_at(rest.len().min(INLINE));
        for (slot, range) in few.iter_mut().zip(now) {
            *slot = piece(range);
        }
        let last = ended && later.is_empty();
        if !now.is_empty() || last {
            exchange.relay(few.get(..now.len()).unwrap_or_default(), last);
        }
        if later.is_empty() {
            return;
        }
        rest = later;
    }
}
