//! The encoder as a whole: threads, panics, engines that are asked, stopping.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use warmpath_core::layout::limits::REQUESTS_IN_FLIGHT_MAX;
use warmpath_core::layout::shared::{record, record_endpoint_arrays, request_memory};
use warmpath_core::layout::{NO_MATCH_REASONS, error};
use warmpath_core::matching::{Matcher, PromptMatch};
use warmpath_core::prepare::{Prepare, Route};
use warmpath_core::prompt::encode::{EngineAnswer, engine_body};
use warmpath_core::prompt::encoder::{Encoder, EncoderOptions, Listener};
use warmpath_core::prompt::models::parse_models;
use warmpath_core::prompt::record::RecordTable;
use warmpath_core::shared_words::SharedWords;
use warmpath_core::store::{Append, Handle, RequestStore};

const CAPACITY: usize = 2;
/// A prompt of this many blocks makes the matcher panic.
const PANICS_AT: usize = 13;

struct Picky;

impl Matcher for Picky {
    fn match_keys(&mut self, keys: &[u64], limit: usize, result: &mut PromptMatch) -> u32 {
        assert!(keys.len() >= limit);
        assert!(limit != PANICS_AT, "the test's own panic");
        result.usable_blocks.fill(limit as u32);
        result.raw_blocks.fill(1);
        result.speculative_blocks.fill(2);
        result.tier_blocks.fill(3);
        7
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<Handle>, Vec<String>)>>);

impl Listener for Told {
    fn engine_wanted(&self, handle: Handle, _route: Route, model: u32) {
        assert_eq!(model, 1);
        self.0.lock().unwrap().0.push(handle);
    }

    fn problem(&self, problem: String) {
        self.0.lock().unwrap().1.push(problem);
    }
}

struct Rig {
    store: Arc<RequestStore>,
    words: SharedWords,
    encoder: Encoder,
    told: Told,
}

impl Rig {
    fn new(threads: usize) -> Self {
        let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * CAPACITY;
        let count = request_memory::HEAD_BYTES / 4 + REQUESTS_IN_FLIGHT_MAX * record_words;
        // Leaked: threads of a failed test may still look at it.
        let memory: &'static mut [u32] = vec![0; count].leak();
        // SAFETY: leaked memory stays mapped.
        let words = unsafe { SharedWords::new(memory.as_ptr().cast(), 4 * count) }.unwrap();
        words.store(
            request_memory::ENDPOINT_CAPACITY,
            CAPACITY as u32,
            Ordering::Relaxed,
        );
        let store = Arc::new(RequestStore::new());
        let told = Told::default();
        let encoder = Encoder::start(EncoderOptions {
            store: Arc::clone(&store),
            records: RecordTable::open(words).unwrap(),
            secret: 5,
            threads,
            matchers: Box::new(|| Box::new(Picky)),
            listener: Box::new(told.clone()),
        });
        let rig = Self {
            store,
            words,
            encoder: encoder.unwrap(),
            told,
        };
        let models = r#"[
            {"index":0,"id":"m","pool":"p","adapter":"","implied":false,"tokenizer":null,"proven":false,"matched":true,"blockSize":4,"maxModelLen":100},
            {"index":1,"id":"asked","pool":"p","adapter":"","implied":false,"tokenizer":{"kind":"engine"},"proven":true,"matched":true,"blockSize":4,"maxModelLen":null},
            {"index":2,"id":"broken","pool":"p","adapter":"","implied":false,"tokenizer":{"kind":"configured","directory":"/nowhere"},"proven":true,"matched":true,"blockSize":4,"maxModelLen":null}]"#;
        let (done, wait) = mpsc::channel();
        let ready = Box::new(move || done.send(()).unwrap());
        rig.encoder.set_models(parse_models(models).unwrap(), ready);
        wait.recv().unwrap();
        rig
    }

    fn stored(&self, body: &str) -> Handle {
        let handle = self.store.open(body.len()).unwrap();
        assert_eq!(self.store.append(handle, body.as_bytes()), Append::Done);
        handle
    }

    fn word(&self, handle: Handle, at: usize) -> u32 {
        let record_words = record::HEAD_WORDS + record_endpoint_arrays::WORDS * CAPACITY;
        let records = request_memory::HEAD_BYTES / 4;
        let slot = handle.slot as usize;
        self.words
            .load(records + slot * record_words + at, Ordering::Acquire)
    }

    fn reason(&self, handle: Handle) -> Option<&'static str> {
        let reason = self.word(handle, record::NO_MATCH_REASON) as usize;
        reason.checked_sub(1).map(|at| NO_MATCH_REASONS[at])
    }

    fn encode_here(&self, body: &str) -> Handle {
        let handle = self.stored(body);
        let ready = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ready);
        let route = Route::Completions;
        self.encoder.prepare(
            handle,
            route,
            Box::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
        );
        assert_eq!(ready.load(Ordering::SeqCst), 1);
        handle
    }
}

