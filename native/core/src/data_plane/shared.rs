//! What all threads of a plane share: which request a handle means and what may still be decided
//! about it, the way to the thread that owns it, counters, endpoints, and what JavaScript is told.
//! Lock order: an entry, then the outbox; no other two locks are held at once. `Entry::stage` is
//! released after `kept` was written and acquired by who decides; counters are relaxed.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::added_headers::Headers;
use super::body::Patch;
use super::budget::RetryBudget;
use super::deadline::PlaneClock;
use super::head::Head;
use super::inbox::{Command, Inbox, Letters};
use super::outbox::{Outbox, Record};
use super::refusal::Refusal;
use super::settings::{Endpoint, Options};
use crate::layout::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::prepare::Prepare;
use crate::store::{Handle, RequestStore};

/// One endpoint to try, with what is said to it and, if it answers, to the client.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub slot: u32,
    pub request_headers: Headers,
    pub response_headers: Headers,
}

/// Where a request goes.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub targets: Vec<Target>,
    pub patches: Vec<Patch>,
}

/// What JavaScript wants done with a request.
#[derive(Debug)]
pub enum Decision {
    Forward(Order),
    Reject(Refusal),
    Respond {
        status: u16,
        headers: Headers,
        body: Vec<u8>,
    },
}

/// Counters of what the handler never hears of.
#[derive(Default)]
pub struct Counters {
    pub connections: AtomicUsize,
    /// Requests, with or without a handle, that are not settled.
    pub open: AtomicUsize,
    pub stripped_headers: AtomicU64,
    pub refused_requests: AtomicU64,
    pub retries: AtomicU64,
    pub reconnects: AtomicU64,
    /// Requests whose policy missed its limit and that a native pick has forwarded.
    pub policy_missed: AtomicU64,
    /// Orders that came too late for that reason.
    pub late_orders: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const FREE: u64 = 0;
const DECIDING: u64 = 1;
const DECIDED: u64 = 2;
/// A native pick has replaced the decision.
const MISSED: u64 = 3;

/// Whether JavaScript knows of a request. Its `Done` must not come before its announcement, nor an
/// announcement after its `Done`, although the encoder announces from a thread of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Announced,
    Ended,
}

/// What is kept of a complete request until JavaScript has handled its last record.
struct Kept {
    handle: Handle,
    head: Arc<Head>,
    request_id: Arc<str>,
    phase: Phase,
}

struct Entry {
    /// Generation × 2^32 + thread × 2^8 + stage. A decision wins by changing the stage.
    stage: AtomicU64,
    kept: Mutex<Option<Kept>>,
}

impl Entry {
    /// Calls `act` when the entry belongs to `handle`.
    fn with<T>(&self, handle: Handle, act: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_mut().filter(|kept| kept.handle == handle).map(act)
    }
}

pub struct Shared {
    pub options: Options,
    pub clock: PlaneClock,
    pub store: Arc<RequestStore>,
    pub outbox: Outbox,
    pub budget: RetryBudget,
    pub counters: Counters,
    pub inboxes: Box<[Inbox]>,
    draining: AtomicBool,
    /// Threads that accept connections.
    pub listening: AtomicUsize,
    pub prepare: RwLock<Option<Arc<dyn Prepare>>>,
    endpoints: RwLock<Arc<Vec<Option<Arc<Endpoint>>>>>,
    /// Requests in flight by endpoint slot, for the native pick.
    pub in_flight: Box<[AtomicU32]>,
    /// Endpoints that JavaScript holds to be unusable, by slot.
    pub unusable: Box<[AtomicBool]>,
    entries: Box<[Entry]>,
    /// JavaScript handles several requests: their decisions go out together. A single one's goes at
    /// once, before JavaScript notes what it has decided.
    in_batch: AtomicBool,
}

