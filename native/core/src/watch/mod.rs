//! Asks engines the same small questions again and again: what they are, their load, whether they
//! live. One thread of its own, because the fleet is watched before the data plane can be made and
//! until after it has ended; connections, TLS and heads are the data plane's own parts. Questions
//! and answers cross in batches, and of a `/metrics` text only the lines that are read.

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
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

pub use answers::ANSWER_NUMBERS;
use answers::Answers;
use lane::{Lane, Question, Target};
use lines::WantedLines;

use crate::data_plane::EngineAddress;
use crate::data_plane::connect::TlsSettings;
use crate::data_plane::scratch::Scratch;

/// Questions of one kind that wait for one engine; discovery asks four at once.
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

/// What is kept of an answer's body. Questions of a kind share a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The lines of the options.
    Lines = 0,
    Nothing = 1,
    Everything = 2,
}

/// What the watcher's thread is told.
enum Command {
    Open(u32, EngineAddress),
    Close(u32),
    /// Questions and their engines.
    Ask(Vec<(u32, Question)>),
}

/// Watches engines; owned by one thread, answers come on another.
pub struct Watcher {
    answers: Arc<Answers>,
    engines_opened: u32,
    asked: Vec<(u32, Question)>,
    /// None while the watcher ends.
    commands: Option<UnboundedSender<Command>>,
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
        let (commands, obeyed) = unbounded_channel();
        let telling = Arc::clone(&answers);
        let builder = std::thread::Builder::new().name("engine-watch".to_owned());
        let thread = builder.spawn(move || run(runtime, obeyed, wanted, &telling));
        Ok(Self {
            answers,
            engines_opened: 0,
            asked: Vec::new(),
            commands: Some(commands),
            thread: Some(thread.map_err(text)?),
            text: String::new(),
        })
    }

    /// Begins to watch an engine, which is connected to when it is first asked; returns its number.
    pub fn open(&mut self, address: EngineAddress) -> u32 {
        let number = self.engines_opened;
        self.engines_opened = number.wrapping_add(1);
        self.tell(Command::Open(number, address));
        number
    }

    /// Asks an engine for `path` when `send` is called; the answer or failure comes under `ticket`,
    /// within the time.
    pub fn ask(&mut self, engine: u32, keep: Keep, path: String, ticket: u32, limit: Duration) {
        let question = Question {
            keep,
            path,
            ticket,
            deadline: Instant::now() + limit,
            answers: Arc::clone(&self.answers),
            is_answered: false,
        };
        self.asked.push((engine, question));
    }

    /// Sends what was asked: waking the thread costs more than asking.
    pub fn send(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.tell(Command::Ask(asked));
    }

    /// Closes an engine's connections; what it was asked is still answered.
    pub fn close(&mut self, engine: u32) {
        self.tell(Command::Close(engine));
    }

    fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
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
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs the thread until the watcher is dropped.
fn run(
    runtime: Runtime,
    mut commands: UnboundedReceiver<Command>,
    wanted: WantedLines,
    answers: &Arc<Answers>,
) {
    let local = LocalSet::new();
    let telling = Arc::clone(answers);
    local.spawn_local(async move { telling.tell().await });
    local.block_on(&runtime, async {
        let scratch = Scratch::new();
        let wanted = Rc::new(wanted);
        let mut engines: HashMap<u32, Lanes> = HashMap::new();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Open(number, address) => {
                    let target = Target {
                        number,
                        address,
                        tls: TlsSettings::default(),
                        scratch: Rc::clone(&scratch),
                        wanted: Rc::clone(&wanted),
                        answers: Arc::clone(answers),
                    };
                    engines.insert(number, lanes(&Rc::new(target)));
                }
                Command::Close(number) => drop(engines.remove(&number)),
                Command::Ask(asked) => {
                    for (engine, question) in asked {
                        ask(engines.get(&engine), question);
                    }
                }
            }
        }
    });
    drop(local);
    runtime.shutdown_background();
}

/// Ways to ask one engine, by what is kept of answers.
type Lanes = [Sender<Question>; 3];

/// A lane each, so that a `/metrics` that is slow holds no probe up.
fn lanes(target: &Rc<Target>) -> Lanes {
    std::array::from_fn(|_| {
        let (questions, asked) = channel(QUESTIONS_MAX);
        spawn_local(Lane::new(Rc::clone(target), asked).run());
        questions
    })
}

fn ask(lanes: Option<&Lanes>, question: Question) {
    let Some([lines, nothing, everything]) = lanes else {
        return question.refuse("it is not watched");
    };
    let lane = match question.keep {
        Keep::Lines => lines,
        Keep::Nothing => nothing,
        Keep::Everything => everything,
    };
    if let Err(TrySendError::Full(question) | TrySendError::Closed(question)) =
        lane.try_send(question)
    {
        question.refuse("too many questions wait for it");
    }
}

#[cfg(test)]
mod tests;
