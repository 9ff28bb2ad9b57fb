//! The task of one complete request: waits for the decision, carries it out, and reports how it
//! ended, whatever interrupts it. A fault of the router costs the request, never the thread.

#![deny(clippy::indexing_slicing)]

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::exchange::{Exchange, Interrupt};
use super::fallback;
use super::forwarding::forward;
use super::outbox::Outcome;
use super::refusal::Refusal;
use super::shared::Decision;
use crate::layout::error;

/// Runs the request's task; the caller has claimed it.
pub fn spawn(exchange: &Rc<Exchange>) {
    if exchange.shard.is_stopped() {
        return;
    }
    tokio::task::spawn_local(drive(Rc::clone(exchange), |exchange| {
        Box::pin(work(exchange))
    }));
}

/// Boxed: the memory of a request's work goes when it has ended, and is moved only once. What few
/// requests need is boxed inside it: up to 1,032 bytes glibc keeps at hand for the next request,
/// larger memory is searched for, and merged with its neighbours, each time.
type BoxedWork<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

async fn drive(exchange: Rc<Exchange>, work: for<'a> fn(&'a Exchange) -> BoxedWork<'a>) {
    let mut work = work(&exchange);
    let mut interrupt = interruptible(&exchange, work.as_mut(), |_| true).await;
    drop(work);
    if let Some(early) = interrupt.filter(|&interrupt| interrupt != Interrupt::Gone) {
        let ending = end_early(&exchange, early);
        interrupt = interruptible(&exchange, Box::pin(ending).as_mut(), |interrupt| {
            interrupt == Interrupt::Gone
        })
        .await;
    }
    match interrupt {
        None => exchange.settle(),
        Some(_) => exchange.client_gone(),
    }
}

/// Runs `work` until it is done or an interrupt that `counts` comes; the work is dropped then, and
/// with it its connection to an engine.
async fn interruptible(
    exchange: &Exchange,
    mut work: Pin<&mut (dyn Future<Output = ()> + '_)>,
    counts: impl Fn(Interrupt) -> bool,
) -> Option<Interrupt> {
    poll_fn(|context| {
        exchange.keep_waker(context);
        if exchange.is_overdue(context) {
            exchange.interrupt(Interrupt::Overdue);
        }
        if let Some(interrupt) = exchange.interrupt.get().filter(|&one| counts(one)) {
            return Poll::Ready(Some(interrupt));
        }
        match poll_caught(work.as_mut(), context) {
            Ok(polled) => polled.map(|()| None),
            Err(_) => {
                exchange.trouble(
                    "the router failed while handling a request",
                    "",
                    "it unwound",
                );
                Poll::Ready(Some(Interrupt::Failed))
            }
        }
    })
    .await
}

fn poll_caught(
    work: Pin<&mut (dyn Future<Output = ()> + '_)>,
    context: &mut Context<'_>,
) -> Result<Poll<()>, Box<dyn Any + Send>> {
    // Nothing the work shares is left half-done by unwinding that the ending below relies on.
    catch_unwind(AssertUnwindSafe(|| work.poll(context)))
}

async fn work(exchange: &Exchange) {
    match decision(exchange).await {
        Decision::Forward(mut order) => forward(exchange, &mut order).await,
        Decision::Reject(refusal) => exchange.refuse(&refusal, Outcome::Rejected).await,
        Decision::Respond {
            status,
            headers,
            body,
        } => {
            exchange.respond(status, &headers, &body).await;
        }
    }
}

/// Waits for JavaScript; when it misses its limit, for a native pick if there is a safe one.
async fn decision(exchange: &Exchange) -> Decision {
    let limit = exchange.shard.shared.options.timeouts.decide_ms;
    if exchange.decision.borrow().is_none() {
        exchange.deadline.start(limit, exchange.shard.coarse_ms());
    }
    poll_fn(|context| {
        if let Some(decision) = exchange.decision.borrow_mut().take() {
            exchange.deadline.stop();
            return Poll::Ready(decision);
        }
        if exchange.deadline.poll_expired(context).is_ready() {
            if !fallback::is_due(exchange) {
                exchange.deadline.start(limit, exchange.shard.coarse_ms());
                let _ = exchange.deadline.poll_expired(context);
            } else if let Some(order) = fallback::pick(exchange) {
                exchange.deadline.stop();
                return Poll::Ready(Decision::Forward(order));
            } else {
                exchange.deadline.stop();
            }
        }
        Poll::Pending
    })
    .await
}

/// Time is up, or the work has failed: the client is told, in whatever state it is.
async fn end_early(exchange: &Exchange, interrupt: Interrupt) {
    let (number, text) = match interrupt {
        Interrupt::Failed => (
            error::INTERNAL_ERROR,
            "The router failed; its log has the cause.",
        ),
        Interrupt::Overdue => (
            error::DEADLINE_EXCEEDED,
            "The request took longer than it may in all.",
        ),
        Interrupt::Terminate | Interrupt::Gone => {
            (error::SHUTTING_DOWN, "The router is shutting down.")
        }
    };
    let refusal = Refusal::new(number, text);
    if exchange.is_unanswered() {
        if interrupt != Interrupt::Overdue {
            exchange.closing.set(true);
        }
        exchange.refuse(&refusal, Outcome::Rejected).await;
    } else {
        exchange.cut(&refusal, Outcome::Rejected).await;
        // An answer that is complete, and only has to be taken, may go on until it is cut.
        exchange.client.flush(exchange).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::data_plane::client::Client;
    use crate::data_plane::connection::Connection;
    use crate::data_plane::head::read_head;
    use crate::data_plane::shard::Shard;
    use crate::data_plane::tests::shared;

    #[test]
    fn work_that_unwinds_costs_its_request_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        let shared = shared();
        let handle = shared.store.open(0).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let shard = Shard::new(Arc::clone(&shared), 0);
            let server = tokio::net::TcpStream::from_std(server).unwrap();
            let connection = Connection::new(&shard, server);
            let read = read_head(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let head = Arc::new(read.head);
            let client = Client::Http1(Rc::clone(&connection));
            let exchange = Exchange::new(&shard, client, head, Some(handle));
            connection.add(&exchange);
            drive(exchange, |_| Box::pin(async { panic!("in a test") })).await;
            connection.destroy(false);
        });
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains("\"code\":\"internal_error\""));
        assert_eq!(shared.outbox.take(&mut [0.0; 64]).records, 1);
        shared.delivered();
        assert!(shared.is_idle());
        assert_eq!(shared.store.usage().slots, 0);
    }
}
