//! One client connection: writes a request, follows the answer to its exact end, and stamps what
//! arrives.

use std::cell::RefCell;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock::monotonic_ns;
use crate::http::{ChunkFollower, Head, response_head};
use crate::report::Tally;

/// What precedes the sender's time in a chunk.
const STAMP: &[u8] = b"\"sent_ns\":\"";
const STAMP_DIGITS: usize = 20;

/// A request's bytes; the body changes, the head only in its length.
pub struct Request {
    head: String,
    bytes: Vec<u8>,
}

impl Request {
    pub fn new(path: &str, port: u16) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: warmpath-load/1\r\n\
             accept: */*\r\nauthorization: Bearer sk-0123456789abcdef0123\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        Self {
            head,
            bytes: Vec::new(),
        }
    }

    pub fn set_body(&mut self, body: &str) {
        self.bytes.clear();
        self.bytes.extend_from_slice(self.head.as_bytes());
        self.bytes
            .extend_from_slice(body.len().to_string().as_bytes());
        self.bytes.extend_from_slice(b"\r\n\r\n");
        self.bytes.extend_from_slice(body.as_bytes());
    }
}

pub struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    payload: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            input: Vec::with_capacity(4096),
            payload: Vec::new(),
        })
    }

    /// Sends and reads one answer into `tally`; false when the connection is not to be used again.
    pub async fn exchange(
        &mut self,
        request: &Request,
        started_ns: u64,
        tally: &RefCell<Tally>,
    ) -> Result<bool, String> {
        let sent = self.socket.write_all(&request.bytes).await;
        sent.map_err(|error| format!("write: {}", error.kind()))?;
        self.input.clear();
        let (head, status) = loop {
            self.read().await?;
            if let Some(found) = response_head(&self.input)? {
                break found;
            }
        };
        if head.chunked {
            self.follow_chunks(head, started_ns, tally).await?;
        } else {
            let length = head.content_length.ok_or("an answer without a length")?;
            while self.input.len() < head.bytes + length {
                self.read().await?;
            }
        }
        tally
            .borrow_mut()
            .answered(status, monotonic_ns().saturating_sub(started_ns));
        Ok(!head.close)
    }

    async fn follow_chunks(
        &mut self,
        head: Head,
        started_ns: u64,
        tally: &RefCell<Tally>,
    ) -> Result<(), String> {
        let mut chunks = 0;
        let mut follower = ChunkFollower::new();
        self.payload.clear();
        self.input.drain(..head.bytes);
        loop {
            let now = monotonic_ns();
            let done = follower.follow(&self.input, &mut self.payload)?;
            let more = self.note_stamps(now, &mut tally.borrow_mut());
            if chunks == 0 && more > 0 {
                tally
                    .borrow_mut()
                    .first_chunk(now.saturating_sub(started_ns));
            }
            chunks += more;
            if done {
                return Ok(());
            }
            self.input.clear();
            self.read().await?;
        }
    }

    /// Takes whole stamps out of the payload and counts them; the start of one stays for the next
    /// read.
    fn note_stamps(&mut self, now_ns: u64, tally: &mut Tally) -> u64 {
        let mut found = 0;
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(self.payload.get(from..).unwrap_or(&[]), STAMP) {
            let digits_at = from + at + STAMP.len();
            let Some(digits) = self.payload.get(digits_at..digits_at + STAMP_DIGITS) else {
                break;
            };
            let decimal = |number: u64, byte: &u8| number.wrapping_mul(10) + u64::from(byte & 15);
            let sent_ns = digits.iter().fold(0, decimal);
            tally.chunk(now_ns.saturating_sub(sent_ns));
            from = digits_at + STAMP_DIGITS;
            found += 1;
        }
        tally.read();
        let kept = (STAMP.len() + STAMP_DIGITS).min(self.payload.len() - from);
        self.payload.drain(..self.payload.len() - kept);
        found
    }

    async fn read(&mut self) -> Result<(), String> {
        match self.socket.read_buf(&mut self.input).await {
            Ok(0) => Err("closed early".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("read: {}", error.kind())),
        }
    }
}
