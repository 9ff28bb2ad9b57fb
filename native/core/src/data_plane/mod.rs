//! The data plane: owns every client and engine socket and every body byte. TypeScript decides,
//! this carries. `src/core/portable/data-plane/` is its executable specification, the suites
//! `test/contract/data-plane-*` hold both to the same answers.

mod added_headers;
#[doc(hidden)]
pub mod answer_head;
#[doc(hidden)]
pub mod answer_scan;
mod body;
mod body_reader;
mod budget;
#[doc(hidden)]
pub mod chunked;
mod client;
mod client_end;
mod client_frame;
pub(crate) mod connect;
mod connection;
mod deadline;
pub(crate) mod engine;
mod exchange;
mod fallback;
#[doc(hidden)]
pub mod fields;
mod forwarding;
mod hand_over;
#[doc(hidden)]
pub mod head;
mod head_rules;
mod http2;
mod http2_session;
mod http2_stream;
mod inbox;
mod outbox;
mod reader;
mod refusal;
mod relay;
pub(crate) mod scratch;
pub(crate) mod settings;
mod shard;
mod shared;
mod stamps;
mod summons;
mod tls;
mod upstream;
mod work;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use socket2::{Domain, Protocol, Socket, Type};

pub use added_headers::Headers;
pub use body::Patch;
pub use outbox::{RECORD_NUMBERS, Trouble};
pub use refusal::Refusal;
pub use settings::{AcceptMode, Endpoint, EngineAddress, Options, Timeouts};
pub use shared::{Decision, Order, Target};

use crate::layout::limits::ENDPOINTS_MAX;
use crate::prepare::Prepare;
use crate::store::{Handle, RequestStore};
use outbox::Outbox;
use shared::Shared;

/// Threads a plane may have.
pub const THREADS_MAX: usize = 64;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Counters of what the handler never hears of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub connections: usize,
    pub stripped_headers: u64,
    pub refused_requests: u64,
    pub retries: u64,
    pub reconnects: u64,
    pub policy_missed: u64,
    pub late_orders: u64,
}

/// One data plane. Its methods may be called from any thread.
pub struct DataPlane {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DataPlane {
    /// `wake` is called when records wait to be taken, at most once until they are.
    pub fn new(
        mut options: Options,
        store: Arc<RequestStore>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        options.threads = options.threads.clamp(1, THREADS_MAX);
        Self {
            shared: Arc::new(Shared::new(options, store, Outbox::new(wake))),
            threads: Mutex::default(),
        }
    }

    /// Binds and begins to serve; an error says why it cannot.
    pub fn start(&self) -> Result<SocketAddr, String> {
        let options = &self.shared.options;
        let shared_port = options.threads > 1 && options.accept == AcceptMode::Shared;
        let first = listen(&options.host, options.port, shared_port)?;
        let address = first.local_addr().map_err(|error| error.to_string())?;
        let mut listeners = vec![Some(first)];
        for _ in 1..options.threads {
            let more = if shared_port {
                Some(bind(address, true)?)
            } else {
                None
            };
            listeners.push(more);
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, listener) in listeners.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let listens = usize::from(listener.is_some());
            let builder = std::thread::Builder::new().name(format!("data-plane-{number}"));
            let thread = builder.spawn(move || {
                // A runtime that cannot be made leaves a thread that takes no connection.
                let _ = shard::run(shared, number, listener);
            });
            threads.push(thread.map_err(|error| error.to_string())?);
            self.shared.listening.fetch_add(listens, Ordering::AcqRel);
        }
        Ok(address)
    }

    /// Replaces what each slot means. Running requests keep the connection they have.
    pub fn set_endpoints(&self, by_slot: Vec<Option<Endpoint>>) {
        for flag in &self.shared.unusable {
            flag.store(false, Ordering::Relaxed);
        }
        let endpoints = by_slot.into_iter().take(ENDPOINTS_MAX);
        self.shared
            .set_endpoints(endpoints.map(|endpoint| endpoint.map(Arc::new)).collect());
    }

    /// Tells the native pick whether an endpoint may be used.
    pub fn set_usable(&self, slot: usize, usable: bool) {
        if let Some(flag) = self.shared.unusable.get(slot) {
            flag.store(!usable, Ordering::Relaxed);
        }
    }

    /// Has prompts encoded before JavaScript hears of their requests.
    pub fn set_prepare(&self, prepare: Option<Arc<dyn Prepare>>) {
        *self
            .shared
            .prepare
            .write()
            .unwrap_or_else(PoisonError::into_inner) = prepare;
    }

    /// Carries a decision out; false when the handle is stale.
    pub fn decide(&self, handle: Handle, decision: Decision) -> bool {
        self.shared.decide(handle, decision)
    }

    /// Moves records into `numbers` (`RECORD_NUMBERS` each) and returns their count.
    pub fn take_records(&self, numbers: &mut [f64]) -> usize {
        self.shared.take_records(numbers)
    }

    /// The records taken last have been handled, and decisions about them made.
    pub fn delivered(&self) {
        self.shared.delivered();
    }

    /// Lines of method, path, request id, then names and values in turn; none for a stale handle.
    pub fn head_text(&self, handle: Handle) -> Option<Vec<u8>> {
        self.shared.head_text(handle)
    }

    pub fn has_troubles(&self) -> bool {
        self.shared.outbox.has_troubles()
    }

    pub fn take_troubles(&self) -> Vec<Trouble> {
        self.shared.outbox.take_troubles()
    }

    /// Requests whose last record JavaScript has not handled.
    pub fn in_flight(&self) -> usize {
        self.shared.outbox.in_flight()
    }

    /// True when no request is open and every last record was handled.
    pub fn is_idle(&self) -> bool {
        self.shared.is_idle()
    }

    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            connections: counters.connections.load(Ordering::Relaxed),
            stripped_headers: counters.stripped_headers.load(Ordering::Relaxed),
            refused_requests: counters.refused_requests.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            reconnects: counters.reconnects.load(Ordering::Relaxed),
            policy_missed: counters.policy_missed.load(Ordering::Relaxed),
            late_orders: counters.late_orders.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock.
    pub fn set_time(&self, now_ms: f64) {
        self.shared.clock.set_ms(now_ms);
        self.shared.tell_all(|letters| letters.time_changed = true);
    }

    /// Stops listening and closes idle connections; answers close theirs from now on. Who has
    /// connected before is served.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Ends every request with an error.
    pub fn terminate(&self) {
        self.shared.tell_all(|letters| letters.terminate = true);
    }

    /// Cuts every client connection.
    pub fn cut(&self) {
        self.shared.tell_all(|letters| letters.cut = true);
    }

    /// Ends the threads and waits for them.
    pub fn stop(&self) {
        self.shared.tell_all(|letters| letters.stop = true);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(host: &str, port: u16, shared_port: bool) -> Result<TcpListener, String> {
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    let mut problem = format!("{host} has no address");
    for address in addresses {
        // A shared port would be shared with another process too: first see that nobody has it.
        let bound = bind(address, false).and_then(|listener| {
            if !shared_port {
                return Ok(listener);
            }
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            drop(listener);
            bind(address, true)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

fn bind(address: SocketAddr, shared_port: bool) -> Result<TcpListener, String> {
    let bound = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if shared_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    bound().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("EADDRINUSE: address already in use {address}"),
        std::io::ErrorKind::PermissionDenied => format!("EACCES: permission denied {address}"),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

#[cfg(test)]
mod tests;
