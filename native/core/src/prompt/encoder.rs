//! The prompt encoder: models, a pool of threads with a bounded queue, and the choice of where a
//! request is encoded. Short bodies are encoded by the thread that has them, because handing one
//! over costs as much as the work; long ones, which could hold that thread up, go to the pool.
//! A panic inside an encoding loses no request: its record says `encoder-failed`.

#![deny(clippy::indexing_slicing)]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::encode::EngineAnswer;
use super::encoder_shared::{Job, Shared, lock};
use super::models::{ModelDescriptor, ModelLoader};
use super::record::RecordTable;
use crate::matching::Matcher;
use crate::prepare::{Prepare, Ready, Route};
use crate::store::{Handle, RequestStore};

/// Bodies up to this are encoded where they are. Unseen text of this length takes about half a
/// millisecond and the worst there is 5 ms, which a stream on the same thread does not notice.
const HERE_BYTES_MAX: usize = 48 * 1024;
/// The same for models whose tokenizer is the slow one: 30 KB take 0.23 up to 43 ms.
const SLOW_HERE_BYTES_MAX: usize = 2 * 1024;
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

pub struct Encoder {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Encoder {
    /// Starts the threads; says why when the system gives none.
    pub fn start(options: EncoderOptions) -> Result<Self, String> {
        let count = options.threads;
        let secret = options.secret;
        let shared = Arc::new(Shared::new(options));
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

    /// Encodes on the calling thread. A request whose engine must be asked is ready later, and so is
    /// one whose tokenizer is too slow for this thread.
    pub fn encode_here(&self, handle: Handle, route: Route, ready: Ready) {
        let has_pool = self.shared.options.threads > 0;
        let slow_bytes_max = if has_pool {
            SLOW_HERE_BYTES_MAX
        } else {
            usize::MAX
        };
        self.shared.encode(handle, route, slow_bytes_max, ready);
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
        self.shared.encode_with(handle, route, answer, usize::MAX);
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
