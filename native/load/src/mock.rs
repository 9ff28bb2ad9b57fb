//! The mock engine: answers at once, so that a load measures what stands before it. One process is
//! any number of engines, each on a port of its own. Streams carry the time each chunk was sent.

use std::cell::Cell;
use std::io::Result;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::arguments::Arguments;
use crate::clock::monotonic_ns;
use crate::http::{ChunkFollower, Head, request_head};
use crate::mock_answers::{Answers, Generation, write_chunk, write_render};

pub const OPTIONS: &[&str] = &[
    "engines",
    "model",
    "answer-bytes",
    "chunk-bytes",
    "chunk-interval-us",
    "metrics-bytes",
    "gpu-blocks",
    "seconds",
];

/// Connections waiting to be accepted: thousands of streams may open at once.
const BACKLOG: i32 = 8192;
/// A body that grows beyond this is not a benchmark's.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What one engine has done so far.
#[derive(Default)]
pub struct Counters {
    pub requests: Cell<u64>,
    pub running: Cell<u64>,
    pub aborts: Cell<u64>,
    pub connections: Cell<u64>,
}

struct Engine {
    answers: Rc<Answers>,
    counters: Counters,
    /// Common to all engines of the process; `/mock/interval/MICROSECONDS` sets it.
    chunk_interval: Rc<Cell<Duration>>,
}

/// `mock`: serves until stdin ends, or for `--seconds`. Prints its ports first.
pub fn run(arguments: &Arguments) -> std::result::Result<(), String> {
    let engines = arguments.number("engines", 1, 1, 1024)?;
    let seconds = arguments.number("seconds", 600, 1, 3600)?;
    let interval = arguments.number("chunk-interval-us", 0, 0, 60_000_000)?;
    let answers = Rc::new(Answers::new(arguments)?);
    let chunk_interval = Rc::new(Cell::new(Duration::from_micros(interval)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let local = tokio::task::LocalSet::new();
    let serve = async {
        let mut ports = Vec::new();
        for _ in 0..engines {
            let listener = listen()?;
            ports.push(listener.local_addr()?.port().to_string());
            let engine = Rc::new(Engine {
                answers: Rc::clone(&answers),
                counters: Counters::default(),
                chunk_interval: Rc::clone(&chunk_interval),
            });
            tokio::task::spawn_local(accept(listener, engine));
        }
        println!("{}", ports.join(","));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            () = stdin_ends() => {}
        }
        Ok(())
    };
    local
        .block_on(&runtime, serve)
        .map_err(|error: std::io::Error| error.to_string())
}

/// Whoever started this process is gone once its end of the pipe is closed.
async fn stdin_ends() {
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let end = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(end.is_ok());
    });
    drop(ended.await);
}

fn listen() -> Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, engine: Rc<Engine>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of descriptors, most likely: some will be free in a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let engine = Rc::clone(&engine);
        tokio::task::spawn_local(async move {
            add(&engine.counters.connections, 1);
            drop(serve_connection(socket, &engine).await);
        });
    }
}

async fn serve_connection(mut socket: TcpStream, engine: &Engine) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut input = Vec::with_capacity(4096);
    let mut output = Vec::with_capacity(4096);
    while let Some((head, route)) = read_head(&mut socket, &mut input).await? {
        let body = read_body(&mut socket, &mut input, head).await?;
        output.clear();
        match route {
            Route::Get(path) => {
                if let Some(micros) = path.strip_prefix("/mock/interval/") {
                    let micros = micros.parse().unwrap_or(0);
                    engine.chunk_interval.set(Duration::from_micros(micros));
                }
                engine
                    .answers
                    .write_get(&path, &engine.counters, &mut output);
                socket.write_all(&output).await?;
            }
            Route::Render => {
                write_render(&body, &mut output);
                socket.write_all(&output).await?;
            }
            Route::Missing => {
                engine.answers.write_missing(&mut output);
                socket.write_all(&output).await?;
            }
            Route::Generate => {
                add(&engine.counters.requests, 1);
                engine
                    .counters
                    .running
                    .set(engine.counters.running.get() + 1);
                let generation = Generation::of(&body);
                drop(body);
                let done = generate(&mut socket, engine, generation, &mut output).await;
                engine
                    .counters
                    .running
                    .set(engine.counters.running.get() - 1);
                if done.is_err() {
                    add(&engine.counters.aborts, 1);
                }
                done?;
            }
        }
        if head.close {
            break;
        }
    }
    Ok(())
}

enum Route {
    Get(String),
    Generate,
    Render,
    Missing,
}

/// The next request's head, taken out of `input`; None when the client has closed.
async fn read_head(socket: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<(Head, Route)>> {
    loop {
        if let Some((head, method, path)) = request_head(input).map_err(std::io::Error::other)? {
            let route = match (method, path) {
                ("GET", path) => Route::Get(path.to_owned()),
                ("POST", path) if path.ends_with("/render") => Route::Render,
                ("POST", "/v1/chat/completions" | "/v1/completions" | "/generate") => {
                    Route::Generate
                }
                _ => Route::Missing,
            };
            input.drain(..head.bytes);
            return Ok(Some((head, route)));
        }
        if socket.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// The body behind `head`; what follows it stays in `input`.
async fn read_body(socket: &mut TcpStream, input: &mut Vec<u8>, head: Head) -> Result<Vec<u8>> {
    if head.chunked {
        let mut body = Vec::new();
        let mut follower = ChunkFollower::new();
        // Requests are not pipelined, so nothing stands behind the body.
        while !follower
            .follow(input, &mut body)
            .map_err(std::io::Error::other)?
        {
            input.clear();
            fill(socket, input, body.len()).await?;
        }
        input.clear();
        return Ok(body);
    }
    let length = head.content_length.unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(std::io::Error::other("the body is too long"));
    }
    input.reserve(length.saturating_sub(input.len()));
    while input.len() < length {
        fill(socket, input, input.len()).await?;
    }
    let rest = input.split_off(length);
    Ok(std::mem::replace(input, rest))
}

async fn fill(socket: &mut TcpStream, input: &mut Vec<u8>, held: usize) -> Result<()> {
    if held > BODY_BYTES_MAX {
        return Err(std::io::Error::other("the body is too long"));
    }
    match socket.read_buf(input).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn generate(
    socket: &mut TcpStream,
    engine: &Engine,
    generation: Generation,
    output: &mut Vec<u8>,
) -> Result<()> {
    if !generation.stream {
        return socket.write_all(&engine.answers.json).await;
    }
    socket.write_all(&engine.answers.stream_head).await?;
    let started = Instant::now();
    let interval = engine.chunk_interval.get();
    for at in 0..generation.tokens {
        if at > 0 && !interval.is_zero() {
            wait_unless_closed(socket, started + interval * at).await?;
        }
        output.clear();
        write_chunk(&engine.answers.event, monotonic_ns(), output);
        if at + 1 == generation.tokens {
            output.extend_from_slice(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
        }
        socket.write_all(output).await?;
    }
    Ok(())
}

/// An error when the client goes away before `due`: that is an abort.
async fn wait_unless_closed(socket: &TcpStream, due: Instant) -> Result<()> {
    tokio::select! {
        biased;
        () = tokio::time::sleep_until(due) => Ok(()),
        readable = socket.readable() => {
            readable?;
            match socket.try_read(&mut [0; 1]) {
                Ok(0) => Err(std::io::ErrorKind::ConnectionAborted.into()),
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error),
                _ => {
                    tokio::time::sleep_until(due).await;
                    Ok(())
                }
            }
        }
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}
