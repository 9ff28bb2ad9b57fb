//! What the mock engine says: the routes that routers ask before they accept an engine, in the form
//! vLLM gives them, and generated text.

use std::io::Write;

use crate::arguments::Arguments;
use crate::mock::Counters;

/// Stands in the event template where the time goes.
const STAMP: &str = "00000000000000000000";

pub struct Answers {
    model: String,
    metrics_bytes: usize,
    gpu_blocks: u64,
    /// A whole response to a request that is not streamed.
    pub json: Vec<u8>,
    pub stream_head: Vec<u8>,
    /// One event with an empty stamp.
    pub event: Vec<u8>,
}

impl Answers {
    pub fn new(arguments: &Arguments) -> Result<Self, String> {
        let model = arguments.text("model", "bench");
        let answer_bytes = arguments.number("answer-bytes", 1024, 300, 1 << 24)? as usize;
        let chunk_bytes = arguments.number("chunk-bytes", 240, 220, 1 << 16)? as usize;
        let json = format!(
            "{{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"{model}\",\
             \"usage\":{{\"prompt_tokens\":256,\"completion_tokens\":1,\"total_tokens\":257}},\
             \"choices\":[{{\"index\":0,\"finish_reason\":\"length\",\"message\":{{\"role\":\"assistant\",\"content\":\"\"}}}}]}}"
        );
        let event = format!(
            "data: {{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
             \"model\":\"{model}\",\"sent_ns\":\"{STAMP}\",\"choices\":[{{\"index\":0,\"finish_reason\":null,\
             \"delta\":{{\"content\":\"\"}}}}]}}\n\n"
        );
        let mut response = Vec::new();
        write_json(&padded(&json, answer_bytes), &mut response);
        Ok(Self {
            model: model.to_owned(),
            metrics_bytes: arguments.number("metrics-bytes", 4096, 0, 1 << 20)? as usize,
            gpu_blocks: arguments.number("gpu-blocks", 65_536, 1, 1 << 26)?,
            json: response,
            stream_head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                transfer-encoding: chunked\r\n\r\n"
                .to_vec(),
            event: padded(&event, chunk_bytes).into_bytes(),
        })
    }

    pub fn write_get(&self, path: &str, counters: &Counters, out: &mut Vec<u8>) {
        match path.split('?').next().unwrap_or(path) {
            "/health" | "/ping" => {
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            }
            "/v1/models" => write_json(
                &format!(
                    "{{\"object\":\"list\",\"data\":[{{\"id\":\"{0}\",\"object\":\"model\",\"created\":1700000000,\
                     \"owned_by\":\"vllm\",\"root\":\"{0}\",\"parent\":null,\"max_model_len\":131072}}]}}",
                    self.model
                ),
                out,
            ),
            "/version" => write_json("{\"version\":\"0.32.0\"}", out),
            "/metrics" => write_response("text/plain; version=0.0.4", &self.metrics(counters), out),
            path if path.starts_with("/mock/interval/") => write_json("{}", out),
            "/mock/stats" => write_json(
                &format!(
                    "{{\"requests\":{},\"running\":{},\"aborts\":{},\"connections\":{}}}",
                    counters.requests.get(),
                    counters.running.get(),
                    counters.aborts.get(),
                    counters.connections.get()
                ),
                out,
            ),
            _ => self.write_missing(out),
        }
    }

    /// A route the engine does not have; so has it no /tokenize, and its tokenizer is taken on trust.
    pub fn write_missing(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\r\n\
              {\"detail\":\"Not Found\"}",
        );
    }

    fn metrics(&self, counters: &Counters) -> String {
        let labels = format!("{{engine=\"0\",model_name=\"{}\"}}", self.model);
        let mut text = format!(
            "process_start_time_seconds 1.7e+09\n\
             vllm:num_requests_running{labels} {}.0\n\
             vllm:num_requests_waiting{labels} 0.0\n\
             vllm:kv_cache_usage_perc{labels} 0.1\n\
             vllm:cache_config_info{{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"{}\"}} 1.0\n",
            counters.running.get(),
            self.gpu_blocks
        );
        let mut bucket = 0;
        while text.len() < self.metrics_bytes {
            text.push_str(&format!(
                "vllm:time_to_first_token_seconds_bucket{{engine=\"0\",le=\"{bucket}.5\",model_name=\"{}\"}} 17.0\n",
                self.model
            ));
            bucket += 1;
        }
        text
    }
}

/// What a generation request asks for; read by search, because the mock must stay cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    pub stream: bool,
    pub tokens: u32,
}

impl Generation {
    pub fn of(body: &[u8]) -> Self {
        let value = |name: &[u8]| {
            let at = memchr::memmem::rfind(body, name)? + name.len();
            Some(body.get(at..)?.trim_ascii_start())
        };
        // Some routers write the newer name for the older one.
        let limit = value(b"\"max_tokens\":").or_else(|| value(b"\"max_completion_tokens\":"));
        let digits = limit.map(leading_number);
        Self {
            stream: value(b"\"stream\":").is_some_and(|rest| rest.starts_with(b"true")),
            tokens: digits.unwrap_or(1).max(1),
        }
    }
}

