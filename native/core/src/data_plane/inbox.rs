//! One thread's letter box. What another thread wants carried out piece by piece waits in a queue;
//! what is a state or a step of the shutdown is noted, so that said a thousand times it takes no
//! more room than said once, also where no thread looks.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::shared::Decision;
use crate::store::Handle;

/// Decisions that are worth waking a thread for before the batch they belong to is through.
const WORTH_A_WAKE: usize = 8;

/// What one thread is told piece by piece.
pub enum Command {
    Decided(Handle, Decision),
    /// Takes over a connection another thread accepted.
    Adopt(TcpStream),
}

/// Everything a thread is told between two looks, in the order it is obeyed. A decision finds the
/// endpoints it was made about: they were noted before it. A connection handed over before a step of
/// the shutdown is met by that step, and steps that come together are taken from mild to harsh.
#[derive(Default)]
pub struct Letters {
    pub endpoints_changed: bool,
    pub time_changed: bool,
    pub commands: Vec<Command>,
    /// Stop listening, close what is idle.
    pub drain: bool,
    /// End every request with an error.
    pub terminate: bool,
    /// Cut every connection.
    pub cut: bool,
    /// End the thread.
    pub stop: bool,
}

/// Waking the thread once covers all that is said until it looks.
#[derive(Default)]
pub struct Inbox {
    letters: Mutex<Letters>,
    armed: AtomicBool,
    pub notify: Notify,
    /// Requests and connections the thread has open, for handing out connections.
    pub load: AtomicUsize,
}

impl Inbox {
    pub fn send(&self, command: Command) {
        self.push(command);
        self.wake();
    }

    /// Leaves a command whose sender will `deliver`, or wakes the thread when enough of them wait.
    pub fn leave(&self, command: Command) {
        if self.push(command) >= WORTH_A_WAKE {
            self.wake();
        }
    }

    /// Wakes the thread for what was left.
    pub fn deliver(&self) {
        let any = !self.letters().commands.is_empty();
        if any {
            self.wake();
        }
    }

    /// Has `note` set one of the flags.
    pub fn tell(&self, note: impl FnOnce(&mut Letters)) {
        note(&mut self.letters());
        self.wake();
    }

    /// All at once: a flag that is taken comes with every command sent before it.
    pub fn take(&self) -> Letters {
        self.armed.store(false, Ordering::Release);
        std::mem::take(&mut *self.letters())
    }

    fn push(&self, command: Command) -> usize {
        let mut letters = self.letters();
        letters.commands.push(command);
        letters.commands.len()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if !self.armed.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: Handle = Handle {
        slot: 0,
        generation: 2,
    };

    fn decided() -> Command {
        Command::Decided(HANDLE, Decision::Forward(Default::default()))
    }

    #[test]
    fn what_is_noted_takes_no_room_however_often_it_is_said() {
        let inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.tell(|letters| letters.endpoints_changed = true);
            inbox.tell(|letters| letters.time_changed = true);
        }
        let letters = inbox.take();
        assert!(letters.endpoints_changed && letters.time_changed);
        assert_eq!(letters.commands.capacity(), 0);
        assert!(!inbox.take().endpoints_changed, "it is said once");
    }

    #[test]
    fn a_look_takes_all_that_was_said_before_it_and_nothing_twice() {
        let inbox = Inbox::default();
        inbox.tell(|letters| letters.endpoints_changed = true);
        inbox.leave(decided());
        inbox.tell(|letters| letters.drain = true);
        inbox.send(decided());
        let letters = inbox.take();
        assert!(letters.endpoints_changed && letters.drain && !letters.stop);
        assert_eq!(letters.commands.len(), 2);
        let rest = inbox.take();
        assert!(rest.commands.is_empty() && !rest.drain);
    }
}
