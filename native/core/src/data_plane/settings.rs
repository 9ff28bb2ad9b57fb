//! What the data plane is given: where it listens, on how many threads, its time limits and its
//! endpoints. Arrives as JSON when the plane is made and when the fleet changes; never hot.

use serde::Deserialize;

/// Time limits, milliseconds; 0 never expires. `settings.ts` says what each is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    pub headers_ms: f64,
    pub request_ms: f64,
    pub keep_alive_ms: f64,
    pub client_stall_ms: f64,
    pub connect_ms: f64,
    pub first_byte_ms: f64,
    pub idle_ms: f64,
    pub engine_keep_alive_ms: f64,
    /// From a request's head to the last byte of its answer.
    pub total_ms: f64,
    /// For JavaScript to decide about a request before a native pick replaces it.
    pub decide_ms: f64,
}

/// Who takes a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptMode {
    /// Every thread listens; the kernel spreads connections.
    Shared,
    /// One thread listens and hands each connection to the least loaded thread.
    LeastLoaded,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    pub host: String,
    /// 0 takes a free port.
    pub port: u16,
    pub threads: usize,
    pub accept: AcceptMode,
    pub timeouts: Timeouts,
    /// Time only moves when the owner says so; for tests.
    pub manual_clock: bool,
}

/// Where an engine is and what it wants to see first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineAddress {
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// Value of the Host header.
    pub authority: String,
    /// Path of the base URL, empty for none.
    pub base_path: String,
    pub api_key: Option<String>,
    pub ca_pem: Option<String>,
}

/// One endpoint as the plane needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    pub name: String,
    pub address: EngineAddress,
    pub dp_rank: Option<u32>,
    /// Ids of the models that the native pick may take it for.
    pub models: Vec<String>,
}

impl Endpoint {
    /// True when connections made to `self` may serve `other`.
    pub fn is_same_instance(&self, other: &Self) -> bool {
        self.name == other.name && self.address == other.address
    }
}