impl Shared {
    pub fn new(options: Options, store: Arc<RequestStore>, outbox: Outbox) -> Self {
        let clock = PlaneClock::new(options.manual_clock);
        let entry = || Entry {
            stage: AtomicU64::new(FREE),
            kept: Mutex::new(None),
        };
        let endpoints = crate::layout::limits::ENDPOINTS_MAX;
        Self {
            budget: RetryBudget::new(clock.now_ms()),
            clock,
            store,
            outbox,
            counters: Counters::default(),
            inboxes: (0..options.threads).map(|_| Inbox::default()).collect(),
            draining: AtomicBool::new(false),
            listening: AtomicUsize::new(0),
            prepare: RwLock::new(None),
            endpoints: RwLock::default(),
            in_flight: (0..endpoints).map(|_| AtomicU32::new(0)).collect(),
            unusable: (0..endpoints).map(|_| AtomicBool::new(false)).collect(),
            entries: (0..REQUESTS_IN_FLIGHT_MAX).map(|_| entry()).collect(),
            in_batch: AtomicBool::new(false),
            options,
        }
    }

    /// Has every thread stop listening; nothing is idle before all that listen have.
    pub fn drain(&self) {
        let listening = self.listening.load(Ordering::Acquire);
        self.counters.open.fetch_add(listening, Ordering::AcqRel);
        self.draining.store(true, Ordering::Relaxed);
        self.tell_all(|letters| letters.drain = true);
    }

