//! The load: a closed loop (each connection sends when it was answered), an open loop at a fixed
//! rate (latency counts from the time a request was due, so a stall is not hidden by sending less),
//! and streams (one-way latency of every chunk, from the sender's stamp). Loopback only.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::arguments::Arguments;
use crate::clock::{ExactTimer, monotonic_ns};
use crate::connection::{Connection, Request};
use crate::corpus::Corpus;
use crate::process::{Usage, usage_of};
use crate::report::{Tally, print};

pub const OPTIONS: &[&str] = &[
    "mode",
    "port",
    "path",
    "connections",
    "rate",
    "warm-up-ms",
    "milliseconds",
    "pids",
];

const NANOS_PER_MS: u64 = 1_000_000;
/// A connection that cannot be opened is tried again after this.
const RETRY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Closed,
    Open,
    Streams,
}

/// Times at which requests of the open loop are due, waiting for a connection.
#[derive(Default)]
struct Due {
    queue: RefCell<VecDeque<u64>>,
    added: Notify,
}

struct Load {
    mode: Mode,
    port: u16,
    path: String,
    corpus: RefCell<Corpus>,
    tally: RefCell<Tally>,
    due: Due,
}

/// `generate`: runs one load and prints its figures as one line of JSON.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mode = match arguments.text("mode", "closed") {
        "closed" => Mode::Closed,
        "open" => Mode::Open,
        "streams" => Mode::Streams,
        other => return Err(format!("--mode {other}: closed, open or streams")),
    };
    let load = Rc::new(Load {
        mode,
        port: arguments.number("port", 0, 1, 65_535)? as u16,
        path: arguments.text("path", "/v1/chat/completions").to_owned(),
        corpus: RefCell::new(Corpus::new(arguments)?),
        tally: RefCell::new(Tally::new()),
        due: Due::default(),
    });
    let connections = arguments.number("connections", 32, 1, 20_000)?;
    let rate = arguments.number("rate", 1000, 1, 1_000_000)?;
    let warm_up_ms = arguments.number("warm-up-ms", 500, 0, 120_000)?;
    let length_ms = arguments.number("milliseconds", 2000, 10, 600_000)?;
    let pids = arguments.numbers("pids")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let idle = usage_of(&pids);
        // Streams open over most of the warm-up: all at once would measure the opening.
        let spread_ms = if mode == Mode::Streams {
            warm_up_ms * 3 / 4
        } else {
            0
        };
        for at in 0..connections {
            let wait = Duration::from_micros(spread_ms * 1000 * at / connections);
            tokio::task::spawn_local(run_connection(Rc::clone(&load), wait));
        }
        if mode == Mode::Open {
            tokio::task::spawn_local(schedule(Rc::clone(&load), rate));
        }
        tokio::time::sleep(Duration::from_millis(warm_up_ms)).await;
        let own = [u64::from(std::process::id())];
        let before = (usage_of(&pids), usage_of(&own), monotonic_ns());
        load.tally.borrow_mut().measuring = true;
        tokio::time::sleep(Duration::from_millis(length_ms)).await;
        let mut tally = load.tally.borrow_mut();
        tally.measuring = false;
        let after = (usage_of(&pids), usage_of(&own), monotonic_ns());
        let of = |from: Usage, to: Usage| Usage {
            cpu_ns: to.cpu_ns.saturating_sub(from.cpu_ns),
            main_thread_ns: to.main_thread_ns.saturating_sub(from.main_thread_ns),
            resident_bytes: to.resident_bytes,
        };
        let elapsed_ns = after.2 - before.2;
        print(
            &tally,
            elapsed_ns,
            of(before.0, after.0),
            of(before.1, after.1),
            idle.resident_bytes,
        );
    });
    Ok(())
}

/// Puts one due time after the other into the queue.
async fn schedule(load: Rc<Load>, rate: u64) {
    let Ok(timer) = ExactTimer::new() else {
        return;
    };
    let started = monotonic_ns();
    for at in 0_u64.. {
        let due = started + at * 1000 * NANOS_PER_MS / rate;
        if timer.until(due).await.is_err() {
            return;
        }
        load.due.queue.borrow_mut().push_back(due);
        load.due.added.notify_one();
    }
}

async fn next_due(due: &Due) -> u64 {
    loop {
        if let Some(at) = due.queue.borrow_mut().pop_front() {
            return at;
        }
        due.added.notified().await;
    }
}

/// One connection, opened again whenever it fails, until the process ends.
async fn run_connection(load: Rc<Load>, wait: Duration) {
    tokio::time::sleep(wait).await;
    let mut body = String::new();
    let mut request = Request::new(&load.path, load.port);
    loop {
        let Ok(mut connection) = Connection::open(load.port).await else {
            load.tally.borrow_mut().failed("connect");
            tokio::time::sleep(RETRY).await;
            continue;
        };
        loop {
            body.clear();
            load.corpus.borrow_mut().write_next(&mut body);
            request.set_body(&body);
            let started = if load.mode == Mode::Open {
                next_due(&load.due).await
            } else {
                monotonic_ns()
            };
            load.tally.borrow_mut().open += 1;
            let outcome = connection.exchange(&request, started, &load.tally).await;
            load.tally.borrow_mut().open -= 1;
            match outcome {
                Ok(true) => {}
                Ok(false) => break,
                Err(reason) => {
                    load.tally.borrow_mut().failed(&reason);
                    tokio::time::sleep(RETRY).await;
                    break;
                }
            }
        }
    }
}
