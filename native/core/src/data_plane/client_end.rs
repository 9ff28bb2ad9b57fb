//! How requests and connections end that go no further: refusals, and clients that send no more.

#![deny(clippy::indexing_slicing)]

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use super::answer_head::own_head;
use super::connection::{Connection, Read};
use super::exchange::{Exchange, State};
use super::refusal::Refusal;
use super::shared::{Decision, count};
use super::work;
use crate::layout::error;
use crate::layout::limits::BODY_BYTES_MAX;

/// A client that only closed its sending side looks the same as one that has left until something
/// is written: interim answers tell them apart.
const PROBE_FIRST: Duration = Duration::from_millis(10);
const PROBE_LAST: Duration = Duration::from_secs(10);

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

pub fn too_slow() -> Refusal {
    Refusal::new(
        error::REQUEST_TIMEOUT,
        "The request was not received in time.",
    )
}

pub fn not_http(text: &str) -> Refusal {
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

/// Refuses a request whose body is no body, or comes too slowly.
pub async fn refuse_body(connection: &Rc<Connection>, exchange: &Rc<Exchange>, refusal: Refusal) {
    exchange.closing.set(true);
    // Nothing when it was refused before.
    answer(exchange, refusal);
    if answered(connection).await == Read::End {
        connection.until(|| connection.open_count() == 0).await;
    }
    connection.linger().await;
}

/// Refuses what is no request, or comes too slowly. Answers of earlier requests come first: before
/// them, or within one, an error would be taken for theirs.
pub async fn refuse_connection(connection: &Rc<Connection>, refusal: Refusal) {
    match answered(connection).await {
        Read::Bytes => {
            count(&connection.shard.shared.counters.refused_requests);
            let bytes = raw_answer(&refusal, &connection.shard.stamps.new_request_id());
            connection.write_raw(&bytes).await;
            connection.linger().await;
        }
        Read::End => half_closed(connection).await,
        Read::Ending => connection.linger().await,
        Read::Expired | Read::Gone => {}
    }
}

/// Waits for the answers under way and reads over what comes meanwhile; `Bytes` when there are no
/// more of them and the connection stays, else what has ended it.
async fn answered(connection: &Connection) -> Read {
    connection.deadline.stop();
    let mut discarded = 0;
    poll_fn(|context| {
        while connection.open_count() > 0 {
            let read = ready!(connection.poll_read(context, usize::MAX, |bytes| {
                discarded += bytes.len();
            }));
            if read != Read::Bytes {
                return Poll::Ready(read);
            }
            if discarded > BODY_BYTES_MAX {
                return Poll::Ready(Read::Gone);
            }
        }
        Poll::Ready(connection.over().unwrap_or(Read::Bytes))
    })
    .await
}

/// An error answer for a connection on which no request could be read.
fn raw_answer(refusal: &Refusal, request_id: &str) -> Vec<u8> {
    let status = refusal.status();
    let id = request_id.as_bytes();
    let head = own_head(status, &refusal.headers(), refusal.body.len(), id);
    let mut answer = format!("HTTP/1.1 {status} Refused\r\n").into_bytes();
    answer.extend_from_slice(&head.lines);
    answer.extend_from_slice(b"connection: close\r\n\r\n");
    answer.extend_from_slice(refusal.body.as_bytes());
    answer
}

/// The client sends no more: it may still wait for its answers, or have left.
pub async fn half_closed(connection: &Rc<Connection>) {
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
