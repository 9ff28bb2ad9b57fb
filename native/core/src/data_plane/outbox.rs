//! What JavaScript is told: one queue of fixed records for the whole plane, and one pending call.
//! JavaScript takes records in batches into its own memory and says afterwards that it has handled
//! them, which is when handles of ended requests are released.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::answer_scan::Usage;
use super::summons;
use crate::store::Handle;

/// Numbers of one record.
pub const RECORD_NUMBERS: usize = 16;
/// Log lines kept while JavaScript is busy; more are dropped, oldest first.
const TROUBLES_MAX: usize = 256;
/// Records that are worth a call at once.
const WORTH_A_CALL: usize = 8;

/// How an attempt at an endpoint ended; numbers cross to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Busy = 1,
    ServerError = 2,
    Unreachable = 3,
    TimedOut = 4,
}

/// How a request ended; numbers cross to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed = 0,
    ClientGone = 1,
    Rejected = 2,
    AnsweredLocally = 3,
    EndpointFailed = 4,
}

/// The last record of a request.
#[derive(Clone, Debug)]
pub struct Done {
    /// Endpoint that answered, −1 for none.
    pub slot: i32,
    pub status: u16,
    pub outcome: Outcome,
    pub error: Option<usize>,
    pub first_byte_ms: f64,
    pub last_byte_ms: f64,
    pub response_bytes: u64,
    pub chunks: u64,
    pub usage: Usage,
}

#[derive(Clone, Debug)]
pub enum Event {
    Request {
        body_bytes: usize,
        received_at_ms: f64,
        prepared: bool,
        /// Its head has one of `TELLING_HEADERS`.
        telling: bool,
    },
    AttemptFailed {
        slot: u32,
        outcome: AttemptOutcome,
        next_slot: i32,
    },
    FirstByte {
        slot: u32,
        status: u16,
    },
    Done(Done),
}

/// One record, as it waits for JavaScript.
#[derive(Clone, Debug)]
pub struct Record {
    pub handle: Handle,
    pub event: Event,
}

/// How many records JavaScript has taken, and how many of them want a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub records: usize,
    pub requests: usize,
}

/// A log line: something went wrong with one request.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub sentence: &'static str,
    pub request_id: String,
    pub endpoint: String,
    pub error: String,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    troubles: VecDeque<Trouble>,
    /// Handles whose last record JavaScript has taken but not yet handled.
    ending: Vec<Handle>,
}

pub struct Outbox {
    queue: Mutex<Queue>,
    /// A call to JavaScript is pending.
    armed: AtomicBool,
    /// Calls `take` soon, on JavaScript's thread.
    wake: Box<dyn Fn() + Send + Sync>,
    /// Requests with a handle whose last record JavaScript has not handled.
    in_flight: AtomicUsize,
}

