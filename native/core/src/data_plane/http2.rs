//! HTTP/2 of clients with prior knowledge, on hyper. A request's head is spelled as HTTP/1.1 so
//! that one set of rules holds; its answer is handed to hyper one read of the engine at a time.

#![deny(clippy::indexing_slicing)]

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::http::{HeaderName, HeaderValue, request::Parts};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer_head::{ClientHead, push_line};
use super::client::Client;
use super::client_end::{answer, body_too_large, full, too_slow};
use super::connection::{Connection, Read};
use super::exchange::{Exchange, Interrupt, State};
use super::fields;
use super::hand_over::hand_over;
use super::head::{ReadHead, read_http2_head};
use super::http2_session::{Session, Step};
use super::http2_stream::{AnswerBody, Stream};
use super::refusal::Refusal;
use super::shared::count;
use crate::layout::error;
use crate::layout::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::store::Append;

/// What a client with prior knowledge sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests of one connection at once.
const STREAMS_MAX: u32 = 1024;
/// Bytes of requests' bodies under way to this router, for one stream and for all.
const WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves the connection until it is closed; `read` are its first bytes.
pub async fn serve(connection: &Rc<Connection>, read: Vec<u8>) {
    let session = Session::new(connection);
    let io = TokioIo::new(Rewound {
        read,
        used: 0,
        connection: Rc::clone(connection),
    });
    let service = service_fn(|request| {
        let stream = Stream::new(&session);
        respond(Rc::clone(connection), stream, request)
    });
    let mut builder = Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let mut server = Box::pin(builder.serve_connection(io, service));
    let ended = poll_fn(|context| {
        connection.keep_reader(context);
        loop {
            if connection.over() == Some(Read::Gone) {
                return Poll::Ready(false);
            }
            // First of all, so that what has come is heard before the client is told to go.
            if server.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            match session.next_step(context) {
                Step::Stay => return Poll::Pending,
                Step::Leave => server.as_mut().graceful_shutdown(),
                Step::Close => return Poll::Ready(false),
            }
        }
    })
    .await;
    drop(server);
    if ended {
        connection.linger().await;
    }
}

async fn respond(
    connection: Rc<Connection>,
    stream: Rc<Stream>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let shard = Rc::clone(&connection.shard);
    let (parts, body) = request.into_parts();
    let counters = &shard.shared.counters;
    let read = read_http2_head(spell(&parts), !body.is_end_stream());
    let Ok(ReadHead {
        head,
        problem,
        target_problem,
    }) = read
    else {
        count(&counters.refused_requests);
        return Ok(bare_refusal(stream, &shard.stamps.new_request_id()));
    };
    counters
        .stripped_headers
        .fetch_add(u64::from(head.stripped), Ordering::Relaxed);
    let refusal = problem.or(target_problem);
    let hint = body.size_hint().lower().min(u64::from(WINDOW_BYTES)) as usize;
    let handle = if refusal.is_none() {
        shard.shared.store.open(hint)
    } else {
        None
    };
    let exchange = Exchange::new(
        &shard,
        Client::Http2(Rc::clone(&stream)),
        Arc::new(head),
        handle,
    );
    *stream.exchange.borrow_mut() = Rc::downgrade(&exchange);
    // From here on, hyper dropping this future or the body means that the client has left.
    let answer_body = AnswerBody(Rc::clone(&stream));
    if handle.is_none() {
        count(&counters.refused_requests);
        answer(&exchange, refusal.unwrap_or_else(full));
    } else if read_body(&exchange, body).await {
        exchange.state.set(State::Deciding);
        hand_over(&shard, std::iter::once(Rc::clone(&exchange)));
    }
    let head = poll_fn(|context| stream.poll_head(context)).await;
    Ok(response(&head, answer_body))
}

/// Reads the body into the store; false when the request was refused on the way.
async fn read_body(exchange: &Rc<Exchange>, mut body: Incoming) -> bool {
    let (Some(handle), shard) = (exchange.handle, &exchange.shard) else {
        return false;
    };
    exchange
        .deadline
        .start(shard.shared.options.timeouts.request_ms, shard.coarse_ms());
    loop {
        let frame = poll_fn(|context| {
            if exchange.deadline.poll_expired(context).is_ready() {
                return Poll::Ready(Err(()));
            }
            pin!(body.frame()).poll(context).map(Ok)
        });
        match frame.await {
            Err(()) => {
                answer(exchange, too_slow());
                return false;
            }
            Ok(None) => {
                exchange.deadline.stop();
                return exchange.is_unclaimed();
            }
            Ok(Some(Err(_))) => {
                exchange.interrupt(Interrupt::Gone);
                return false;
            }
            Ok(Some(Ok(frame))) => {
                let Ok(bytes) = frame.into_data() else {
                    continue;
                };
                let refusal = match shard.shared.store.append(handle, &bytes) {
                    Append::Done => continue,
                    Append::TooLarge => body_too_large(),
                    Append::Full | Append::Stale => full(),
                };
                debug_assert!(bytes.len() <= BODY_BYTES_MAX);
                answer(exchange, refusal);
                return false;
            }
        }
    }
}

/// The head as an HTTP/1.1 client would have written it.
fn spell(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority {
        push_line(&mut out, b"host", authority.as_bytes());
    }
    for (name, value) in &parts.headers {
        if authority.is_none() || name != hyper::header::HOST {
            push_line(&mut out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn response(head: &ClientHead, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(head.status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    let mut lines = Vec::new();
    let mut text = head.lines.clone();
    text.extend_from_slice(b"\r\n");
    if fields::read_lines(&text, 0, &mut lines).is_err() {
        return response;
    }
    for line in lines {
        let part =
            |range: &std::ops::Range<u32>| text.get(range.start as usize..range.end as usize);
        let name = part(&line.name).and_then(|name| HeaderName::from_bytes(name).ok());
        let value = part(&line.value).and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The answer to a head that no HTTP/1.1 request could have.
fn bare_refusal(stream: Rc<Stream>, request_id: &str) -> Response<AnswerBody> {
    let refusal = Refusal::new(error::MALFORMED_REQUEST, "The request is not HTTP.");
    let head = super::answer_head::own_head(
        refusal.status(),
        &refusal.headers(),
        refusal.body.len(),
        request_id.as_bytes(),
    );
    stream.send(&[refusal.body.as_bytes()], true);
    stream.give_up();
    response(&head, AnswerBody(stream))
}

/// hyper's tasks stay on the thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// The connection's socket, of which some bytes have been read.
struct Rewound {
    read: Vec<u8>,
    used: usize,
    connection: Rc<Connection>,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.read.get(self.used..).unwrap_or_default();
        if rest.is_empty() {
            return self
                .connection
                .poll_read_into(context, buffer)
                .map(|read| match read {
                    Read::Bytes | Read::End => Ok(()),
                    _ => Err(io::ErrorKind::ConnectionReset.into()),
                });
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        self.used += length;
        if self.used == self.read.len() {
            (self.read, self.used) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_shutdown(context)
    }
}
