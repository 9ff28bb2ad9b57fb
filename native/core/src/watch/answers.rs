//! What JavaScript is told by the watcher: answers, failures and lost connections in the order they
//! came, and one pending call. Good news waits a moment for company; a call costs as much as ten
//! answers. Bounded by the questions that are open and the connections that are lost.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Numbers of one answer: kind, ticket or engine, status or failure, length of its text in UTF-16.
pub const ANSWER_NUMBERS: usize = 4;
/// An answer waits this long for others.
const COMPANY_WAIT: Duration = Duration::from_millis(10);

/// Why a question has no answer; numbers cross to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or one that ended.
    Unreachable = 0,
    TimedOut = 1,
    NotHttp = 2,
    TooLarge = 3,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Answered {
        ticket: u32,
        status: u16,
        text: Vec<u8>,
    },
    Failed {
        ticket: u32,
        failure: Failure,
        reason: Cow<'static, str>,
    },
    /// An engine has closed a connection that was kept to it.
    ConnectionLost { engine: u32 },
}

pub struct Answers {
    queue: Mutex<VecDeque<Answer>>,
    /// A call to JavaScript is pending.
    armed: AtomicBool,
    /// Calls `take` soon, on JavaScript's thread.
    wake: Box<dyn Fn() + Send + Sync>,
    waiting: Notify,
}

impl Answers {
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            queue: Mutex::default(),
            armed: AtomicBool::new(false),
            wake,
            waiting: Notify::new(),
        }
    }

    /// Queues an answer for the next call.
    pub fn push(&self, answer: Answer) {
        let can_wait = matches!(answer, Answer::Answered { .. });
        self.lock().push_back(answer);
        if can_wait {
            self.waiting.notify_one();
        } else {
            self.arm();
        }
    }

    /// Has JavaScript come for answers that can wait, as long as the thread lives.
    pub async fn tell(&self) {
        loop {
            self.waiting.notified().await;
            tokio::time::sleep(COMPANY_WAIT).await;
            if !self.lock().is_empty() {
                self.arm();
            }
        }
    }

    fn arm(&self) {
        if !self.armed.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Moves answers into `numbers`, as many as fit, appends their texts to `text`, and returns
    /// their count. What is pushed from now on makes JavaScript come again.
    pub fn take(&self, numbers: &mut [f64], text: &mut String) -> usize {
        self.armed.store(false, Ordering::Release);
        let mut queue = self.lock();
        let mut count = 0;
        for row in numbers.chunks_exact_mut(ANSWER_NUMBERS) {
            let Some(answer) = queue.pop_front() else {
                break;
            };
            row.copy_from_slice(&write(&answer, text));
            count += 1;
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The face reads the same order.
fn write(answer: &Answer, text: &mut String) -> [f64; ANSWER_NUMBERS] {
    let begin = text.len();
    let (kind, id, number) = match answer {
        Answer::Answered {
            ticket,
            status,
            text: kept,
        } => {
            text.push_str(&String::from_utf8_lossy(kept));
            (0.0, *ticket, f64::from(*status))
        }
        Answer::Failed {
            ticket,
            failure,
            reason,
        } => {
            text.push_str(reason);
            (1.0, *ticket, f64::from(*failure as u8))
        }
        Answer::ConnectionLost { engine } => (2.0, *engine, 0.0),
    };
    let added = text.get(begin..).unwrap_or_default();
    let units = if added.is_ascii() {
        added.len()
    } else {
        added.encode_utf16().count()
    };
    [kind, f64::from(id), number, units as f64]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn answers_are_taken_in_order_and_one_call_is_pending() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let answers = Answers::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        answers.push(Answer::Answered {
            ticket: 7,
            status: 200,
            text: "é\u{1f600}\n".as_bytes().to_vec(),
        });
        assert_eq!(calls.load(Ordering::Relaxed), 0, "it waits for company");
        answers.push(Answer::Failed {
            ticket: 8,
            failure: Failure::TimedOut,
            reason: "late".into(),
        });
        answers.push(Answer::ConnectionLost { engine: 3 });
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let (mut numbers, mut text) = ([0.0; 2 * ANSWER_NUMBERS], String::new());
        assert_eq!(answers.take(&mut numbers, &mut text), 2);
        assert_eq!(numbers, [0.0, 7.0, 200.0, 4.0, 1.0, 8.0, 1.0, 4.0]);
        assert_eq!(text, "é\u{1f600}\nlate");
        text.clear();
        assert_eq!(answers.take(&mut numbers, &mut text), 1);
        assert_eq!(numbers[..4], [2.0, 3.0, 0.0, 0.0]);
    }
}
