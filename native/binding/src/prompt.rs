//! The prompt encoder for JavaScript. Records are in shared memory; what crosses are handles and
//! numbers. Whatever ends on another thread is put into one queue, and JavaScript is woken once for
//! all that is in it, so a request costs no call of its own.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{
    AsyncTask, BigInt, Buffer, Error, Function, Result, Status, Uint8Array, Uint32Array,
};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Task};
use napi_derive::napi;
use warmpath_core::clock::now_ms;
use warmpath_core::index::{SharedMatcher, SpeculativeTable};
use warmpath_core::matching::Matcher;
use warmpath_core::prepare::Route;
use warmpath_core::prompt::encode::{EngineAnswer, engine_body};
use warmpath_core::prompt::encoder::{Encoder, EncoderOptions, Listener};
use warmpath_core::prompt::models::parse_models;
use warmpath_core::prompt::record::RecordTable;
use warmpath_core::store::{Handle, RequestStore};

use crate::common::HeldMemory;
use crate::registry::Local;
use crate::store::STORES;

/// Bodies of a batch that JavaScript's thread encodes itself when nothing waits.
const HERE_BYTES_MAX: usize = 16 * 1024;
/// Problems kept for the log; more at a time are the same problem.
const PROBLEMS_MAX: usize = 16;

/// Model index beside the route in one word of an event.
const MODEL_SHIFT: u32 = 8;

/// What an event says: its first word, and what the others are.
#[derive(Clone, Copy)]
enum Event {
    /// (ticket)
    BatchDone = 1,
    /// (slot, generation, route and model)
    EngineWanted = 2,
    /// (ticket)
    ModelsSet = 3,
    /// (ticket)
    Tokenized = 4,
    /// ()
    Problems = 5,
}

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;
type TokenResult = std::result::Result<Option<Vec<u32>>, String>;

/// What waits for JavaScript.
struct Events {
    queue: Mutex<VecDeque<[u32; 4]>>,
    problems: Mutex<Vec<String>>,
    tokenized: Mutex<HashMap<u32, TokenResult>>,
    /// Whether a wake-up is under way.
    waking: AtomicBool,
    wake: Wake,
}

