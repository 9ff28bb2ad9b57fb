//! What the prompt encoder's threads share: models, queues, workspaces, and the encoding of one
//! request around encode.rs, where panics and stopping are dealt with. Used by encoder.rs alone.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::encode::{Context, EngineAnswer, Progress, Workspace, encode_body, token_ids};
use super::encoder::{EncoderOptions, Tokenized};
use super::fallback::fallback_outcome;
use super::json_tape::Tape;
use super::models::{ModelDescriptor, ModelLoader, Models};
use super::no_match::NoMatch;
use super::prefix_store::Keyed;
use super::record::Outcome;
use crate::layout::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::matching::PromptMatch;
use crate::prepare::{Ready, Route};
use crate::store::Handle;

/// Jobs that wait; beyond it the thread that has one more does it itself.
const QUEUED_MAX: usize = REQUESTS_IN_FLIGHT_MAX;
/// Workspaces kept for threads that are not encoding.
const SPACES_KEPT: usize = 64;

/// Work for a thread of the encoder.
pub(super) enum Job {
    Encode(Handle, Route, Ready),
    Tokenize(u32, Route, Vec<u8>, Tokenized),
    SetModels(Vec<ModelDescriptor>, Ready),
}

/// Jobs for one kind of thread.
#[derive(Default)]
pub(super) struct Queue {
    pub jobs: Mutex<VecDeque<Job>>,
    pub changed: Condvar,
}

pub(super) struct Shared {
    pub options: EncoderOptions,
    pub models: RwLock<Arc<Models>>,
    pub spaces: Mutex<Vec<Workspace>>,
    /// Requests whose engine is being asked.
    pub asked: Mutex<HashMap<Handle, Vec<Ready>>>,
    pub prompts: Queue,
    pub loads: Queue,
    pub stopping: AtomicBool,
    /// Held for reading while shared memory may be touched: `stop` waits for it.
    pub active: RwLock<()>,
    pub panics: AtomicU64,
    pub found: AtomicU64,
    pub looked_up: AtomicU64,
}

impl Job {
    /// Ends the wait for a job that is not done any more.
    pub fn abandon(self) {
        match self {
            Self::Encode(_, _, ready) | Self::SetModels(_, ready) => ready(),
            Self::Tokenize(_, _, _, done) => done(Err("the prompt encoder was stopped".to_owned())),
        }
    }
}

impl Shared {
    pub fn new(options: EncoderOptions) -> Self {
        Self {
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
        }
    }

    pub fn push(&self, queue: &Queue, job: Job) {
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

    pub fn work(&self, queue: &Queue, loader: Option<&Mutex<ModelLoader>>) {
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
            Job::Encode(handle, route, ready) => self.encode(handle, route, usize::MAX, ready),
            Job::Tokenize(model, route, body, done) => done(self.token_ids(model, route, &body)),
            Job::SetModels(descriptors, ready) => {
                if let Some(loader) = loader {
                    let mut loader = lock(loader);
                    // Loading takes a while, and must not hold up what is known already.
                    if let Some(models) = loader.loaded(&descriptors) {
                        self.use_models(models);
                    }
                    let tell = |problem| self.options.listener.problem(problem);
                    let models = loader.load(descriptors, &tell);
                    self.use_models(models);
                }
                ready();
            }
        }
    }

    fn use_models(&self, models: Models) {
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(models);
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

    /// Bodies above `slow_bytes_max` whose tokenizer is slow go to a thread of the pool.
    pub fn encode(&self, handle: Handle, route: Route, slow_bytes_max: usize, ready: Ready) {
        let progress = self.encode_with(handle, route, EngineAnswer::NotAsked, slow_bytes_max);
        let model = match progress {
            Progress::AskEngine(model) => model,
            Progress::HandOver => {
                return self.push(&self.prompts, Job::Encode(handle, route, ready));
            }
            Progress::Unmatched | Progress::Matched => return ready(),
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
    pub fn encode_with(
        &self,
        handle: Handle,
        route: Route,
        answer: EngineAnswer<'_>,
        slow_bytes_max: usize,
    ) -> Progress {
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
            slow_bytes_max,
        };
        let mut space = self.take_space();
        let mut outcome = Outcome::default();
        let run =
            AssertUnwindSafe(|| encode_body(&body, route, &context, &mut space, &mut outcome));
        let records = &self.options.records;
        let progress = match catch_unwind(run) {
            Ok(Ok(progress @ (Progress::AskEngine(_) | Progress::HandOver))) => progress,
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
        space.shrink();
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
