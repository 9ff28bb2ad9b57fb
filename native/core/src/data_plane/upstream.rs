//! Connections to one instance of an endpoint, kept by one thread. The freshest idle connection is
//! taken first; idle ones are closed before uvicorn would. A retired upstream closes its idle
//! connections at once and running ones when their request has ended.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::engine::{EngineConnection, Failure, Transport, reason};
use super::settings::Endpoint;
use super::shard::Shard;
use super::tls;

/// Idle connections kept to one endpoint, by one thread.
const IDLE_CONNECTIONS_MAX: usize = 256;

pub struct Upstream {
    pub endpoint: Arc<Endpoint>,
    idle: RefCell<Vec<EngineConnection>>,
    retired: Cell<bool>,
    tls: OnceCell<Result<Arc<ClientConfig>, String>>,
}

impl Upstream {
    pub fn new(endpoint: Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self {
            endpoint,
            idle: RefCell::default(),
            retired: Cell::new(false),
            tls: OnceCell::new(),
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
    pub async fn connect(
        &self,
        shard: &Rc<Shard>,
        limit_ms: f64,
    ) -> Result<EngineConnection, Failure> {
        let connected = async {
            let endpoint = &self.endpoint;
            let address = (endpoint.host.as_str(), endpoint.port);
            let stream = TcpStream::connect(address)
                .await
                .map_err(|error| reason(&error))?;
            stream.set_nodelay(true).map_err(|error| reason(&error))?;
            let transport = if endpoint.tls {
                self.secure(stream).await?
            } else {
                Transport::Plain(stream)
            };
            Ok(EngineConnection::new(shard, transport))
        };
        let limit = if limit_ms > 0.0 {
            Duration::from_secs_f64(limit_ms / 1000.0)
        } else {
            Duration::MAX
        };
        match tokio::time::timeout(limit, connected).await {
            Ok(connected) => connected.map_err(Failure::Unreachable),
            Err(_) => Err(Failure::Unreachable("ETIMEDOUT".to_owned())),
        }
    }

    async fn secure(&self, stream: TcpStream) -> Result<Transport, String> {
        let ca_pem = self.endpoint.ca_pem.as_deref();
        let config = self
            .tls
            .get_or_init(|| tls::client_config(ca_pem))
            .clone()?;
        let name = ServerName::try_from(self.endpoint.host.clone());
        let name = name.map_err(|_| "the endpoint's name cannot be verified".to_owned())?;
        let secured = TlsConnector::from(config).connect(name, stream).await;
        Ok(Transport::Tls(Box::new(
            secured.map_err(|error| reason(&error))?,
        )))
    }
}
