//! One kind of question to one engine: asked one after the other on one kept connection. Between
//! questions the connection is watched: an engine that dies closes it, and that is the first
//! anybody hears of its death.

#![deny(clippy::indexing_slicing)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout_at};

use super::Keep;
use super::answers::{Answer, Answers, Failure};
use super::lines::{LineFilter, WantedLines};
use crate::data_plane::EngineAddress;
use crate::data_plane::answer_head::push_line;
use crate::data_plane::connect::{TlsSettings, connect};
use crate::data_plane::engine::{BodyDecoder, EngineConnection, Failure as Broken, ReadAnswer};
use crate::data_plane::scratch::Scratch;
use crate::layout::limits::ENGINE_BODY_BYTES_MAX;

/// A host that does not even accept a connection within this is gone, not slow.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);
/// Connections that were idle for so long are closed before uvicorn would, after 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);

/// An engine, and what all connections to it share.
pub struct Target {
    pub number: u32,
    pub address: EngineAddress,
    pub tls: TlsSettings,
    pub scratch: Rc<Scratch>,
    pub wanted: Rc<WantedLines>,
    pub answers: Arc<Answers>,
}

impl Target {
    fn request(&self, path: &str) -> Bytes {
        let address = &self.address;
        let mut head = format!("GET {}{path} HTTP/1.1\r\n", address.base_path).into_bytes();
        push_line(&mut head, b"host", address.authority.as_bytes());
        push_line(&mut head, b"connection", b"keep-alive");
        push_line(&mut head, b"accept", b"*/*");
        push_line(&mut head, b"accept-encoding", b"identity");
        if let Some(key) = &address.api_key {
            push_line(
                &mut head,
                b"authorization",
                format!("Bearer {key}").as_bytes(),
            );
        }
        head.extend_from_slice(b"\r\n");
        Bytes::from(head)
    }

    fn connection_lost(&self) {
        let engine = self.number;
        self.answers.push(Answer::ConnectionLost { engine });
    }
}

/// One question. It is always answered: where nobody does, it says so when it is dropped.
pub struct Question {
    pub keep: Keep,
    pub path: String,
    pub ticket: u32,
    pub deadline: Instant,
    pub answers: Arc<Answers>,
    pub is_answered: bool,
}

impl Question {
    pub fn refuse(self, reason: &str) {
        self.answer(Err(Broken::Unreachable(reason.to_owned()).into()));
    }

    fn answer(mut self, asked: Result<Answered, Problem>) {
        self.is_answered = true;
        let ticket = self.ticket;
        self.answers.push(match asked {
            Ok(Answered { status, text }) => Answer::Answered {
                ticket,
                status,
                text,
            },
            Err(problem) => problem.failed(ticket),
        });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.is_answered {
            let problem = Problem::Broken(Broken::Unreachable("its watch has ended".to_owned()));
            self.answers.push(problem.failed(self.ticket));
        }
    }
}

struct Answered {
    status: u16,
    text: Vec<u8>,
}

enum Problem {
    Broken(Broken),
    TimedOut,
    TooLarge,
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Problem {
    fn failed(self, ticket: u32) -> Answer {
        let (failure, reason) = match self {
            Self::Broken(Broken::Unreachable(word)) => (Failure::Unreachable, word.into()),
            Self::Broken(Broken::BadResponse(text)) => (Failure::NotHttp, text.into()),
            Self::TimedOut => (Failure::TimedOut, "".into()),
            Self::TooLarge => (Failure::TooLarge, "".into()),
        };
        Answer::Failed {
            ticket,
            failure,
            reason,
        }
    }
}

/// What ends the wait for the next question.
enum Next {
    Question(Question),
    ConnectionLost,
    Idle,
    Closed,
}

pub struct Lane {
    target: Rc<Target>,
    questions: Receiver<Question>,
    kept: Option<EngineConnection>,
}

impl Lane {
    pub fn new(target: Rc<Target>, questions: Receiver<Question>) -> Self {
        Self {
            target,
            questions,
            kept: None,
        }
    }

