//! Relays one engine's answer to the client, read by read. The head is held back by the caller
//! until the first byte of the body is there; after it, a failure ends the answer visibly.

#![deny(clippy::indexing_slicing)]

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use super::answer_head::{ClientHead, relayed_head};
use super::engine::{BodyDecoder, Decoded, EngineConnection, Failure, ReadAnswer};
use super::exchange::Exchange;
use super::fields::Malformed;
use super::outbox::Outcome;
use super::refusal::Refusal;
use super::shared::Target;
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

/// An answer on its way: where it comes from, and what is known of it.
pub struct Relay<'a> {
    exchange: &'a Exchange,
    slot: u32,
    connection: EngineConnection,
    /// The engine keeps its connection behind the answer.
    keeps: bool,
    decoder: BodyDecoder,
    pieces: Vec<Range<usize>>,
    held: Option<ClientHead>,
    /// The first bytes of the body, copied because they wait for the client's turn.
    first: Vec<u8>,
    /// The answer was read to its end.
    ended: bool,
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
    pub fn new(
        exchange: &'a Exchange,
        target: &Target,
        connection: EngineConnection,
        ReadAnswer { head, bytes }: ReadAnswer,
    ) -> Self {
        let id = exchange.request_id.as_bytes();
        let decoder = BodyDecoder::new(head.framing);
        Self {
            exchange,
            slot: target.slot,
            connection,
            keeps: head.keeps,
            ended: decoder.is_empty(),
            decoder,
            pieces: Vec::new(),
            held: Some(relayed_head(&bytes, &head, &target.response_headers, id)),
            first: Vec::new(),
            broken: None,
        }
    }

    /// The connection when the answer was read to its exact end, so that another request may follow.
    pub fn into_reusable(self) -> Option<EngineConnection> {
        let reusable = self.ended && self.keeps && self.connection.is_clean();
        reusable.then_some(self.connection)
    }

    /// Waits for the first payload, or the end of an answer without any.
    pub async fn first_bytes(&mut self) -> Result<(), Failure> {
        let mut first = Vec::new();
        while first.is_empty() && !self.ended {
            let step = self.read(|bytes, pieces, _| {
                for piece in pieces {
                    first.extend_from_slice(bytes.get(piece.clone()).unwrap_or_default());
                }
            });
            match step.await? {
                Step::More => {}
                Step::Ended => self.ended = true,
                Step::Lost => {
                    return Err(Failure::Unreachable("the connection was closed".to_owned()));
                }
            }
        }
        self.first = first;
        Ok(())
    }

    /// Relays the answer to its end, or cuts it. Every read is written before the next one: a slow
    /// client holds its engine back, and no stream has more than one read waiting.
    pub async fn relay(&mut self, endpoint: &str) {
        let exchange = self.exchange;
        exchange.deadline.stop();
        if let Some(held) = &self.held {
            exchange.begin(held, self.slot).await;
        }
        if let Some(held) = self.held.take() {
            exchange.client.begin(exchange, held);
        }
        exchange.relay(&[&self.first], self.ended);
        self.first = Vec::new();
        exchange.client.flush(exchange).await;
        if self.ended {
            return;
        }
        let idle_ms = exchange.shard.shared.options.timeouts.idle_ms;
        exchange.deadline.start(idle_ms, exchange.shard.coarse_ms());
        while !self.ended {
            let read = {
                let read = self.read(|bytes, pieces, ended| {
                    relay_pieces(exchange, bytes, pieces, ended);
                });
                within(exchange, pin!(read)).await
            };
            let problem = match read {
                Some(Ok(Step::More)) => None,
                Some(Ok(Step::Ended)) => {
                    self.ended = true;
                    None
                }
                Some(Ok(Step::Lost)) => {
                    Some((DISCONNECTED, "the connection was closed".to_owned()))
                }
                Some(Err(Failure::Unreachable(word))) => Some((DISCONNECTED, word)),
                Some(Err(Failure::BadResponse(text))) => Some((DISCONNECTED, text.to_owned())),
                None => Some((STALLED, STALLED.1.to_owned())),
            };
            if let Some((error, cause)) = problem {
                // Boxed, like all that few answers need: it would be memory of every request.
                Box::pin(cut_short(exchange, endpoint, error, cause)).await;
                return;
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
    }

    /// Reads once and shows the payload to `take`, with whether it is the last.
    async fn read(
        &mut self,
        mut take: impl FnMut(&[u8], &[Range<usize>], bool),
    ) -> Result<Step, Failure> {
        let Self {
            connection,
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

/// Tells log and client that an answer has broken off.
async fn cut_short(
    exchange: &Exchange,
    endpoint: &str,
    (number, text): (usize, &str),
    cause: String,
) {
    exchange.deadline.stop();
    exchange.trouble("an answer was cut short", endpoint, &cause);
    let refusal = Refusal::new(number, text);
    exchange.cut(&refusal, Outcome::EndpointFailed).await;
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
