//! One thread of the data plane: its runtime, its listener, its connections, requests and engine
//! connections. Nothing on the path of a stream is shared with another thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

use super::connection::Connection;
use super::deadline::Deadlines;
use super::exchange::{Exchange, Interrupt};
use super::inbox::{Command, Inbox};
use super::outbox::{Event, Record};
use super::reader;
use super::scratch::Scratch;
use super::settings::AcceptMode;
use super::shared::{Decision, Shared};
use super::stamps::Stamps;
use super::summons;
use super::upstream::Upstream;
use crate::layout::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::store::Handle;

/// Memory for framing that is kept from one chunk to the next.
const FRAME_CAPACITY_KEPT: usize = 256 * 1024;
/// Progress waits this long for company; a request that is announced takes it along.
const PROGRESS_DELAY: Duration = Duration::from_millis(2);
/// How often idle engine connections are looked at.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a connection could not be accepted, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time for what clients have sent on their last connections to be read, before nothing is open.
const FIRST_READ: Duration = Duration::from_millis(5);

pub struct Shard {
    pub shared: Arc<Shared>,
    pub number: usize,
    pub deadlines: Rc<Deadlines>,
    upstreams: RefCell<Vec<Option<Rc<Upstream>>>>,
    /// Requests by slot of their handle.
    open: RefCell<Vec<Option<Rc<Exchange>>>>,
    connections: RefCell<HashMap<u64, Rc<Connection>>>,
    connections_made: Cell<u64>,
    pub scratch: Rc<Scratch>,
    frame: RefCell<Vec<u8>>,
    pub stamps: Stamps,
    progress_due: Cell<bool>,
    /// Told once, when the thread is to stop listening.
    draining: Notify,
    /// The thread ends: nothing may be spawned any more.
    stopped: Cell<bool>,
}

/// Runs the thread until it is told to stop.
pub fn run(
    shared: Arc<Shared>,
    number: usize,
    listener: Option<TcpListener>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let shard = Shard::new(shared, number);
    let main = Rc::clone(&shard);
    local.block_on(&runtime, async move { main.serve(listener).await });
    drop(local);
    shard.clear();
    runtime.shutdown_background();
    Ok(())
}

