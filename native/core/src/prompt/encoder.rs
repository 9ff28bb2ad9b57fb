//! The prompt encoder: models, a pool of threads with a bounded queue, and the choice of where a
//! request is encoded. Short bodies are encoded by the thread that has them, because handing one
//! over costs as much as the work; long ones, which could hold that thread up, go to the pool.
//! A panic inside an encoding loses no request: its record says `encoder-failed`.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use super::encode::{Context, EngineAnswer, Progress, Workspace, encode_body, token_ids};
use super::fallback::fallback_outcome;
use super::json_tape::Tape;
use super::models::{ModelDescriptor, ModelLoader, Models};
use super::no_match::NoMatch;
use super::prefix_store::Keyed;
use super::record::{Outcome, RecordTable};
use crate::layout::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::matching::{Matcher, PromptMatch};
use crate::prepare::{Prepare, Ready, Route};
use crate::store::{Handle, RequestStore};

/// Bodies up to this are encoded where they are. Unseen text of this length takes about half a
/// millisecond and the worst there is 5 ms, which a stream on the same thread does not notice.
const HERE_BYTES_MAX: usize = 48 * 1024;
/// Jobs that wait; beyond it the thread that has one more does it itself.
const QUEUED_MAX: usize = REQUESTS_IN_FLIGHT_MAX;
/// Workspaces kept for threads outside the pool.
const SPACES_KEPT: usize = 64;

/// Makes one thread's matcher.
pub type MatcherFactory = Box<dyn Fn() -> Box<dyn Matcher> + Send + Sync>;
/// Given the ids of a body, null when the model's engine must be asked, or why there are none.
pub type Tokenized = Box<dyn FnOnce(Result<Option<Vec<u32>>, String>) + Send>;

/// Who is told what the encoder cannot do alone. Called on any thread; must return at once.
pub trait Listener: Send + Sync {
    /// The engine of the request's model must be asked for its token ids; `answer` ends it.
    fn engine_wanted(&self, handle: Handle, route: Route, model: u32);
    /// Why a prompt could not be encoded or a tokenizer not be loaded.
    fn problem(&self, problem: String);
}

pub struct EncoderOptions {
    pub store: Arc<RequestStore>,
    pub records: RecordTable,
    /// Seed of every request key.
    pub secret: u64,
    pub threads: usize,
    pub matchers: MatcherFactory,
    pub listener: Box<dyn Listener>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderStats {
    pub threads: usize,
    pub panics: u64,
    pub queued: usize,
    pub chunks_found: u64,
    pub chunks_looked_up: u64,
}

enum Job {
    Encode(Handle, Route, Ready),
    Tokenize(u32, Route, Vec<u8>, Tokenized),
    SetModels(Vec<ModelDescriptor>, Ready),
}

/// Jobs for one kind of thread.
#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    changed: Condvar,
}

struct Shared {
    options: EncoderOptions,
    models: RwLock<Arc<Models>>,
    spaces: Mutex<Vec<Workspace>>,
    /// Requests whose engine is being asked.
    asked: Mutex<HashMap<Handle, Vec<Ready>>>,
    prompts: Queue,
    loads: Queue,
    stopping: AtomicBool,
    /// Held for reading while shared memory may be touched: `stop` waits for it.
    active: RwLock<()>,
    panics: AtomicU64,
    found: AtomicU64,
    looked_up: AtomicU64,
}

