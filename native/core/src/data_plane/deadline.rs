//! The plane's clock and its time limits. A limit is touched for every chunk, so touching stores a
//! time; one pass per thread looks for expired ones, and only when the earliest could have expired.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;

/// How often expiry is looked for while a limit is running: how late one may be noticed.
pub const TICK: Duration = Duration::from_millis(20);

/// Ended owners are not looked for below this count.
const COMPACT_MIN: usize = 1024;

/// Monotonic milliseconds, or a time that only moves when told.
pub struct PlaneClock {
    manual: Option<AtomicU64>,
}

impl PlaneClock {
    pub fn new(manual: bool) -> Self {
        Self {
            manual: manual.then(|| AtomicU64::new(0.0_f64.to_bits())),
        }
    }

    pub fn now_ms(&self) -> f64 {
        self.manual_ms().unwrap_or_else(clock::now_ms)
    }

    /// For time limits: as of a few milliseconds ago, and cheaper.
    pub fn coarse_ms(&self) -> f64 {
        self.manual_ms().unwrap_or_else(clock::coarse_ms)
    }

    fn manual_ms(&self) -> Option<f64> {
        let time = self.manual.as_ref()?;
        Some(f64::from_bits(time.load(Ordering::Acquire)))
    }

    /// Moves a manual clock; a real one is not moved.
    pub fn set_ms(&self, now_ms: f64) {
        if let Some(time) = &self.manual {
            time.store(now_ms.to_bits(), Ordering::Release);
        }
    }
}

/// One time limit, owned by a connection or a request.
#[derive(Default)]
pub struct Deadline {
    touched_ms: Cell<f64>,
    /// 0 while no limit is running.
    limit_ms: Cell<f64>,
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    deadlines: Weak<Deadlines>,
}

impl Deadline {
    /// Expires when nothing has touched it for `limit_ms`; 0 never.
    pub fn start(&self, limit_ms: f64, now_ms: f64) {
        self.fired.set(false);
        self.limit_ms.set(limit_ms);
        self.touched_ms.set(now_ms);
        if limit_ms > 0.0
            && let Some(deadlines) = self.deadlines.upgrade()
        {
            deadlines.expires_at(now_ms + limit_ms);
        }
    }

    /// A sign of life.
    pub fn touch(&self, now_ms: f64) {
        self.touched_ms.set(now_ms);
    }

    pub fn stop(&self) {
        self.limit_ms.set(0.0);
        self.fired.set(false);
    }

    /// Ready once the limit has passed.
    pub fn poll_expired(&self, context: &Context<'_>) -> Poll<()> {
        if self.fired.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|one| one.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

/// All limits of one thread.
pub struct Deadlines {
    all: RefCell<Vec<Weak<Deadline>>>,
    /// Length of `all` at which ended owners are forgotten.
    compact_at: Cell<usize>,
    /// No limit expires before this.
    earliest_ms: Cell<f64>,
    /// Told when the first limit begins to run.
    on_busy: Notify,
}

impl Deadlines {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            all: RefCell::new(Vec::new()),
            compact_at: Cell::new(COMPACT_MIN),
            earliest_ms: Cell::new(f64::INFINITY),
            on_busy: Notify::new(),
        })
    }

    /// Looks for expired limits as long as the thread lives.
    pub async fn run(&self, clock: &PlaneClock) {
        loop {
            if self.earliest_ms.get() == f64::INFINITY {
                self.on_busy.notified().await;
            }
            tokio::time::sleep(TICK).await;
            self.check(clock.coarse_ms());
        }
    }

    pub fn deadline(self: &Rc<Self>) -> Rc<Deadline> {
        let deadline = Rc::new(Deadline {
            deadlines: Rc::downgrade(self),
            ..Deadline::default()
        });
        let mut all = self.all.borrow_mut();
        if all.len() >= self.compact_at.get() {
            all.retain(|weak| weak.strong_count() > 0);
            self.compact_at.set(COMPACT_MIN.max(2 * all.len()));
        }
        all.push(Rc::downgrade(&deadline));
        deadline
    }

    fn expires_at(&self, expires_ms: f64) {
        if self.earliest_ms.get() == f64::INFINITY {
            self.on_busy.notify_one();
        }
        self.earliest_ms.set(self.earliest_ms.get().min(expires_ms));
    }

    /// Wakes the owners of what has expired.
    pub fn check(&self, now_ms: f64) {
        if now_ms < self.earliest_ms.get() {
            return;
        }
        let mut earliest = f64::INFINITY;
        self.all.borrow_mut().retain(|weak| {
            let Some(deadline) = weak.upgrade() else {
                return false;
            };
            let limit = deadline.limit_ms.get();
            if limit > 0.0 && !deadline.fired.get() {
                let expires = deadline.touched_ms.get() + limit;
                if expires <= now_ms {
                    deadline.fired.set(true);
                    if let Some(waker) = deadline.waker.borrow_mut().take() {
                        waker.wake();
                    }
                } else {
                    earliest = earliest.min(expires);
                }
            }
            true
        });
        self.earliest_ms.set(earliest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_expires_only_when_nothing_touched_it() {
        let deadlines = Deadlines::new();
        let deadline = deadlines.deadline();
        let context = Context::from_waker(Waker::noop());
        deadline.start(1000.0, 0.0);
        deadlines.check(900.0);
        deadline.touch(900.0);
        deadlines.check(1500.0);
        assert!(deadline.poll_expired(&context).is_pending());
        deadlines.check(1900.0);
        assert!(deadline.poll_expired(&context).is_ready());
        deadline.start(50.0, 1900.0);
        assert!(deadline.poll_expired(&context).is_pending());
        deadlines.check(1949.0);
        assert!(deadline.poll_expired(&context).is_pending());
        deadlines.check(1950.0);
        assert!(deadline.poll_expired(&context).is_ready());
        deadline.stop();
        deadlines.check(1e9);
        assert!(deadline.poll_expired(&context).is_pending());
    }
}