impl Outbox {
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            queue: Mutex::default(),
            armed: AtomicBool::new(false),
            wake,
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Counts a request that has got its handle; a `Done` must follow.
    pub fn opened(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Queues requests that came together; the number of records that wait, for `summon`.
    pub fn announce(&self, records: impl IntoIterator<Item = Record>) -> usize {
        let mut queue = self.lock();
        queue.records.extend(records);
        queue.records.len()
    }

    /// Has JavaScript come for announced requests; others that are ready may join them, unless they
    /// are `alone`.
    pub fn summon(&self, waiting: usize, alone: bool) {
        if alone || waiting >= WORTH_A_CALL || !summons::later() {
            self.arm();
        }
    }

    /// Queues a record that can wait for the next call; true when none is pending.
    pub fn push(&self, record: Record) -> bool {
        self.lock().records.push_back(record);
        !self.armed.load(Ordering::Acquire)
    }

    pub fn trouble(&self, trouble: Trouble) {
        let mut queue = self.lock();
        if queue.troubles.len() >= TROUBLES_MAX {
            queue.troubles.pop_front();
        }
        queue.troubles.push_back(trouble);
    }

    /// Makes JavaScript come, if it is not on its way.
    pub fn arm(&self) {
        if !self.armed.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    /// Makes JavaScript come if anything waits for it.
    pub fn arm_if_any(&self) {
        if !self.lock().records.is_empty() {
            self.arm();
        }
    }

    /// Moves records into `numbers`, as many as fit. What is pushed from now on makes JavaScript come
    /// again.
    pub fn take(&self, numbers: &mut [f64]) -> Taken {
        self.armed.store(false, Ordering::Release);
        let mut queue = self.lock();
        let mut taken = Taken::default();
        for row in numbers.chunks_exact_mut(RECORD_NUMBERS) {
            let Some(record) = queue.records.pop_front() else {
                break;
            };
            if matches!(record.event, Event::Done(_)) {
                queue.ending.push(record.handle);
            }
            taken.requests += usize::from(matches!(record.event, Event::Request { .. }));
            write_record(&record, row);
            taken.records += 1;
        }
        taken
    }

    /// Handles whose `Done` JavaScript has handled by now.
    pub fn delivered(&self) -> Vec<Handle> {
        let ended = std::mem::take(&mut self.lock().ending);
        self.in_flight.fetch_sub(ended.len(), Ordering::Relaxed);
        ended
    }

    pub fn has_troubles(&self) -> bool {
        !self.lock().troubles.is_empty()
    }

    pub fn take_troubles(&self) -> Vec<Trouble> {
        self.lock().troubles.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes kind, slot, generation, then the kind's own numbers. The face reads the same order.
fn write_record(record: &Record, row: &mut [f64]) {
    let numbers: [f64; RECORD_NUMBERS] = match &record.event {
        Event::Request {
            body_bytes,
            received_at_ms,
            prepared,
            telling,
        } => fill(
            0.0,
            &[
                *body_bytes as f64,
                *received_at_ms,
                f64::from(u8::from(*prepared) | u8::from(*telling) << 1),
            ],
        ),
        Event::AttemptFailed {
            slot,
            outcome,
            next_slot,
        } => fill(
            1.0,
            &[
                f64::from(*slot),
                *outcome as u32 as f64,
                f64::from(*next_slot),
            ],
        ),
        Event::FirstByte { slot, status } => fill(2.0, &[f64::from(*slot), f64::from(*status)]),
        Event::Done(done) => fill(
            3.0,
            &[
                f64::from(done.slot),
                f64::from(done.status),
                done.outcome as u32 as f64,
                done.error.map_or(-1.0, |number| number as f64),
                done.first_byte_ms,
                done.last_byte_ms,
                done.response_bytes as f64,
                done.chunks as f64,
                done.usage.prompt_tokens as f64,
                done.usage.completion_tokens as f64,
                done.usage.cached_tokens as f64,
            ],
        ),
    };
    row.copy_from_slice(&numbers);
    row[1] = f64::from(record.handle.slot);
    row[2] = f64::from(record.handle.generation);
}

fn fill(kind: f64, rest: &[f64]) -> [f64; RECORD_NUMBERS] {
    let mut numbers = [0.0; RECORD_NUMBERS];
    numbers[0] = kind;
    numbers[3..3 + rest.len()].copy_from_slice(rest);
    numbers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn taken(records: usize, requests: usize) -> Taken {
        Taken { records, requests }
    }

    #[test]
    fn one_call_is_pending_at_most_and_handles_end_after_delivery() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let outbox = Outbox::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let handle = Handle {
            slot: 3,
            generation: 5,
        };
        let request = Event::Request {
            body_bytes: 7,
            received_at_ms: 1.5,
            prepared: true,
            telling: true,
        };
        outbox.opened();
        for _ in 0..2 {
            let record = Record {
                handle,
                event: request.clone(),
            };
            let waiting = outbox.announce([record]);
            outbox.summon(waiting, false);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let first_byte = Event::FirstByte {
            slot: 1,
            status: 200,
        };
        assert!(!outbox.push(Record {
            handle,
            event: first_byte
        }));
        let mut numbers = [0.0; 2 * RECORD_NUMBERS];
        assert_eq!(outbox.take(&mut numbers), taken(2, 2));
        assert_eq!(numbers[..6], [0.0, 3.0, 5.0, 7.0, 1.5, 3.0]);
        assert_eq!(outbox.take(&mut numbers), taken(1, 0));
        assert_eq!(numbers[..5], [2.0, 3.0, 5.0, 1.0, 200.0]);
        assert!(outbox.delivered().is_empty());
        assert_eq!(outbox.in_flight(), 1);
    }
}
