//! One HTTP/1.1 connection to an engine, plain or TLS, carrying one request at a time. Reads into
//! the thread's buffer, so that a connection which waits holds no buffer of its own.

#![deny(clippy::indexing_slicing)]

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::answer_head::{AnswerHead, BodyFraming, read_answer};
use super::chunked::{Chunked, Piece};
use super::fields::{self, Malformed};
use super::scratch::Scratch;

/// Bytes of an answer's head.
const ANSWER_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Slices given to the system in one call.
const SLICES_MAX: usize = 16;

/// Why an attempt has failed.
#[derive(Debug)]
pub enum Failure {
    /// No connection, or one that ended: the system's word.
    Unreachable(String),
    /// Not HTTP.
    BadResponse(Malformed),
}

pub enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct EngineConnection {
    scratch: Rc<Scratch>,
    transport: Transport,
    /// Answers completed since the connection was made.
    pub served: u32,
    pub idle_since_ms: f64,
    /// Bytes read and not used yet: a head that is not complete, or what came behind one.
    buffer: Vec<u8>,
    request_sent: bool,
}

/// An answer's head, and the bytes it was read from.
pub struct ReadAnswer {
    pub head: AnswerHead,
    pub bytes: Vec<u8>,
}

impl EngineConnection {
    pub fn new(scratch: &Rc<Scratch>, transport: Transport) -> Self {
        Self {
            scratch: Rc::clone(scratch),
            transport,
            served: 0,
            idle_since_ms: 0.0,
            buffer: Vec::new(),
            request_sent: false,
        }
    }

    /// False when an idle connection has been closed, or has said something unasked.
    pub fn is_alive(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.poll_ended(&mut context).is_pending()
    }

    /// Ready when an idle connection has been closed, or has said something unasked.
    pub fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        self.poll_read_into(context, &mut buffer).map(|_| ())
    }

    /// True when the answer was read to its exact end, so that another request may follow.
    pub fn is_clean(&self) -> bool {
        self.request_sent && self.buffer.is_empty()
    }

    /// Sends a request and reads the head of its answer; an answer may come before all is sent.
    pub fn ask(
        &mut self,
        head: Bytes,
        body: &[Bytes],
        asked_head: bool,
    ) -> impl Future<Output = Result<ReadAnswer, Failure>> {
        let mut slices: Vec<Bytes> = Vec::with_capacity(1 + body.len());
        slices.push(head);
        slices.extend_from_slice(body);
        self.request_sent = false;
        let mut first = 0;
        let mut broken = None;
        let mut seen = 0;
        poll_fn(move |context| {
            while !self.request_sent && broken.is_none() {
                match self.poll_write(context, &mut slices, &mut first) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => self.request_sent = true,
                    // The engine may have answered before it closed.
                    Poll::Ready(Err(error)) => broken = Some(reason(&error)),
                }
            }
            loop {
                match self.next_answer(&mut seen, asked_head) {
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Ok(None) => {}
                    Err(text) => return Poll::Ready(Err(Failure::BadResponse(text))),
                }
                match ready!(self.poll_fill(context)) {
                    Ok(0) if self.buffer.is_empty() || broken.is_some() => {
                        let word = broken.take().unwrap_or_else(closed);
                        return Poll::Ready(Err(Failure::Unreachable(word)));
                    }
                    Ok(0) => return Poll::Ready(Err(Failure::Unreachable(closed()))),
                    Ok(_) => {}
                    Err(error) => {
                        let word = broken.take().unwrap_or_else(|| reason(&error));
                        return Poll::Ready(Err(Failure::Unreachable(word)));
                    }
                }
            }
        })
    }

    /// Takes the next final answer's head from the buffer; 1xx answers are between the engine and
    /// this router.
    fn next_answer(
        &mut self,
        seen: &mut usize,
        asked_head: bool,
    ) -> Result<Option<ReadAnswer>, Malformed> {
        loop {
            let early = self.buffer.get(..5).is_some_and(|start| start != b"HTTP/");
            if early {
                return Err("not an HTTP answer");
            }
            let end = fields::head_end(&self.buffer, *seen)?;
            *seen = self.buffer.len();
            if end.unwrap_or(self.buffer.len()) > ANSWER_HEAD_BYTES_MAX {
                return Err("the head of the answer is too large");
            }
            let Some(end) = end else { return Ok(None) };
            let rest = self.buffer.split_off(end);
            let bytes = std::mem::replace(&mut self.buffer, rest);
            *seen = 0;
            let head = read_answer(&bytes, asked_head)?;
            match head.status {
                101 => return Err("an upgrade nobody asked for"),
                ..200 => {}
                _ => return Ok(Some(ReadAnswer { head, bytes })),
            }
        }
    }

    /// Reads more of a head into the buffer; 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let scratch = Rc::clone(&self.scratch);
        scratch.with(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(self.poll_read_into(context, &mut buffer))?;
            self.buffer.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Shows the next bytes of a body to `take`, which says how many of them it has used; an empty
    /// slice at the end of the connection.
    pub fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> Result<usize, Malformed>,
    ) -> Poll<Result<(), Failure>> {
        if !self.buffer.is_empty() {
            let used = take(&self.buffer).map_err(Failure::BadResponse)?;
            self.buffer.drain(..used.min(self.buffer.len()));
            if self.buffer.is_empty() {
                self.buffer = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        let scratch = Rc::clone(&self.scratch);
        scratch.with(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            if let Err(error) = ready!(self.poll_read_into(context, &mut buffer)) {
                return Poll::Ready(Err(Failure::Unreachable(reason(&error))));
            }
            let filled = buffer.filled();
            let used = take(filled).map_err(Failure::BadResponse)?;
            self.buffer
                .extend_from_slice(filled.get(used..).unwrap_or_default());
            Poll::Ready(Ok(()))
        })
    }

    fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    /// Writes slices from `first` on; ready when all are written.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &mut [Bytes],
        first: &mut usize,
    ) -> Poll<io::Result<()>> {
        loop {
            let rest = slices.get_mut(*first..).unwrap_or_default();
            if rest.is_empty() {
                return match &mut self.transport {
                    Transport::Plain(_) => Poll::Ready(Ok(())),
                    Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
                };
            }
            let mut views = [IoSlice::new(&[]); SLICES_MAX];
            for (view, slice) in views.iter_mut().zip(rest.iter()) {
                *view = IoSlice::new(slice);
            }
            let mut written = ready!(match &mut self.transport {
                Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, &views),
                Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, &views),
            })?;
            for slice in rest {
                if written < slice.len() {
                    bytes::Buf::advance(slice, written);
                    break;
                }
                written -= slice.len();
                *first += 1;
            }
        }
    }
}