pub struct Encoder {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Encoder {
    /// Starts the threads; says why when the system gives none.
    pub fn start(options: EncoderOptions) -> Result<Self, String> {
        let count = options.threads;
        let secret = options.secret;
        let shared = Arc::new(Shared {
            options,
            models: RwLock::default(),
            spaces: Mutex::default(),
            asked: Mutex::default(),
            prompts: Queue::default(),
            loads: Queue::default(),
            stopping: AtomicBool::new(false),
            active: RwLock::default(),
            panics: AtomicU64::new(0),
            found: AtomicU64::new(0),
            looked_up: AtomicU64::new(0),
        });
        let encoder = Self {
            shared,
            threads: Mutex::default(),
        };
        for at in 0..count {
            let shared = Arc::clone(&encoder.shared);
            encoder.spawn(format!("wp-prompt-{at}"), move || {
                shared.work(&shared.prompts, None)
            })?;
        }
        let shared = Arc::clone(&encoder.shared);
        let loader = Mutex::new(ModelLoader::new(secret));
        encoder.spawn("wp-models".to_owned(), move || {
            shared.work(&shared.loads, Some(&loader))
        })?;
        Ok(encoder)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let spawned = Builder::new().name(name).spawn(run);
        lock(&self.threads).push(spawned.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Replaces the models once those that are new are loaded; then calls `ready`.
    pub fn set_models(&self, models: Vec<ModelDescriptor>, ready: Ready) {
        self.shared
            .push(&self.shared.loads, Job::SetModels(models, ready));
    }

    /// Whether the request's record can be read.
    pub fn is_encoded(&self, handle: Handle) -> bool {
        self.shared.options.records.is_written(handle)
    }

    /// Encodes on the calling thread. Only a request whose engine must be asked is ready later.
    pub fn encode_here(&self, handle: Handle, route: Route, ready: Ready) {
        self.shared.encode(handle, route, ready);
    }

    /// Encodes on a thread of the pool.
    pub fn submit(&self, handle: Handle, route: Route, ready: Ready) {
        self.shared
            .push(&self.shared.prompts, Job::Encode(handle, route, ready));
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        lock(&self.shared.prompts.jobs).is_empty()
    }

    /// What an engine said to the request the listener was told of.
    pub fn answer(&self, handle: Handle, route: Route, answer: EngineAnswer<'_>) {
        let ready = lock(&self.shared.asked).remove(&handle);
        self.shared.encode_with(handle, route, answer);
        ready.into_iter().flatten().for_each(|ready| ready());
    }

    /// Renders and tokenises a body for a model, proven or not, on a thread of the pool.
    pub fn tokenize(&self, model: u32, route: Route, body: Vec<u8>, done: Tokenized) {
        let job = Job::Tokenize(model, route, body, done);
        self.shared.push(&self.shared.prompts, job);
    }

    pub fn stats(&self) -> EncoderStats {
        let shared = &self.shared;
        EncoderStats {
            threads: shared.options.threads,
            panics: shared.panics.load(Relaxed),
            queued: lock(&shared.prompts.jobs).len(),
            chunks_found: shared.found.load(Relaxed),
            chunks_looked_up: shared.looked_up.load(Relaxed),
        }
    }

    /// Ends the threads and waits for them; what still waits is told ready without a record.
    /// Afterwards shared memory is not touched any more, whoever still calls.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Relaxed);
        drop(
            self.shared
                .active
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for queue in [&self.shared.prompts, &self.shared.loads] {
            // Under the lock, so that no thread is between its test and its wait.
            let _jobs = lock(&queue.jobs);
            queue.changed.notify_all();
        }
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread of ours cannot have panicked: jobs are run behind catch_unwind.
            let _ = thread.join();
        }
        for queue in [&self.shared.prompts, &self.shared.loads] {
            let jobs = std::mem::take(&mut *lock(&queue.jobs));
            jobs.into_iter().for_each(Job::abandon);
        }
        let asked = std::mem::take(&mut *lock(&self.shared.asked));
        asked.into_values().flatten().for_each(|ready| ready());
    }
}

impl Prepare for Encoder {
    fn prepare(&self, handle: Handle, route: Route, ready: Ready) {
        let length = self
            .shared
            .options
            .store
            .body(handle)
            .map_or(0, |body| body.len());
        if length <= HERE_BYTES_MAX || self.shared.options.threads == 0 {
            self.encode_here(handle, route, ready);
        } else {
            self.submit(handle, route, ready);
        }
    }
}

impl Job {
    fn abandon(self) {
        match self {
            Self::Encode(_, _, ready) | Self::SetModels(_, ready) => ready(),
            Self::Tokenize(_, _, _, done) => done(Err("the prompt encoder was stopped".to_owned())),
        }
    }
}

impl Shared {
    fn push(&self, queue: &Queue, job: Job) {
        let mut jobs = lock(&queue.jobs);
        if self.stopping.load(Relaxed) {
            drop(jobs);
            return job.abandon();
        }
        if jobs.len() >= QUEUED_MAX {
            drop(jobs);
            return self.run(job, None);
        }
        jobs.push_back(job);
        drop(jobs);
        queue.changed.notify_one();
    }