fn leading_number(text: &[u8]) -> u32 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).take(9);
    digits.fold(0, |number, byte| number * 10 + u32::from(byte - b'0'))
}

/// Appends one chunk of a stream, sent at `sent_ns`.
pub fn write_chunk(event: &[u8], sent_ns: u64, out: &mut Vec<u8>) {
    let written = write!(out, "{:x}\r\n", event.len());
    debug_assert!(written.is_ok());
    let start = out.len();
    out.extend_from_slice(event);
    let stamp = memchr::memmem::find(event, STAMP.as_bytes()).unwrap_or(0) + start;
    if let Some(mut place) = out.get_mut(stamp..stamp + STAMP.len()) {
        let stamped = write!(place, "{sent_ns:020}");
        debug_assert!(stamped.is_ok());
    }
    out.extend_from_slice(b"\r\n");
}

/// Answers `/v1/chat/completions/render` with as many ids as a tokenizer would give, equal for
/// equal prefixes; routers that ask for them read a list of the real length.
pub fn write_render(body: &[u8], out: &mut Vec<u8>) {
    let mut ids = String::with_capacity(body.len() * 2);
    ids.push_str("{\"token_ids\":[");
    for (at, piece) in body.chunks(4).enumerate() {
        let word = piece
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        if at > 0 {
            ids.push(',');
        }
        ids.push_str(&(word.wrapping_mul(0x9e37_79b9) % 150_000).to_string());
    }
    ids.push_str("]}");
    write_json(&ids, out);
}

fn write_json(text: &str, out: &mut Vec<u8>) {
    write_response("application/json", text, out);
}

fn write_response(kind: &str, text: &str, out: &mut Vec<u8>) {
    let written = write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    debug_assert!(written.is_ok());
}

/// Fills the empty `content` of a template until the whole has `bytes` bytes.
fn padded(template: &str, bytes: usize) -> String {
    const CONTENT: &str = "\"content\":\"";
    let at = template.find(CONTENT).map_or(0, |at| at + CONTENT.len());
    let (head, tail) = template.split_at(at);
    let words = "the answer is in the cache ";
    let filler: String = words
        .chars()
        .cycle()
        .take(bytes.saturating_sub(template.len()))
        .collect();
    format!("{head}{filler}{tail}")
}

#[cfg(test)]
mod tests {
    use super::{Answers, Generation, write_chunk, write_render};
    use crate::arguments::Arguments;
    use crate::mock::{Counters, OPTIONS};

    fn answers(line: &str) -> Answers {
        let words = line.split(' ').map(str::to_owned);
        Answers::new(&Arguments::parse(OPTIONS, words).unwrap()).unwrap()
    }

    #[test]
    fn chunks_are_as_long_as_asked_and_carry_the_time() {
        let own = answers("--chunk-bytes 256 --answer-bytes 700");
        let mut out = Vec::new();
        write_chunk(&own.event, 1234, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("100\r\ndata: {"), "{text}");
        assert!(
            text.contains("\"sent_ns\":\"00000000000000001234\""),
            "{text}"
        );
        assert_eq!(text.len(), 5 + 256 + 2);
        assert!(
            String::from_utf8(own.json)
                .unwrap()
                .contains("content-length: 700\r\n")
        );
    }

    #[test]
    fn a_request_is_read_wherever_its_fields_stand() {
        let read = |body: &str| Generation::of(body.as_bytes());
        let all = Generation {
            stream: true,
            tokens: 12,
        };
        assert_eq!(read("{\"max_tokens\": 12, \"stream\": true}"), all);
        assert_eq!(read("{\"stream\":true,\"x\":1,\"max_tokens\":12}"), all);
        let newer = "{\"stream\":true,\"max_completion_tokens\":12}";
        assert_eq!(read(newer), all);
        let none = Generation {
            stream: false,
            tokens: 1,
        };
        assert_eq!(read("{\"content\":\"\\\"stream\\\":true\"}"), none);
    }

    #[test]
    fn metrics_are_padded_and_tell_the_block_size() {
        let text = answers("--metrics-bytes 30000").metrics(&Counters::default());
        assert!((30_000..30_200).contains(&text.len()));
        assert!(text.contains("block_size=\"16\""));
    }

    #[test]
    fn rendering_gives_equal_prefixes_equal_ids() {
        let ids = |body: &str| {
            let mut out = Vec::new();
            write_render(body.as_bytes(), &mut out);
            String::from_utf8(out)
                .unwrap()
                .split_once('[')
                .unwrap()
                .1
                .to_owned()
        };
        let (one, other) = (ids("abcdefgh1234"), ids("abcdefgh5678"));
        assert_ne!(one, other);
        assert_eq!(
            one.split(',').take(2).collect::<Vec<_>>(),
            other.split(',').take(2).collect::<Vec<_>>()
        );
    }
}
