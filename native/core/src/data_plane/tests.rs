//! The plane as a whole, with a thread in JavaScript's place.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::outbox::Outbox;
use super::shared::Shared;
use super::*;
use crate::prepare::{Prepare, Ready, Route};

fn options(threads: usize, accept: AcceptMode) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port: 0,
        threads,
        accept,
        timeouts: Timeouts {
            headers_ms: 10_000.0,
            request_ms: 60_000.0,
            keep_alive_ms: 75_000.0,
            client_stall_ms: 60_000.0,
            connect_ms: 5_000.0,
            first_byte_ms: 60_000.0,
            idle_ms: 60_000.0,
            engine_keep_alive_ms: 4_000.0,
            total_ms: 0.0,
            decide_ms: 0.0,
        },
        manual_clock: false,
    }
}

/// What threads share, with nobody to wake.
pub fn shared() -> Arc<Shared> {
    let store = Arc::new(RequestStore::new());
    let options = options(1, AcceptMode::Shared);
    Arc::new(Shared::new(options, store, Outbox::new(Box::new(|| {}))))
}

struct Rig {
    plane: DataPlane,
    address: SocketAddr,
    store: Arc<RequestStore>,
    woken: Receiver<()>,
}

fn rig(threads: usize, accept: AcceptMode) -> Rig {
    let store = Arc::new(RequestStore::new());
    let (wake, woken) = channel();
    let wake = Mutex::new(wake);
    let call = Box::new(move || {
        let _ = wake.lock().unwrap().send(());
    });
    let plane = DataPlane::new(options(threads, accept), Arc::clone(&store), call);
    let address = plane.start().unwrap();
    Rig {
        plane,
        address,
        store,
        woken,
    }
}

impl Rig {
    /// The next records: kind, slot, generation, and the first numbers of each.
    fn records(&self) -> Vec<[f64; 6]> {
        let mut numbers = [0.0; 64 * RECORD_NUMBERS];
        loop {
            let count = self.plane.take_records(&mut numbers);
            if count > 0 {
                let rows = numbers.chunks_exact(RECORD_NUMBERS).take(count);
                return rows.map(|row| row[..6].try_into().unwrap()).collect();
            }
            self.woken.recv_timeout(Duration::from_secs(30)).unwrap();
        }
    }

    fn ask(&self, path: &str, body: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n");
        write!(client, "{head}Connection: close\r\n\r\n{body}").unwrap();
        client
    }

    /// Decides about the records taken last.
    fn decide(&self, record: &[f64; 6], decision: Decision) -> bool {
        let decided = self.plane.decide(handle(record), decision);
        self.plane.delivered();
        decided
    }

    fn respond(&self, record: &[f64; 6], body: &str) -> bool {
        let body = body.as_bytes().to_vec();
        let decision = Decision::Respond {
            status: 200,
            headers: Headers::default(),
            body,
        };
        self.decide(record, decision)
    }
}

fn handle(record: &[f64; 6]) -> Handle {
    Handle {
        slot: record[1] as u32,
        generation: record[2] as u32,
    }
}

fn answer(mut client: TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

/// Sockets of this process by their ends: whether Nagle's algorithm is off.
fn nodelay_of(is_it: impl Fn(SocketAddr, SocketAddr) -> bool) -> Vec<bool> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let number = entry.file_name().to_string_lossy().parse().unwrap();
        // SAFETY: used at once; a descriptor that another test closes meanwhile gives an error.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = socket2::SockRef::from(&borrowed);
        let address =
            |one: std::io::Result<socket2::SockAddr>| one.ok().and_then(|one| one.as_socket());
        if let (Some(local), Some(peer)) =
            (address(socket.local_addr()), address(socket.peer_addr()))
            && is_it(local, peer)
        {
            found.push(socket.tcp_nodelay().unwrap());
        }
    }
    found
}

#[test]
fn nagle_is_off_on_both_sides() {
    let rig = rig(1, AcceptMode::Shared);
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine_address = engine.local_addr().unwrap();
    rig.plane.set_endpoints(vec![Some(Endpoint {
        name: "engine".to_owned(),
        address: EngineAddress {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: engine_address.port(),
            authority: engine_address.to_string(),
            base_path: String::new(),
            api_key: None,
            ca_pem: None,
        },
        dp_rank: None,
        models: Vec::new(),
    })]);
    let client = rig.ask("/v1/x", "{}");
    let record = rig.records()[0];
    let target = Target {
        slot: 0,
        ..Target::default()
    };
    let order = Order {
        targets: vec![target],
        patches: Vec::new(),
    };
    assert!(rig.decide(&record, Decision::Forward(order)));
    let mut asked = engine.accept().unwrap().0;
    let mut first = [0; 4];
    asked.read_exact(&mut first).unwrap();
    let client_address = client.local_addr().unwrap();
    let towards_client = nodelay_of(|local, peer| local == rig.address && peer == client_address);
    let towards_engine = nodelay_of(|_, peer| peer == engine_address);
    assert_eq!((towards_client, towards_engine), (vec![true], vec![true]));
    asked
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .unwrap();
    assert!(answer(client).ends_with("ok"));
}