    /// A thread has stopped listening, and read what had come.
    pub fn stopped_listening(&self) {
        self.counters.open.fetch_sub(1, Ordering::AcqRel);
        self.outbox.arm();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn endpoints(&self) -> Arc<Vec<Option<Arc<Endpoint>>>> {
        Arc::clone(
            &self
                .endpoints
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub fn set_endpoints(&self, endpoints: Vec<Option<Arc<Endpoint>>>) {
        *self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoints);
        self.tell_all(|letters| letters.endpoints_changed = true);
    }

    /// Tells every thread.
    pub fn tell_all(&self, note: impl Fn(&mut Letters)) {
        for inbox in &self.inboxes {
            inbox.tell(&note);
        }
    }

    /// A request is complete: JavaScript may read its head, and decide about it.
    pub fn begin_deciding(&self, handle: Handle, thread: usize, head: &Arc<Head>, id: &Arc<str>) {
        let Some(entry) = self.entries.get(handle.slot as usize) else {
            return;
        };
        *entry.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Kept {
            handle,
            head: Arc::clone(head),
            request_id: Arc::clone(id),
            phase: Phase::Waiting,
        });
        entry
            .stage
            .store(stage(handle, thread, DECIDING), Ordering::Release);
    }

    /// Takes the right to decide about a request; the thread that owns it, or none when the client
    /// has gone or the decision was taken.
    fn take_decision(&self, handle: Handle, to: u64) -> Option<usize> {
        let entry = self.entries.get(handle.slot as usize)?;
        let now = entry.stage.load(Ordering::Acquire);
        if now >> 32 != u64::from(handle.generation) {
            return None;
        }
        if now & 0xff == MISSED {
            count(&self.counters.late_orders);
        }
        if now & 0xff != DECIDING {
            return None;
        }
        let next = (now & !0xff) | to;
        let taken = entry
            .stage
            .compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok().then_some((now >> 8 & 0xff_ffff) as usize)
    }

    /// Carries out JavaScript's decision; false when the handle is stale.
    pub fn decide(&self, handle: Handle, decision: Decision) -> bool {
        let Some(thread) = self.take_decision(handle, DECIDED) else {
            return false;
        };
        let Some(inbox) = self.inboxes.get(thread) else {
            return false;
        };
        let command = Command::Decided(handle, decision);
        if self.in_batch.load(Ordering::Relaxed) {
            inbox.leave(command);
        } else {
            inbox.send(command);
        }
        true
    }

    /// Moves records to JavaScript, which says `delivered` when it has handled them.
    pub fn take_records(&self, numbers: &mut [f64]) -> usize {
        let taken = self.outbox.take(numbers);
        self.in_batch.store(taken.requests > 1, Ordering::Relaxed);
        taken.records
    }

    /// Takes the decision away from JavaScript, which has missed its limit.
    pub fn miss_decision(&self, handle: Handle) -> bool {
        self.take_decision(handle, MISSED).is_some()
    }

    fn entry(&self, handle: Handle) -> Option<&Entry> {
        self.entries.get(handle.slot as usize)
    }

    /// Whether no other request could be announced with the one that is.
    fn is_one_open(&self) -> bool {
        self.counters.open.load(Ordering::Relaxed) == 1
    }

    /// Announces requests that came together, on the thread that owns them.
    pub fn announce(&self, records: Vec<Record>) {
        for record in &records {
            let entry = self.entry(record.handle);
            entry.and_then(|entry| entry.with(record.handle, |kept| kept.phase = Phase::Announced));
        }
        if !records.is_empty() {
            let waiting = self.outbox.announce(records);
            self.outbox.summon(waiting, self.is_one_open());
        }
    }

    /// Announces a request from any thread, unless it has ended.
    pub fn announce_prepared(&self, record: Record) {
        let Some(entry) = self.entry(record.handle) else {
            return;
        };
        let announced = entry.with(record.handle, |kept| {
            (kept.phase == Phase::Waiting).then(|| {
                kept.phase = Phase::Announced;
                // Under the entry's lock, so that its `Done` comes after it.
                self.outbox.announce([record.clone()])
            })
        });
        // Not under it: JavaScript reads the head first of all.
        if let Some(waiting) = announced.flatten() {
            self.outbox.summon(waiting, self.is_one_open());
        }
    }

    pub fn is_announced(&self, handle: Handle) -> bool {
        let announced = |kept: &mut Kept| kept.phase == Phase::Announced;
        self.entry(handle)
            .and_then(|entry| entry.with(handle, announced))
            .unwrap_or(false)
    }

    /// Queues the last record; true when JavaScript is not on its way.
    pub fn end(&self, record: Record) -> bool {
        self.end_deciding(record.handle);
        let entry = self.entry(record.handle);
        entry.and_then(|entry| entry.with(record.handle, |kept| kept.phase = Phase::Ended));
        self.outbox.push(record)
    }

    /// Nothing can be decided any more.
    fn end_deciding(&self, handle: Handle) {
        let Some(entry) = self.entries.get(handle.slot as usize) else {
            return;
        };
        let now = entry.stage.load(Ordering::Acquire);
        if now >> 32 == u64::from(handle.generation) && now & 0xff == DECIDING {
            let _ = entry.stage.compare_exchange(
                now,
                (now & !0xff) | DECIDED,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
    }

    /// Lines of method, path, request id, then names and values in turn; none for a stale handle.
    pub fn head_text(&self, handle: Handle) -> Option<Vec<u8>> {
        let entry = self.entries.get(handle.slot as usize)?;
        let kept = entry.with(handle, |kept| {
            (Arc::clone(&kept.head), Arc::clone(&kept.request_id))
        });
        let (head, id) = kept?;
        let mut text = Vec::with_capacity(512);
        text.extend_from_slice(head.method());
        text.push(b'\n');
        head.push_path(&mut text);
        text.push(b'\n');
        text.extend_from_slice(id.as_bytes());
        for (name, value) in head.shown() {
            text.push(b'\n');
            text.extend_from_slice(name);
            text.push(b'\n');
            text.extend_from_slice(value);
        }
        Some(text)
    }

    /// JavaScript has handled the last records: its decisions are carried out, and heads and bodies
    /// of requests that have ended go.
    pub fn delivered(&self) {
        self.in_batch.store(false, Ordering::Relaxed);
        for inbox in &self.inboxes {
            inbox.deliver();
        }
        for handle in self.outbox.delivered() {
            if let Some(entry) = self.entries.get(handle.slot as usize) {
                let mut kept = entry.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.take_if(|kept| kept.handle == handle);
            }
            self.store.release(handle);
        }
    }

    /// True when no request is open and JavaScript has handled every last record.
    pub fn is_idle(&self) -> bool {
        self.counters.open.load(Ordering::Acquire) == 0 && self.outbox.in_flight() == 0
    }
}

fn stage(handle: Handle, thread: usize, stage: u64) -> u64 {
    (u64::from(handle.generation) << 32) | ((thread as u64 & 0xff_ffff) << 8) | stage
}
