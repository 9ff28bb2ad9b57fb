//! What is open on one HTTP/2 connection, and how long it may stay: hyper knows no such limits. An
//! idle connection and one whose client takes nothing are told to go, then closed.

#![deny(clippy::indexing_slicing)]

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;

use super::connection::Connection;

/// For a client that was told to go to do so, once nothing of it is under way.
const LEAVE_MS: f64 = 1000.0;

/// What becomes of the connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Stay,
    /// GOAWAY: open streams go on, new ones belong elsewhere.
    Leave,
    Close,
}

/// Which time limit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No stream has come yet.
    Fresh,
    /// Streams are under way, which have limits of their own.
    Busy,
    Idle,
    /// The client was told to go, and nothing is under way that anybody waits for.
    Leaving,
}

pub struct Session {
    connection: Rc<Connection>,
    /// Streams whose answer has not been written to the socket.
    open: Cell<usize>,
    /// Those of them that nobody waits for. A broken off one whose window is closed hyper never ends.
    given_up: Cell<usize>,
    served: Cell<bool>,
    leaving: Cell<bool>,
    phase: Cell<Option<Phase>>,
}

impl Session {
    pub fn new(connection: &Rc<Connection>) -> Rc<Self> {
        Rc::new(Self {
            connection: Rc::clone(connection),
            open: Cell::new(0),
            given_up: Cell::new(0),
            served: Cell::new(false),
            leaving: Cell::new(false),
            phase: Cell::new(None),
        })
    }

    pub fn opened(&self) {
        self.served.set(true);
        self.open.set(self.open.get() + 1);
    }

    pub fn gave_up(&self) {
        self.given_up.set(self.given_up.get() + 1);
        self.connection.wake_reader();
    }

    pub fn closed(&self, given_up: bool) {
        self.open.set(self.open.get().saturating_sub(1));
        let left = self.given_up.get().saturating_sub(usize::from(given_up));
        self.given_up.set(left);
        self.connection.wake_reader();
    }

    pub fn next_step(&self, context: &Context<'_>) -> Step {
        let shard = &self.connection.shard;
        let must_leave = || {
            self.given_up.get() > 0
                || shard.shared.is_draining()
                || self.connection.over().is_some()
        };
        if !self.leaving.get() && must_leave() {
            self.leaving.set(true);
            return Step::Leave;
        }
        let phase = if self.open.get() > self.given_up.get() {
            Phase::Busy
        } else if self.leaving.get() {
            Phase::Leaving
        } else if self.served.get() {
            Phase::Idle
        } else {
            Phase::Fresh
        };
        let deadline = &self.connection.deadline;
        if self.phase.replace(Some(phase)) != Some(phase) {
            let limits = &shard.shared.options.timeouts;
            let limit = match phase {
                Phase::Fresh => limits.headers_ms,
                Phase::Busy => 0.0,
                Phase::Idle => limits.keep_alive_ms,
                Phase::Leaving => LEAVE_MS,
            };
            deadline.start(limit, shard.coarse_ms());
        }
        if deadline.poll_expired(context).is_pending() {
            Step::Stay
        } else if self.leaving.replace(true) {
            Step::Close
        } else {
            Step::Leave
        }
    }
}