/// An encoder that keeps what it is given, or unwinds.
struct Held(Mutex<Vec<(Handle, Route, Ready)>>);

impl Prepare for Held {
    fn prepare(&self, handle: Handle, route: Route, ready: Ready) {
        if route == Route::Completions {
            drop(ready);
            panic!("in a test");
        }
        self.0.lock().unwrap().push((handle, route, ready));
    }
}

#[test]
fn prompts_are_announced_when_they_are_prepared() {
    let rig = rig(1, AcceptMode::Shared);
    let encoder = Arc::new(Held(Mutex::default()));
    let prepare: Arc<dyn Prepare> = encoder.clone();
    rig.plane.set_prepare(Some(prepare));
    let prompt = rig.ask("/v1/chat/completions", "{}");
    for (path, body) in [
        ("/v1/chat/completions?x", "{}"),
        ("/v1/chat/completions", ""),
        ("/v1/completions", "{}"),
    ] {
        let other = rig.ask(path, body);
        let record = rig.records()[0];
        assert_eq!(
            (record[0], record[3] as usize, record[5]),
            (0.0, body.len(), 0.0),
            "{path}"
        );
        assert!(rig.respond(&record, "other"));
        assert!(answer(other).ends_with("other"));
        while rig.records().iter().all(|record| record[0] != 3.0) {}
        rig.plane.delivered();
    }
    let (held, route, ready) = encoder.0.lock().unwrap().pop().unwrap();
    assert_eq!(route, Route::ChatCompletions);
    assert_eq!(rig.store.body(held).unwrap(), "{}");
    std::thread::spawn(ready).join().unwrap();
    let record = rig.records()[0];
    assert_eq!((handle(&record), record[5]), (held, 1.0));
    assert!(rig.respond(&record, "prompt"));
    assert!(answer(prompt).ends_with("prompt"));
}

#[test]
fn a_prompt_whose_client_has_left_is_never_announced() {
    let rig = rig(1, AcceptMode::Shared);
    let encoder = Arc::new(Held(Mutex::default()));
    let prepare: Arc<dyn Prepare> = encoder.clone();
    rig.plane.set_prepare(Some(prepare));
    drop(rig.ask("/v1/chat/completions", "{}"));
    let records = rig.records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0][0], records[0][5]),
        (3.0, 1.0),
        "it is done, and its client has gone"
    );
    let (_, _, ready) = encoder.0.lock().unwrap().pop().unwrap();
    ready();
    rig.plane.delivered();
    assert!(rig.plane.is_idle());
    assert_eq!(rig.plane.take_records(&mut [0.0; RECORD_NUMBERS]), 0);
}

#[test]
fn connections_go_to_the_thread_with_the_least_to_do() {
    let rig = rig(4, AcceptMode::LeastLoaded);
    let address = rig.address;
    let clients: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let load = |inbox: &inbox::Inbox| inbox.load.load(Ordering::Relaxed);
    let loads = || {
        rig.plane
            .shared
            .inboxes
            .iter()
            .map(load)
            .collect::<Vec<_>>()
    };
    while loads().iter().sum::<usize>() < clients.len() {
        std::thread::yield_now();
    }
    assert_eq!(loads(), [2, 2, 2, 2]);
    for mut client in clients {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let record = loop {
            let records = rig.records();
            if let Some(record) = records.iter().find(|record| record[0] == 0.0) {
                break *record;
            }
        };
        assert!(rig.respond(&record, "ok"));
        assert!(answer(client).ends_with("ok"));
    }
}

#[test]
fn a_plane_that_is_dropped_in_the_middle_ends_its_threads() {
    let rig = rig(2, AcceptMode::Shared);
    let asked = rig.ask("/v1/x", "{}");
    let mut half = TcpStream::connect(rig.address).unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    assert_eq!(rig.records()[0][0], 0.0);
    // Joins the threads; both clients see their connections close.
    drop(rig);
    for mut client in [asked, half] {
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn a_decision_outside_of_a_batch_goes_out_at_once() {
    let rig = rig(1, AcceptMode::Shared);
    let clients: Vec<_> = (0..3).map(|_| rig.ask("/v1/x", "{}")).collect();
    let mut records = Vec::new();
    while records.len() < 3 {
        records.extend(rig.records());
        rig.plane.delivered();
    }
    // Outside of a batch: nobody has to say `delivered`.
    for record in &records {
        let decision = Decision::Respond {
            status: 200,
            headers: Headers::default(),
            body: b"alone".to_vec(),
        };
        assert!(rig.plane.decide(handle(record), decision));
    }
    for client in clients {
        assert!(answer(client).ends_with("alone"));
    }
}
