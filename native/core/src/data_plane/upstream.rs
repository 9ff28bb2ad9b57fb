//! Connections to one instance of an endpoint, kept by one thread. The freshest idle connection is
//! taken first; idle ones are closed before uvicorn would. A retired upstream closes its idle
//! connections at once and running ones when their request has ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connect::{TlsSettings, connect};
use super::engine::{EngineConnection, Failure};
use super::settings::Endpoint;
use super::shard::Shard;

/// Idle connections kept to one endpoint, by one thread.
const IDLE_CONNECTIONS_MAX: usize = 256;

pub struct Upstream {
    pub endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<EngineConnection>>,
    retired: Cell<bool>,
    tls: TlsSettings,
}

impl Upstream {
    pub fn new(endpoint: Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self {
            endpoint,
            idle: RefCell::default(),
            retired: Cell::new(false),
            tls: TlsSettings::default(),
        })
    }

    /// Takes the freshest idle connection that is still open.
    pub fn take_idle(&self, oldest_ms: f64) -> Option<EngineConnection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop() {
            if connection.idle_since_ms < oldest_ms {
                // Older ones lie below.
                idle.clear();
                return None;
            }
            if connection.is_alive() {
                return Some(connection);
            }
        }
        None
    }

    /// Gives back a connection whose answer was read to its exact end.
    pub fn release(&self, mut connection: EngineConnection, now_ms: f64) {
        connection.served += 1;
        connection.idle_since_ms = now_ms;
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }

    /// Closes what has been idle since before `oldest_ms`, or was closed by the engine.
    pub fn prune(&self, oldest_ms: f64) {
        self.idle.borrow_mut().retain_mut(|connection| {
            connection.idle_since_ms >= oldest_ms && connection.is_alive()
        });
    }

    /// No request comes any more; running ones keep their connections.
    pub fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
    }

    /// Makes a connection within the limit, TLS included.
    pub async fn connect(&self, shard: &Shard, limit_ms: f64) -> Result<EngineConnection, Failure> {
        let limit = if limit_ms > 0.0 {
            Duration::from_secs_f64(limit_ms / 1000.0)
        } else {
            Duration::MAX
        };
        connect(&self.endpoint.address, &self.tls, &shard.scratch, limit).await
    }
}
