//! Asks engines the same two small questions again and again: scrapes `/metrics`, probes `/health`.
//! One thread of its own, because the fleet is watched before the data plane can be made and until
//! after it has ended; connections, TLS and heads are read by the data plane's own parts. JavaScript
//! is told of answers in batches, and of a `/metrics` text only the lines it reads.

mod answers;
mod lane;
#[doc(hidden)]
pub mod lines;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

pub use answers::ANSWER_NUMBERS;
use answers::Answers;
use lane::{Lane, Purpose, Question, Target};
use lines::WantedLines;

use crate::data_plane::EngineAddress;
use crate::data_plane::scratch::Scratch;

/// Questions of one kind that wait for an engine; its owner asks the next when one is answered.
const QUESTIONS_MAX: usize = 8;

/// What a watcher keeps of `/metrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// Names of the series that are read.
    pub names: Vec<String>,
    /// The first line that begins with each of these is kept too.
    pub beginnings: Vec<String>,
}

/// What may be asked, and the number it has in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Scrape = 0,
    Probe = 1,
}

/// An engine as the watcher's thread gets it.
struct Opening {
    number: u32,
    address: EngineAddress,
    scrapes: Receiver<Question>,
    probes: Receiver<Question>,
}

struct Engine {
    scrapes: Sender<Question>,
    probes: Sender<Question>,
}

/// Watches engines; owned by one thread, answers come on another.
pub struct Watcher {
    answers: Arc<Answers>,
    engines: HashMap<u32, Engine>,
    engines_opened: u32,
    opening: Option<UnboundedSender<Opening>>,
    thread: Option<JoinHandle<()>>,
    text: String,
}

impl Watcher {
    /// `wake` is called when answers wait to be taken, at most once until they are.
    pub fn new(options: &Options, wake: Box<dyn Fn() + Send + Sync>) -> Result<Self, String> {
        let text = |error: std::io::Error| format!("the engine watcher cannot start: {error}");
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(text)?;
        let wanted = WantedLines::new(&options.names, &options.beginnings);
        let answers = Arc::new(Answers::new(wake));
        let (opening, openings) = unbounded_channel();
        let telling = Arc::clone(&answers);
        let builder = std::thread::Builder::new().name("engine-watch".to_owned());
        let thread = builder.spawn(move || run(runtime, openings, wanted, &telling));
        Ok(Self {
            answers,
            engines: HashMap::new(),
            engines_opened: 0,
            opening: Some(opening),
            thread: Some(thread.map_err(text)?),
            text: String::new(),
        })
    }

    /// Begins to watch an engine, which is connected to when it is first asked; returns its number.
    pub fn open(&mut self, address: EngineAddress) -> u32 {
        let number = self.engines_opened;
        self.engines_opened = number.wrapping_add(1);
        let (scrapes, scrapes_asked) = channel(QUESTIONS_MAX);
        let (probes, probes_asked) = channel(QUESTIONS_MAX);
        if let Some(opening) = &self.opening {
            let _ = opening.send(Opening {
                number,
                address,
                scrapes: scrapes_asked,
                probes: probes_asked,
            });
        }
        self.engines.insert(number, Engine { scrapes, probes });
        number
    }

    /// Asks an engine; the answer or failure comes under `ticket`, within the time. False when the
    /// engine is not open or has too many questions before it.
    pub fn ask(&self, engine: u32, ask: Ask, ticket: u32, limit: Duration) -> bool {
        let Some(engine) = self.engines.get(&engine) else {
            return false;
        };
        let questions = match ask {
            Ask::Scrape => &engine.scrapes,
            Ask::Probe => &engine.probes,
        };
        // Reserved first: a question that is dropped answers for itself.
        let Ok(place) = questions.try_reserve() else {
            return false;
        };
        let deadline = Instant::now() + limit;
        place.send(Question::new(ticket, deadline, Arc::clone(&self.answers)));
        true
    }

    /// Closes an engine's connections; what it was asked is still answered.
    pub fn close(&mut self, engine: u32) {
        self.engines.remove(&engine);
    }

    /// Moves answers into `numbers` (`ANSWER_NUMBERS` each) and returns their count; their texts
    /// follow each other in `text`.
    pub fn take(&mut self, numbers: &mut [f64]) -> usize {
        self.text.clear();
        self.answers.take(numbers, &mut self.text)
    }

    /// Texts of the answers taken last.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.engines.clear();
        self.opening = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs the thread until the watcher is dropped.
fn run(
    runtime: Runtime,
    mut openings: UnboundedReceiver<Opening>,
    wanted: WantedLines,
    answers: &Arc<Answers>,
) {
    let local = LocalSet::new();
    let telling = Arc::clone(answers);
    local.spawn_local(async move { telling.tell().await });
    local.block_on(&runtime, async {
        let scratch = Scratch::new();
        let wanted = Rc::new(wanted);
        while let Some(opening) = openings.recv().await {
            let target = Rc::new(Target::new(opening.address, Rc::clone(&scratch)));
            let scrape = Purpose::Scrape(Rc::clone(&wanted));
            for (purpose, questions) in
                [(scrape, opening.scrapes), (Purpose::Probe, opening.probes)]
            {
                let lane = Lane::new(opening.number, purpose, &target, questions, answers);
                spawn_local(lane.run());
            }
        }
    });
    drop(local);
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests;