/// Follows the framing of an answer's body.
pub enum BodyDecoder {
    Length(u64),
    Chunked(Chunked),
    Close,
}

/// What bytes of a body held.
pub struct Decoded {
    /// Bytes that belong to the body and its framing.
    pub used: usize,
    /// The body is complete.
    pub ended: bool,
}

impl BodyDecoder {
    pub fn new(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::None => Self::Length(0),
            BodyFraming::Length(length) => Self::Length(length),
            BodyFraming::Chunked => Self::Chunked(Chunked::default()),
            BodyFraming::Close => Self::Close,
        }
    }

    /// True when nothing is to be read.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Appends the ranges of payload in `bytes` to `pieces`. No bytes mean that the engine has
    /// closed its connection, which is the proper end of some bodies and the loss of others.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        pieces: &mut Vec<Range<usize>>,
    ) -> Result<Option<Decoded>, Malformed> {
        match self {
            Self::Close => {
                if !bytes.is_empty() {
                    pieces.push(0..bytes.len());
                }
                Ok(Some(Decoded {
                    used: bytes.len(),
                    ended: bytes.is_empty(),
                }))
            }
            _ if bytes.is_empty() => Ok(None),
            Self::Length(left) => {
                let length = (*left).min(bytes.len() as u64);
                *left -= length;
                pieces.push(0..length as usize);
                Ok(Some(Decoded {
                    used: length as usize,
                    ended: *left == 0,
                }))
            }
            Self::Chunked(chunked) => {
                let mut at = 0;
                loop {
                    match chunked.next(bytes, at)? {
                        Piece::Data(range) => {
                            at = range.end;
                            pieces.push(range);
                        }
                        Piece::End(end) => {
                            return Ok(Some(Decoded {
                                used: end,
                                ended: true,
                            }));
                        }
                        Piece::More => {
                            return Ok(Some(Decoded {
                                used: bytes.len(),
                                ended: false,
                            }));
                        }
                    }
                }
            }
        }
    }
}

fn closed() -> String {
    "the connection was closed".to_owned()
}

/// The system's word for a failed connection, without addresses.
pub fn reason(error: &io::Error) -> String {
    let word = match error.kind() {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset => "ECONNRESET",
        io::ErrorKind::ConnectionAborted => "ECONNABORTED",
        io::ErrorKind::BrokenPipe => "EPIPE",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        io::ErrorKind::UnexpectedEof => "the connection was closed",
        // TLS says in words what it does not accept.
        io::ErrorKind::InvalidData => return error.to_string(),
        _ => "the connection failed",
    };
    word.to_owned()
}