impl Shard {
    pub fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        Rc::new(Self {
            shared,
            number,
            deadlines: Deadlines::new(),
            upstreams: RefCell::default(),
            open: RefCell::new(vec![None; REQUESTS_IN_FLIGHT_MAX]),
            connections: RefCell::default(),
            connections_made: Cell::new(0),
            scratch: Scratch::new(),
            frame: RefCell::default(),
            stamps: Stamps::default(),
            progress_due: Cell::new(false),
            draining: Notify::new(),
            stopped: Cell::new(false),
        })
    }

    async fn serve(self: Rc<Self>, listener: Option<TcpListener>) {
        self.set_upstreams();
        let watching = Rc::clone(&self);
        spawn_local(async move { watching.deadlines.run(&watching.shared.clock).await });
        let summons = summons::install();
        let summoning = Rc::clone(&self);
        spawn_local(async move {
            loop {
                summons.notified().await;
                summoning.shared.outbox.arm_if_any();
            }
        });
        let pruning = Rc::clone(&self);
        spawn_local(async move { pruning.prune().await });
        let listening =
            listener.and_then(|listener| tokio::net::TcpListener::from_std(listener).ok());
        let accepting = Rc::clone(&self);
        if let Some(listener) = listening {
            spawn_local(async move { accepting.accept(listener).await });
        }
        loop {
            self.inbox().notify.notified().await;
            let letters = self.inbox().take();
            if letters.endpoints_changed {
                self.set_upstreams();
            }
            if letters.time_changed {
                self.deadlines.check(self.coarse_ms());
            }
            for command in letters.commands {
                self.obey(command);
            }
            if letters.drain {
                self.draining.notify_one();
                self.close_idle();
            }
            if letters.terminate {
                self.terminate();
            }
            if letters.cut {
                self.cut();
            }
            if letters.stop {
                self.stopped.set(true);
                return;
            }
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Decided(handle, decision) => self.decided(handle, decision),
            Command::Adopt(stream) => match TcpStream::from_std(stream) {
                Ok(stream) => self.add(stream),
                Err(_) => {
                    self.inbox().load.fetch_sub(1, Ordering::Relaxed);
                }
            },
        }
    }

    /// Accepts until draining begins.
    async fn accept(self: Rc<Self>, listener: tokio::net::TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.draining.notified() => break,
            };
            match accepted {
                Ok((stream, _)) => self.hand_out(stream),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        // The system resets what it has connected and nobody has accepted.
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok((stream, _)) = listener.accept() {
            let stream = stream.set_nonblocking(true).map(|()| stream);
            if let Ok(stream) = stream.and_then(TcpStream::from_std) {
                self.hand_out(stream);
            }
        }
        drop(listener);
        tokio::time::sleep(FIRST_READ).await;
        self.shared.stopped_listening();
    }

    /// Keeps the connection, or gives it to the thread with the least to do.
    fn hand_out(self: &Rc<Self>, stream: TcpStream) {
        if self.shared.options.accept == AcceptMode::LeastLoaded {
            let load = |inbox: &Inbox| inbox.load.load(Ordering::Relaxed);
            let inboxes = self.shared.inboxes.iter().enumerate();
            let least = inboxes.min_by_key(|(_, inbox)| load(inbox));
            if let Some((number, inbox)) = least
                && number != self.number
            {
                if let Ok(stream) = stream.into_std() {
                    // Counted at once: the next connection may come before this one is taken.
                    inbox.load.fetch_add(1, Ordering::Relaxed);
                    inbox.send(Command::Adopt(stream));
                }
                return;
            }
        }
        self.inbox().load.fetch_add(1, Ordering::Relaxed);
        self.add(stream);
    }

    /// Serves a connection that was counted as this thread's load.
    fn add(self: &Rc<Self>, stream: TcpStream) {
        // Without it the first chunk of a stream waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let connection = Connection::new(self, stream);
        let number = self.connections_made.get();
        self.connections_made.set(number + 1);
        self.connections
            .borrow_mut()
            .insert(number, Rc::clone(&connection));
        let shard = Rc::clone(self);
        spawn_local(async move {
            // Held by the task, so that a reader that unwinds closes its connection too.
            let _registered = Registered { shard, number };
            reader::serve(connection).await;
        });
    }

    async fn prune(&self) {
        loop {
            tokio::time::sleep(PRUNE_INTERVAL).await;
            let oldest = self.coarse_ms() - self.shared.options.timeouts.engine_keep_alive_ms;
            for upstream in self.upstreams.borrow().iter().flatten() {
                upstream.prune(oldest);
            }
        }
    }

    fn decided(&self, handle: Handle, decision: Decision) {
        let open = self
            .open
            .borrow()
            .get(handle.slot as usize)
            .cloned()
            .flatten();
        if let Some(exchange) = open.filter(|exchange| exchange.handle == Some(handle)) {
            *exchange.decision.borrow_mut() = Some(decision);
            exchange.wake();
        }
    }

    fn set_upstreams(&self) {
        let endpoints = self.shared.endpoints();
        let mut upstreams = self.upstreams.borrow_mut();
        let before = std::mem::take(&mut *upstreams);
        let mut before = before.into_iter();
        for endpoint in endpoints.iter() {
            let kept = before.next().flatten();
            let same = kept.clone().filter(|kept| {
                endpoint
                    .as_ref()
                    .is_some_and(|one| kept.endpoint.is_same_instance(one))
            });
            if same.is_none()
                && let Some(kept) = kept
            {
                kept.retire();
            }
            let next = same.or_else(|| endpoint.as_ref().map(|one| Upstream::new(Arc::clone(one))));
            upstreams.push(next);
        }
        for left in before.flatten() {
            left.retire();
        }
    }

    pub fn upstream(&self, slot: u32) -> Option<Rc<Upstream>> {
        self.upstreams
            .borrow()
            .get(slot as usize)
            .cloned()
            .flatten()
    }

    /// A request has got its handle.
    pub fn open(&self, handle: Handle, exchange: &Rc<Exchange>) {
        if let Some(entry) = self.open.borrow_mut().get_mut(handle.slot as usize) {
            *entry = Some(Rc::clone(exchange));
        }
    }

    /// A request with a handle has ended.
    pub fn end(self: &Rc<Self>, handle: Handle, event: Event) {
        if let Some(entry) = self.open.borrow_mut().get_mut(handle.slot as usize) {
            *entry = None;
        }
        if self.shared.end(Record { handle, event }) {
            self.tell_soon();
        }
    }

    /// Tells JavaScript about progress, together with what comes next.
    pub fn report(self: &Rc<Self>, record: Record) {
        if self.shared.outbox.push(record) {
            self.tell_soon();
        }
    }

    fn tell_soon(self: &Rc<Self>) {
        if self.stopped.get() {
            self.shared.outbox.arm();
            return;
        }
        if self.progress_due.replace(true) {
            return;
        }
        let shard = Rc::clone(self);
        spawn_local(async move {
            tokio::time::sleep(PROGRESS_DELAY).await;
            shard.progress_due.set(false);
            shard.shared.outbox.arm_if_any();
        });
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn all_connections(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Closes connections without a request: those between two, and those that never sent a byte.
    fn close_idle(&self) {
        for connection in self.all_connections() {
            let is_free = connection.open_count() == 0 && connection.is_between.get();
            if is_free && !connection.has_unread() {
                connection.end();
            }
            // HTTP/2 tells its client to go.
            connection.wake_reader();
        }
    }

    fn terminate(&self) {
        let open: Vec<_> = self.open.borrow().iter().flatten().cloned().collect();
        for exchange in open {
            exchange.interrupt(Interrupt::Terminate);
            if exchange.claim_task() {
                super::work::spawn(&exchange);
            }
        }
    }

    fn cut(&self) {
        for connection in self.all_connections() {
            connection.destroy(false);
        }
    }

    /// Breaks the cycles between what is left and the thread.
    fn clear(&self) {
        self.open.borrow_mut().clear();
        self.connections.borrow_mut().clear();
        self.upstreams.borrow_mut().clear();
    }

    pub fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[self.number]
    }

    pub fn now_ms(&self) -> f64 {
        self.shared.clock.now_ms()
    }

    /// The time for limits.
    pub fn coarse_ms(&self) -> f64 {
        self.shared.clock.coarse_ms()
    }

    /// An empty buffer to frame bytes in.
    pub fn with_frame<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut frame = self.frame.borrow_mut();
        frame.clear();
        let done = act(&mut frame);
        if frame.capacity() > FRAME_CAPACITY_KEPT {
            *frame = Vec::new();
        }
        done
    }
}

/// A connection's entry, taken out when its task ends in whatever way.
struct Registered {
    shard: Rc<Shard>,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let connection = self.shard.connections.borrow_mut().remove(&self.number);
        if let Some(connection) = connection {
            connection.destroy(false);
        }
        if self.shard.shared.is_draining() {
            self.shard.shared.outbox.arm();
        }
    }
}