impl Events {
    fn push(&self, event: Event, words: [u32; 3]) {
        let [a, b, c] = words;
        lock(&self.queue).push_back([event as u32, a, b, c]);
        if !self.waking.swap(true, SeqCst) {
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

struct EventListener(Arc<Events>);

impl Listener for EventListener {
    fn engine_wanted(&self, handle: Handle, route: Route, model: u32) {
        let words = [
            handle.slot,
            handle.generation,
            route as u32 | model << MODEL_SHIFT,
        ];
        self.0.push(Event::EngineWanted, words);
    }

    fn problem(&self, problem: String) {
        let mut problems = lock(&self.0.problems);
        if problems.len() < PROBLEMS_MAX && !problems.contains(&problem) {
            problems.push(problem);
            drop(problems);
            self.0.push(Event::Problems, [0; 3]);
        }
    }
}

struct JsEncoder {
    encoder: Arc<Encoder>,
    events: Arc<Events>,
    store: Arc<RequestStore>,
    speculative: SpeculativeTable,
    records: RecordTable,
    _memory: [HeldMemory; 2],
}

thread_local! {
    static ENCODERS: Local<JsEncoder> = const { Local::new("prompt encoder") };
}

/// The encoder other native parts prepare requests with.
pub fn encoder(id: u32) -> Result<Arc<Encoder>> {
    with(id, |object| Ok(Arc::clone(&object.encoder)))
}

fn with<R>(id: u32, act: impl FnOnce(&mut JsEncoder) -> Result<R>) -> Result<R> {
    ENCODERS.with(|encoders| encoders.with(id, act))
}

/// Starts an encoder. `wake` is called without arguments when `prompt_drain` has something.
#[napi(catch_unwind)]
pub fn prompt_create(
    store: u32,
    index: Uint8Array,
    requests: Uint8Array,
    secret: BigInt,
    threads: u32,
    wake: Function<(), ()>,
) -> Result<u32> {
    let wake = wake.build_threadsafe_function().weak::<true>().build()?;
    let events = Arc::new(Events {
        queue: Mutex::default(),
        problems: Mutex::default(),
        tokenized: Mutex::default(),
        waking: AtomicBool::new(false),
        wake,
    });
    let index = HeldMemory::new(index)?;
    let requests = HeldMemory::new(requests)?;
    let (index_words, request_words) = (index.words, requests.words);
    let records = RecordTable::open(request_words)
        .ok_or_else(|| Error::from_reason("the buffer is no request memory"))?;
    // Opened once here, so that a wrong index is an error now and not on another thread.
    let first = SharedMatcher::new(index_words, request_words).map_err(Error::from_reason)?;
    let first = Mutex::new(Some(first));
    let matchers = Box::new(move || -> Box<dyn Matcher> {
        if let Some(matcher) = lock(&first).take() {
            return Box::new(matcher);
        }
        match SharedMatcher::new(index_words, request_words) {
            Ok(matcher) => Box::new(matcher),
            Err(problem) => unreachable!("an index that could be opened: {problem}"),
        }
    });
    let store = STORES.get(store)?;
    let speculative = SpeculativeTable::open(request_words).map_err(Error::from_reason)?;
    let encoder = Encoder::start(EncoderOptions {
        store: Arc::clone(&store),
        records,
        secret: secret.get_u64().1,
        threads: threads as usize,
        matchers,
        listener: Box::new(EventListener(Arc::clone(&events))),
    });
    let object = JsEncoder {
        encoder: Arc::new(encoder.map_err(Error::from_reason)?),
        events,
        store,
        speculative,
        records,
        _memory: [index, requests],
    };
    Ok(ENCODERS.with(|encoders| encoders.insert(object)))
}

/// Takes a set of models as JSON; `ModelsSet` follows when it is in use.
#[napi(catch_unwind)]
pub fn prompt_set_models(encoder: u32, models: String, ticket: u32) -> Result<()> {
    with(encoder, |object| {
        let parsed = parse_models(&models).map_err(Error::from_reason)?;
        let events = Arc::clone(&object.events);
        let ready = move || events.push(Event::ModelsSet, [ticket, 0, 0]);
        object.encoder.set_models(parsed, Box::new(ready));
        Ok(())
    })
}

/// Encodes requests given as pairs (slot, generation). True when all records can be read already;
/// else `BatchDone` follows.
#[napi(catch_unwind)]
pub fn prompt_submit(encoder: u32, handles: &[u32], route: u32, ticket: u32) -> Result<bool> {
    let route = route_of(route)?;
    with(encoder, |object| {
        let waiting: Vec<Handle> = handles
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                &[slot, generation] => Some(Handle { slot, generation }),
                _ => None,
            })
            .collect();
        let here = object.encoder.is_idle() && bytes_of(object, &waiting) <= HERE_BYTES_MAX;
        // One more than there are requests: the last to end, this call included, sees the last.
        let left = Arc::new(AtomicUsize::new(waiting.len() + 1));
        for handle in waiting {
            let left = Arc::clone(&left);
            let events = Arc::clone(&object.events);
            let ready = Box::new(move || {
                if left.fetch_sub(1, SeqCst) == 1 {
                    events.push(Event::BatchDone, [ticket, 0, 0]);
                }
            });
            if here {
                object.encoder.encode_here(handle, route, ready);
            } else {
                object.encoder.submit(handle, route, ready);
            }
        }
        Ok(left.fetch_sub(1, SeqCst) == 1)
    })
}

fn bytes_of(object: &JsEncoder, handles: &[Handle]) -> usize {
    let bodies = handles
        .iter()
        .filter_map(|handle| object.store.body(*handle));
    bodies.map(|body| body.len()).sum()
}

/// The part of a body that its model's engine is asked about; null when the handle is stale.
#[napi(catch_unwind)]
pub fn prompt_engine_body(encoder: u32, slot: u32, generation: u32) -> Result<Option<Buffer>> {
    with(encoder, |object| {
        let body = object.store.body(Handle { slot, generation });
        let asked = body.and_then(|body| engine_body(&body));
        Ok(asked.map(|text| Buffer::from(text.into_bytes())))
    })
}

/// Expects the request's blocks from the number `from` on at an endpoint within moments.
#[napi(catch_unwind)]
pub fn prompt_speculate(
    encoder: u32,
    slot: u32,
    generation: u32,
    endpoint: u32,
    from: u32,
) -> Result<()> {
    with(encoder, |object| {
        let handle = Handle { slot, generation };
        let add = |keys: &[u64]| {
            let new = keys.get(from as usize..).unwrap_or_default();
            object.speculative.add(endpoint, new, now_ms());
        };
        object.store.with_keys(handle, add);
        Ok(())
    })
}

/// No longer expects them.
#[napi(catch_unwind)]
pub fn prompt_withdraw(
    encoder: u32,
    slot: u32,
    generation: u32,
    endpoint: u32,
    from: u32,
) -> Result<()> {
    with(encoder, |object| {
        let handle = Handle { slot, generation };
        let withdraw = |keys: &[u64]| {
            let new = keys.get(from as usize..).unwrap_or_default();
            object.speculative.withdraw(endpoint, new);
        };
        object.store.with_keys(handle, withdraw);
        Ok(())
    })
}

/// Looks anew for what is expected of the request's blocks, now that others have been sent on.
#[napi(catch_unwind)]
pub fn prompt_renew_expected(encoder: u32, slot: u32, generation: u32) -> Result<()> {
    with(encoder, |object| {
        let handle = Handle { slot, generation };
        let (records, expected) = (object.records, object.speculative);
        let renew = |keys: &[u64]| records.renew_expected(handle, keys, &expected, now_ms());
        object.store.with_keys(handle, renew);
        Ok(())
    })
}

/// Ends what `EngineWanted` began: the engine's ids, or none when it did not answer.
#[napi(catch_unwind)]
pub fn prompt_answer(
    encoder: u32,
    slot: u32,
    generation: u32,
    route: u32,
    ids: Option<Uint32Array>,
    micros: u32,
) -> Result<()> {
    let route = route_of(route)?;
    let handle = Handle { slot, generation };
    with(encoder, |object| {
        let answer = match &ids {
            Some(ids) => EngineAnswer::Ids { ids, micros },
            None => EngineAnswer::Failed,
        };
        object.encoder.answer(handle, route, answer);
        Ok(())
    })
}

/// Renders and tokenises a body; `Tokenized` follows, then `prompt_take_tokens` gives the result.
#[napi(catch_unwind)]
pub fn prompt_tokenize(
    encoder: u32,
    model: u32,
    route: u32,
    body: &[u8],
    ticket: u32,
) -> Result<()> {
    let route = route_of(route)?;
    with(encoder, |object| {
        let events = Arc::clone(&object.events);
        let done = Box::new(move |result: TokenResult| {
            lock(&events.tokenized).insert(ticket, result);
            events.push(Event::Tokenized, [ticket, 0, 0]);
        });
        object.encoder.tokenize(model, route, body.to_vec(), done);
        Ok(())
    })
}

/// The ids of a ticket, null when the model's engine must be asked; throws why there are none.
#[napi(catch_unwind)]
pub fn prompt_take_tokens(encoder: u32, ticket: u32) -> Result<Option<Uint32Array>> {
    with(encoder, |object| {
        let unknown = || Err("no such ticket".to_owned());
        let result = lock(&object.events.tokenized).remove(&ticket);
        let ids = result.unwrap_or_else(unknown).map_err(Error::from_reason)?;
        Ok(ids.map(Uint32Array::new))
    })
}

/// Everything that happened since the last call, four words each.
#[napi(catch_unwind)]
pub fn prompt_drain(encoder: u32) -> Result<Uint32Array> {
    with(encoder, |object| {
        // Cleared first: what is pushed from now on wakes JavaScript again.
        object.events.waking.store(false, SeqCst);
        let events = std::mem::take(&mut *lock(&object.events.queue));
        Ok(Uint32Array::new(events.into_iter().flatten().collect()))
    })
}

/// Problems told since the last call.
#[napi(catch_unwind)]
pub fn prompt_problems(encoder: u32) -> Result<Vec<String>> {
    with(encoder, |object| {
        Ok(std::mem::take(&mut *lock(&object.events.problems)))
    })
}

/// Threads, panics, jobs waiting, chunks found in prefix stores, chunks looked up.
#[napi(catch_unwind)]
pub fn prompt_stats(encoder: u32) -> Result<Vec<f64>> {
    with(encoder, |object| {
        let stats = object.encoder.stats();
        Ok(vec![
            stats.threads as f64,
            stats.panics as f64,
            stats.queued as f64,
            stats.chunks_found as f64,
            stats.chunks_looked_up as f64,
        ])
    })
}

pub struct Stop(Arc<Encoder>);

impl Task for Stop {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        self.0.stop();
        Ok(())
    }

    fn resolve(&mut self, _env: Env, _output: ()) -> Result<()> {
        Ok(())
    }
}

/// Ends the encoder's threads; the promise resolves when they have ended.
#[napi(catch_unwind)]
pub fn prompt_stop(encoder: u32) -> Result<AsyncTask<Stop>> {
    with(encoder, |object| {
        Ok(AsyncTask::new(Stop(Arc::clone(&object.encoder))))
    })
}

/// Forgets an encoder that was stopped, and the memory it held.
#[napi(catch_unwind)]
pub fn prompt_close(encoder: u32) {
    ENCODERS.with(|encoders| drop(encoders.remove(encoder)));
}

fn route_of(route: u32) -> Result<Route> {
    match route {
        0 => Ok(Route::ChatCompletions),
        1 => Ok(Route::Completions),
        2 => Ok(Route::Passthrough),
        4 => Ok(Route::VllmGenerate),
        5 => Ok(Route::SglangGenerate),
        6 => Ok(Route::Messages),
        7 => Ok(Route::Responses),
        _ => Err(Error::from_reason("a route that is not encoded")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