fn ids(blocks: usize) -> String {
    let ids: Vec<String> = (0..blocks * 4 + 1).map(|id| id.to_string()).collect();
    format!(
        r#"{{"model":"m","stream":true,"priority":-2,"prompt":[{}]}}"#,
        ids.join(",")
    )
}

#[test]
fn a_short_body_is_encoded_where_it_is() {
    let rig = Rig::new(1);
    let handle = rig.encode_here(&ids(3));
    assert!(rig.encoder.is_encoded(handle));
    assert_eq!(rig.reason(handle), None);
    assert_eq!(rig.word(handle, record::GENERATION), handle.generation);
    assert_eq!(rig.word(handle, record::MODEL), 1);
    assert_eq!(rig.word(handle, record::FLAGS), 1);
    assert_eq!(rig.word(handle, record::PRIORITY).cast_signed(), -2);
    assert_eq!(rig.word(handle, record::PROMPT_TOKENS), 13);
    assert_eq!(rig.word(handle, record::TOTAL_BLOCKS), 3);
    assert_eq!(rig.word(handle, record::INDEX_EPOCH), 7);
    let arrays: Vec<u32> = (0..14)
        .map(|at| rig.word(handle, record::HEAD_WORDS + at))
        .collect();
    assert_eq!(arrays, [3, 3, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert_eq!(rig.store.with_keys(handle, <[u64]>::len), Some(3));
    // The slot's next request is not encoded yet, and then has nothing of this one.
    rig.store.release(handle);
    let next = rig.stored("{}");
    assert_eq!(next.slot, handle.slot);
    assert!(!rig.encoder.is_encoded(next));
    rig.encoder
        .encode_here(next, Route::Passthrough, Box::new(|| {}));
    assert_eq!(rig.reason(next), Some("not-a-prompt"));
    assert_eq!(rig.word(next, record::HEAD_WORDS), 0);
    assert_eq!(rig.store.with_keys(next, <[u64]>::len), Some(0));
    rig.encoder.stop();
}

/// A tokenizer.json of bytes, with or without a token so long that `tokenizers` 1.0 panics.
fn byte_tokenizer(name: &str, with_long_token: bool) -> std::path::PathBuf {
    let plain = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..);
    let mut extra = 256;
    let mut vocab = serde_json::Map::new();
    for byte in 0..256 {
        let code = if plain(byte) { byte } else { extra };
        extra += u32::from(!plain(byte));
        vocab.insert(char::from_u32(code).unwrap().to_string(), byte.into());
    }
    if with_long_token {
        vocab.insert("x".repeat(70_000), 256.into());
    }
    let level = serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    let directory = std::env::temp_dir().join(format!("wp-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("tokenizer.json"), json.to_string()).unwrap();
    directory
}

#[test]
fn a_slow_tokenizer_takes_the_place_of_a_fast_one_that_panics_and_holds_up_no_caller() {
    let rig = Rig::new(1);
    let directories =
        [("fast", false), ("slow", true)].map(|(id, long)| (id, byte_tokenizer(id, long)));
    let models = directories.iter().zip(1..).map(|((id, directory), index)| {
        serde_json::json!({
            "index": index, "id": id, "pool": "p", "adapter": "", "implied": false, "proven": true, "matched": true,
            "tokenizer": {"kind": "configured", "directory": directory}, "blockSize": 4, "maxModelLen": null,
        })
    });
    let models = serde_json::Value::from_iter(models).to_string();
    let (done, wait) = mpsc::channel();
    let ready = Box::new(move || done.send(()).unwrap());
    rig.encoder
        .set_models(parse_models(&models).unwrap(), ready);
    wait.recv().unwrap();
    let told = rig.told.0.lock().unwrap().1.join(" ");
    assert!(
        told.contains("wp-slow") && told.contains("it panicked"),
        "{told}"
    );
    assert!(!told.contains("wp-fast"), "{told}");
    for (model, bytes, is_here) in [
        ("fast", 20_000, true),
        ("slow", 1_000, true),
        ("slow", 3_000, false),
    ] {
        let text = "ab c".repeat(bytes / 4);
        let handle = rig.stored(&format!(r#"{{"model":"{model}","prompt":"{text}"}}"#));
        let (done, wait) = mpsc::channel();
        let ready = Box::new(move || done.send(std::thread::current().id()).unwrap());
        rig.encoder.prepare(handle, Route::Completions, ready);
        let by = wait.recv().unwrap();
        assert_eq!(
            by == std::thread::current().id(),
            is_here,
            "{model} {bytes}"
        );
        assert_eq!(rig.reason(handle), None);
        assert_eq!(rig.word(handle, record::PROMPT_TOKENS) as usize, bytes);
    }
    for (_, directory) in directories {
        std::fs::remove_dir_all(directory).unwrap();
    }
    rig.encoder.stop();
}

#[test]
fn refusals_keep_code_and_words() {
    let rig = Rig::new(1);
    let handle = rig.encode_here(r#"{"model":"m","prompt":[1.5]}"#);
    assert_eq!(rig.word(handle, record::STATE), 2);
    assert_eq!(
        rig.word(handle, record::ERROR_CODE),
        error::INVALID_BODY as u32
    );
    let bytes = rig.word(handle, record::PARAM_BYTES);
    let param: Vec<u8> = (0..3)
        .flat_map(|at| rig.word(handle, record::PARAM + at).to_le_bytes())
        .take(bytes as usize)
        .collect();
    assert_eq!(param, b"prompt[0]");
    let long = rig.encode_here(&ids(30));
    assert_eq!(
        rig.word(long, record::ERROR_CODE),
        error::CONTEXT_LENGTH_EXCEEDED as u32
    );
    rig.encoder.stop();
}

#[test]
fn a_panic_loses_no_request() {
    let rig = Rig::new(2);
    let handle = rig.encode_here(&ids(PANICS_AT));
    assert_eq!(rig.reason(handle), Some("encoder-failed"));
    assert_eq!(
        (
            rig.word(handle, record::MODEL),
            rig.word(handle, record::FLAGS)
        ),
        (1, 1)
    );
    assert_eq!(rig.encoder.stats().panics, 1);
    assert_eq!(
        rig.told.0.lock().unwrap().1.len(),
        2,
        "the broken model and the panic"
    );
    assert_eq!(rig.reason(rig.encode_here(&ids(3))), None);
    // On a thread of the pool: the thread lives on.
    for blocks in [PANICS_AT, PANICS_AT, PANICS_AT, 4] {
        let handle = rig.stored(&ids(blocks));
        let (done, wait) = mpsc::channel();
        let ready = Box::new(move || done.send(()).unwrap());
        rig.encoder.submit(handle, Route::Completions, ready);
        wait.recv().unwrap();
        assert_eq!(rig.reason(handle).is_some(), blocks == PANICS_AT);
    }
    rig.encoder.stop();
}

#[test]
fn many_requests_over_several_threads_are_all_encoded_once() {
    let rig = Rig::new(3);
    let handles: Vec<Handle> = (0..500).map(|at| rig.stored(&ids(1 + at % 12))).collect();
    rig.store.release(handles[10]);
    let (done, wait) = mpsc::channel();
    for handle in &handles {
        let done = done.clone();
        let ready = Box::new(move || done.send(()).unwrap());
        rig.encoder.submit(*handle, Route::Completions, ready);
    }
    drop(done);
    assert_eq!(wait.iter().count(), handles.len());
    for (at, handle) in handles.iter().enumerate().filter(|(at, _)| *at != 10) {
        assert_eq!(
            rig.word(*handle, record::TOTAL_BLOCKS) as usize,
            1 + at % 12
        );
    }
    rig.encoder.stop();
}

#[test]
fn an_engine_is_asked_once_and_its_answer_ends_every_wait() {
    let rig = Rig::new(1);
    let handle = rig.stored(r#"{"model":"asked","prompt":"text","x":1}"#);
    let ready = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let ready = Arc::clone(&ready);
        let count = Box::new(move || {
            ready.fetch_add(1, Ordering::SeqCst);
        });
        rig.encoder.encode_here(handle, Route::Completions, count);
    }
    assert_eq!(ready.load(Ordering::SeqCst), 0);
    assert_eq!(rig.told.0.lock().unwrap().0, [handle]);
    let body = rig.store.body(handle).unwrap();
    assert_eq!(
        engine_body(&body).unwrap(),
        r#"{"model":"asked","prompt":"text"}"#
    );
    let ids: Vec<u32> = (0..9).collect();
    let answer = EngineAnswer::Ids {
        ids: &ids,
        micros: 40,
    };
    rig.encoder.answer(handle, Route::Completions, answer);
    assert_eq!(ready.load(Ordering::SeqCst), 2);
    assert_eq!(rig.word(handle, record::TOKENIZE_MICROS), 40);
    assert_eq!(
        (rig.reason(handle), rig.word(handle, record::TOTAL_BLOCKS)),
        (None, 2)
    );
    let failed = rig.stored(r#"{"model":"asked","prompt":"text"}"#);
    rig.encoder
        .encode_here(failed, Route::Completions, Box::new(|| {}));
    rig.encoder
        .answer(failed, Route::Completions, EngineAnswer::Failed);
    assert_eq!(rig.reason(failed), Some("encoder-failed"));
    rig.encoder.stop();
}

#[test]
fn stopping_ends_every_wait_and_every_write() {
    let rig = Rig::new(1);
    let asked = rig.stored(r#"{"model":"asked","prompt":"text"}"#);
    let ready = Arc::new(AtomicUsize::new(0));
    let count = || {
        let ready = Arc::clone(&ready);
        Box::new(move || {
            ready.fetch_add(1, Ordering::SeqCst);
        })
    };
    rig.encoder.encode_here(asked, Route::Completions, count());
    let queued: Vec<Handle> = (0..200).map(|_| rig.stored(&ids(9))).collect();
    for handle in &queued {
        rig.encoder.submit(*handle, Route::Completions, count());
    }
    rig.encoder.stop();
    assert_eq!(ready.load(Ordering::SeqCst), 201);
    let late = rig.stored(&ids(3));
    rig.encoder.prepare(late, Route::Completions, count());
    rig.encoder.submit(late, Route::Completions, count());
    assert_eq!(ready.load(Ordering::SeqCst), 203);
    assert!(!rig.encoder.is_encoded(late));
    rig.encoder.stop();
}