    /// Answers questions until nobody can ask any more.
    pub async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Question(question) => {
                    let asked = timeout_at(question.deadline, self.ask(&question)).await;
                    question.answer(asked.unwrap_or(Err(Problem::TimedOut)));
                }
                Next::ConnectionLost => {
                    self.kept = None;
                    self.target.connection_lost();
                }
                Next::Idle => self.kept = None,
                Next::Closed => return,
            }
        }
    }

    /// Waits for a question, with an eye on the kept connection.
    async fn next(&mut self) -> Next {
        let mut idle = pin!(sleep(KEEP_ALIVE));
        poll_fn(|context| {
            if let Some(connection) = &mut self.kept {
                if connection.poll_ended(context).is_ready() {
                    return Poll::Ready(Next::ConnectionLost);
                }
                if idle.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Next::Idle);
                }
            }
            let question = ready!(self.questions.poll_recv(context));
            Poll::Ready(question.map_or(Next::Closed, Next::Question))
        })
        .await
    }

    /// Asks on the kept connection; one that has died by then is replaced once by a fresh one.
    async fn ask(&mut self, question: &Question) -> Result<Answered, Problem> {
        let target = Rc::clone(&self.target);
        let request = target.request(&question.path);
        if let Some(mut kept) = self.kept.take() {
            match kept.ask(request.clone(), &[], false).await {
                Ok(answer) => return self.read(kept, answer, question.keep).await,
                Err(Broken::Unreachable(_)) => target.connection_lost(),
                Err(broken) => return Err(broken.into()),
            }
        }
        let left = question.deadline.saturating_duration_since(Instant::now());
        let limit = CONNECT_LIMIT.min(left);
        let mut fresh = connect(&target.address, &target.tls, &target.scratch, limit).await?;
        let answer = fresh.ask(request, &[], false).await?;
        self.read(fresh, answer, question.keep).await
    }

    /// Reads the rest of an answer and keeps the connection if that can be.
    async fn read(
        &mut self,
        mut connection: EngineConnection,
        ReadAnswer { head, .. }: ReadAnswer,
        keep: Keep,
    ) -> Result<Answered, Problem> {
        let mut body = BodyDecoder::new(head.framing);
        let mut text = Vec::new();
        match keep {
            Keep::Lines => {
                let mut filter = LineFilter::new(&self.target.wanted);
                read_body(&mut connection, &mut body, |piece| filter.push(piece)).await?;
                text = filter.finish();
            }
            Keep::Nothing => read_body(&mut connection, &mut body, |_| {}).await?,
            Keep::Everything => {
                read_body(&mut connection, &mut body, |piece| {
                    text.extend_from_slice(piece);
                })
                .await?;
            }
        }
        if head.keeps && connection.is_clean() {
            self.kept = Some(connection);
        }
        Ok(Answered {
            status: head.status,
            text,
        })
    }
}

/// Shows a body to `take`, piece by piece, to its proper end.
async fn read_body(
    connection: &mut EngineConnection,
    decoder: &mut BodyDecoder,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let mut total = 0;
    let mut pieces = Vec::new();
    while !decoder.is_empty() {
        let step = poll_fn(|context| {
            let mut step = None;
            let read = connection.poll_body(context, |bytes| {
                pieces.clear();
                let decoded = decoder.decode(bytes, &mut pieces)?;
                for piece in pieces.drain(..).filter_map(|range| bytes.get(range)) {
                    total += piece.len();
                    if total <= ENGINE_BODY_BYTES_MAX {
                        take(piece);
                    }
                }
                step = decoded.as_ref().map(|decoded| decoded.ended);
                Ok(decoded.map_or(0, |decoded| decoded.used))
            });
            ready!(read)?;
            Poll::Ready(Ok::<_, Broken>(step))
        });
        match step.await? {
            None => {
                let word = "the connection was closed within the answer".to_owned();
                return Err(Broken::Unreachable(word).into());
            }
            Some(_) if total > ENGINE_BODY_BYTES_MAX => return Err(Problem::TooLarge),
            Some(true) => return Ok(()),
            Some(false) => {}
        }
    }
    Ok(())
}
