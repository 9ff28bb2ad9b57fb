//! Makes connections to engines, plain or TLS, for requests and for the watcher alike.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::engine::{EngineConnection, Failure, Transport, reason};
use super::scratch::Scratch;
use super::settings::EngineAddress;
use super::tls;

/// TLS settings of one engine, made from its CA when they are first needed.
pub type TlsSettings = OnceCell<Result<Arc<ClientConfig>, String>>;

/// Makes a connection within `limit`, TLS included.
pub async fn connect(
    address: &EngineAddress,
    tls: &TlsSettings,
    scratch: &Rc<Scratch>,
    limit: Duration,
) -> Result<EngineConnection, Failure> {
    let connected = async {
        let found = lookup_host((address.host.as_str(), address.port)).await;
        let unknown = |error| format!("the name cannot be resolved: {error}");
        let found: Vec<_> = found.map_err(unknown)?.collect();
        let stream = TcpStream::connect(&*found)
            .await
            .map_err(|error| reason(&error))?;
        stream.set_nodelay(true).map_err(|error| reason(&error))?;
        let transport = if address.tls {
            secure(address, tls, stream).await?
        } else {
            Transport::Plain(stream)
        };
        Ok(EngineConnection::new(scratch, transport))
    };
    match tokio::time::timeout(limit, connected).await {
        Ok(connected) => connected.map_err(Failure::Unreachable),
        Err(_) => Err(Failure::Unreachable("ETIMEDOUT".to_owned())),
    }
}

async fn secure(
    address: &EngineAddress,
    tls: &TlsSettings,
    stream: TcpStream,
) -> Result<Transport, String> {
    let ca_pem = address.ca_pem.as_deref();
    let config = tls.get_or_init(|| tls::client_config(ca_pem)).clone()?;
    let name = ServerName::try_from(address.host.clone());
    let name = name.map_err(|_| "the endpoint's name cannot be verified".to_owned())?;
    let secured = TlsConnector::from(config).connect(name, stream).await;
    Ok(Transport::Tls(Box::new(
        secured.map_err(|error| reason(&error))?,
    )))
}
