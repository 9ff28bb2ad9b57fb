//! The watcher against scripted engines, with a thread in JavaScript's place.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver as Woken, channel};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

struct Rig {
    watcher: Watcher,
    woken: Woken<()>,
    engine: TcpListener,
    number: u32,
}

fn rig() -> Rig {
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = engine.local_addr().unwrap();
    let (wake, woken) = channel();
    let wake = Mutex::new(wake);
    let options = Options {
        names: vec!["load".to_owned()],
        beginnings: Vec::new(),
    };
    let call = Box::new(move || {
        let _ = wake.lock().unwrap().send(());
    });
    let mut watcher = Watcher::new(&options, call).unwrap();
    let number = watcher.open(EngineAddress {
        tls: false,
        host: address.ip().to_string(),
        port: address.port(),
        authority: address.to_string(),
        base_path: "/base".to_owned(),
        api_key: Some("key".to_owned()),
        ca_pem: None,
    });
    Rig {
        watcher,
        woken,
        engine,
        number,
    }
}

impl Rig {
    fn ask(&mut self, keep: Keep, ticket: u32, limit: Duration) {
        let path = "/path".to_owned();
        self.watcher.ask(self.number, keep, path, ticket, limit);
        self.watcher.send();
    }

    /// The next answer and its text.
    fn answer(&mut self) -> ([f64; 3], String) {
        let mut numbers = [0.0; ANSWER_NUMBERS];
        while self.watcher.take(&mut numbers) == 0 {
            self.woken.recv_timeout(LIMIT).unwrap();
        }
        let text = self.watcher.text().to_owned();
        ([numbers[0], numbers[1], numbers[2]], text)
    }

    fn accept(&self) -> TcpStream {
        self.engine.accept().unwrap().0
    }
}

/// Reads one request's head.
fn head(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_connection_is_kept_and_its_end_is_told() {
    let mut rig = rig();
    rig.ask(Keep::Lines, 1, LIMIT);
    let mut connection = rig.accept();
    let asked = head(&mut connection);
    assert!(asked.starts_with("GET /base/path HTTP/1.1\r\nhost: 127.0.0.1:"));
    assert!(asked.contains("\r\nauthorization: Bearer key\r\n"));
    let chunks = "4\r\nload\r\n9\r\n 1\nidle 2\r\n2\r\n\nx\r\n0\r\n\r\n";
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    connection.write_all(answer.as_bytes()).unwrap();
    assert_eq!(rig.answer(), ([0.0, 1.0, 200.0], "load 1\n".to_owned()));
    rig.ask(Keep::Lines, 2, LIMIT);
    head(&mut connection);
    let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno";
    connection.write_all(busy).unwrap();
    assert_eq!(rig.answer(), ([0.0, 2.0, 503.0], String::new()));
    drop(connection);
    assert_eq!(rig.answer(), ([2.0, 0.0, 0.0], String::new()));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let mut rig = rig();
    rig.ask(Keep::Nothing, 1, SHORT);
    let _silent = rig.accept();
    assert_eq!(rig.answer().0, [1.0, 1.0, 1.0], "timed out");
    rig.ask(Keep::Nothing, 2, LIMIT);
    rig.accept().write_all(b"SSH-2.0-x\r\n").unwrap();
    let (numbers, text) = rig.answer();
    assert_eq!((numbers, &*text), ([1.0, 2.0, 2.0], "not an HTTP answer"));
    rig.ask(Keep::Nothing, 3, LIMIT);
    let mut connection = rig.accept();
    head(&mut connection);
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    connection.write_all(half).unwrap();
    drop(connection);
    let (numbers, text) = rig.answer();
    assert_eq!(numbers, [1.0, 3.0, 0.0]);
    assert_eq!(text, "the connection was closed within the answer");
    rig.engine = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.ask(Keep::Nothing, 4, LIMIT);
    let (numbers, text) = rig.answer();
    assert_eq!((numbers, &*text), ([1.0, 4.0, 0.0], "ECONNREFUSED"));
}

#[test]
fn every_question_is_answered() {
    let mut rig = rig();
    let many = 1 + 1 + QUESTIONS_MAX as u32;
    rig.ask(Keep::Nothing, 0, LIMIT);
    let _silent = rig.accept();
    for ticket in 1..many {
        rig.ask(Keep::Nothing, ticket, LIMIT);
    }
    let (numbers, text) = rig.answer();
    assert_eq!(numbers, [1.0, f64::from(many - 1), 0.0]);
    assert_eq!(text, "too many questions wait for it");
    rig.number = 99;
    rig.ask(Keep::Everything, many, LIMIT);
    assert_eq!(rig.answer().1, "it is not watched");
    let answers = Arc::clone(&rig.watcher.answers);
    rig.watcher = Watcher::new(&Options::default(), Box::new(|| {})).unwrap();
    let mut numbers = [0.0; 16 * ANSWER_NUMBERS];
    let count = answers.take(&mut numbers, &mut String::new());
    let rows = numbers.chunks(ANSWER_NUMBERS).take(count);
    let mut told: Vec<u32> = rows.map(|row| row[1] as u32).collect();
    told.sort_unstable();
    assert_eq!(told, (0..many - 1).collect::<Vec<_>>());
}