    fn work(&self, queue: &Queue, loader: Option<&Mutex<ModelLoader>>) {
        loop {
            let mut jobs = lock(&queue.jobs);
            while jobs.is_empty() && !self.stopping.load(Relaxed) {
                jobs = queue
                    .changed
                    .wait(jobs)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if self.stopping.load(Relaxed) {
                return;
            }
            let job = jobs.pop_front();
            drop(jobs);
            if let Some(job) = job {
                self.run(job, loader);
            }
        }
    }

    fn run(&self, job: Job, loader: Option<&Mutex<ModelLoader>>) {
        match job {
            Job::Encode(handle, route, ready) => self.encode(handle, route, ready),
            Job::Tokenize(model, route, body, done) => done(self.token_ids(model, route, &body)),
            Job::SetModels(descriptors, ready) => {
                if let Some(loader) = loader {
                    let tell = |problem| self.options.listener.problem(problem);
                    let models = Arc::new(lock(loader).load(descriptors, &tell));
                    *self.models.write().unwrap_or_else(PoisonError::into_inner) = models;
                }
                ready();
            }
        }
    }

    fn token_ids(&self, index: u32, route: Route, body: &[u8]) -> Result<Option<Vec<u32>>, String> {
        let models = self.models();
        let model = models
            .at(index)
            .ok_or("the model to tokenize for is not known")?;
        let run = AssertUnwindSafe(|| token_ids(model, route, body));
        catch_unwind(run).unwrap_or_else(|_| Err("tokenizing panicked".to_owned()))
    }

    fn models(&self) -> Arc<Models> {
        Arc::clone(&self.models.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn encode(&self, handle: Handle, route: Route, ready: Ready) {
        let progress = self.encode_with(handle, route, EngineAnswer::NotAsked);
        let Progress::AskEngine(model) = progress else {
            return ready();
        };
        let mut asked = lock(&self.asked);
        if self.stopping.load(Relaxed) {
            drop(asked);
            return ready();
        }
        let waiting = asked.entry(handle).or_default();
        waiting.push(ready);
        let is_first = waiting.len() == 1;
        drop(asked);
        if is_first {
            self.options.listener.engine_wanted(handle, route, model);
        }
    }

    /// Encodes and writes the record, unless the engine must be asked first.
    fn encode_with(&self, handle: Handle, route: Route, answer: EngineAnswer<'_>) -> Progress {
        let _active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Relaxed) {
            return Progress::Unmatched;
        }
        let Some(body) = self.options.store.body(handle) else {
            return Progress::Unmatched;
        };
        let models = self.models();
        let context = Context {
            models: &models,
            secret: self.options.secret,
            answer,
        };
        let mut space = self.take_space();
        let mut outcome = Outcome::default();
        let run =
            AssertUnwindSafe(|| encode_body(&body, route, &context, &mut space, &mut outcome));
        let records = &self.options.records;
        let progress = match catch_unwind(run) {
            Ok(Ok(progress @ Progress::AskEngine(_))) => progress,
            Ok(Ok(progress)) => {
                let matched = (progress == Progress::Matched).then_some(&space.matched);
                records.write(
                    &self.options.store,
                    handle,
                    &outcome,
                    matched,
                    &space.keyed.keys,
                );
                self.count(&space);
                progress
            }
            Ok(Err(problem)) => {
                outcome.no_match = Some(NoMatch::EncoderFailed);
                records.write(&self.options.store, handle, &outcome, None, &[]);
                self.options.listener.problem(problem);
                Progress::Unmatched
            }
            Err(_) => {
                self.encode_panicked(handle, &body, &models);
                // What the panic left behind in the workspace is not used again.
                return Progress::Unmatched;
            }
        };
        let mut spaces = lock(&self.spaces);
        if spaces.len() < SPACES_KEPT {
            spaces.push(space);
        }
        progress
    }

    fn encode_panicked(&self, handle: Handle, body: &[u8], models: &Models) {
        self.panics.fetch_add(1, Relaxed);
        let fallback = catch_unwind(AssertUnwindSafe(|| fallback_outcome(body, models)));
        let outcome = fallback.unwrap_or_else(|_| Outcome {
            no_match: Some(NoMatch::EncoderFailed),
            ..Outcome::default()
        });
        self.options
            .records
            .write(&self.options.store, handle, &outcome, None, &[]);
        let bytes = body.len();
        let problem = format!("encoding a body of {bytes} bytes panicked; it is routed by load");
        self.options.listener.problem(problem);
    }

    fn count(&self, space: &Workspace) {
        self.looked_up.fetch_add(space.keyed.chunks as u64, Relaxed);
        self.found.fetch_add(space.keyed.hits as u64, Relaxed);
    }

    fn take_space(&self) -> Workspace {
        let kept = lock(&self.spaces).pop();
        kept.unwrap_or_else(|| Workspace {
            tape: Tape::default(),
            keyed: Keyed::default(),
            matched: PromptMatch::new(self.options.records.endpoint_capacity),
            matcher: (self.options.matchers)(),
        })
    }
}

/// Everything behind these locks is whole between two calls, whatever unwound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
